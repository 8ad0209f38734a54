"""How often a worker asks for runs. Time is a number that the test sets."""

import pytest

from infra.apps.worker.polling import Polling


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def questions(polling: Polling, clock: Clock, seconds: float, *, free: int, found: bool) -> int:
    """How often it asks in that time, with a chance each 0.5 s."""
    asked = 0
    for _ in range(int(2 * seconds)):
        clock.now += 0.5
        if polling.is_due(free):
            polling.note(found=found)
            asked += 1
    return asked


def test_a_worker_that_finds_runs_uses_every_chance(clock: Clock) -> None:
    polling = Polling(clock=clock)
    assert questions(polling, clock, 300, free=1, found=True) == 600


def test_a_worker_that_has_just_started_uses_every_chance(clock: Clock) -> None:
    assert questions(Polling(clock=clock), clock, 29, free=1, found=False) == 58


def test_a_worker_that_found_nothing_for_a_while_asks_less(clock: Clock) -> None:
    polling = Polling(clock=clock)
    questions(polling, clock, 30, free=1, found=False)
    assert questions(polling, clock, 60, free=1, found=False) == 30
    polling.expect()  # a run ended
    assert questions(polling, clock, 29, free=1, found=False) == 58


def test_a_worker_that_can_take_nothing_asks_only_so_that_its_queues_stay_ready(
    clock: Clock,
) -> None:
    polling = Polling(clock=clock)
    polling.note(found=True)
    assert questions(polling, clock, 120, free=0, found=False) == 6
    polling.expect()  # its run has ended: the next question comes at once
    clock.now += 0.5
    assert polling.is_due(1)


def test_a_worker_with_places_for_schedules_only_looks_for_those_every_five_seconds(
    clock: Clock,
) -> None:
    polling = Polling(reserved=2, clock=clock)
    polling.note(found=True)
    assert questions(polling, clock, 20, free=2, found=True) == 4
    assert polling.is_due(3)
