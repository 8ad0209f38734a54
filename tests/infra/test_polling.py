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


def questions(polling: Polling, clock: Clock, seconds: float, *, full: bool, found: bool) -> int:
    """How often it asks in that time, with a chance each 0.5 s."""
    asked = 0
    for _ in range(int(2 * seconds)):
        clock.now += 0.5
        if polling.is_due(full=full):
            polling.note(found=found)
            asked += 1
    return asked


def test_a_worker_that_finds_runs_uses_every_chance(clock: Clock) -> None:
    polling = Polling(clock)
    assert questions(polling, clock, 300, full=False, found=True) == 600


def test_a_worker_that_has_just_started_uses_every_chance(clock: Clock) -> None:
    assert questions(Polling(clock), clock, 59, full=False, found=False) == 118


def test_a_worker_that_found_nothing_for_a_minute_asks_less(clock: Clock) -> None:
    polling = Polling(clock)
    questions(polling, clock, 60, full=False, found=False)
    assert questions(polling, clock, 60, full=False, found=False) == 40
    polling.expect()  # a run ended
    assert questions(polling, clock, 30, full=False, found=False) == 60


def test_a_worker_that_can_take_nothing_asks_only_so_that_its_queues_stay_ready(
    clock: Clock,
) -> None:
    polling = Polling(clock)
    polling.note(found=True)
    assert questions(polling, clock, 120, full=True, found=False) == 6
    polling.expect()  # its run has ended: the next question comes at once
    clock.now += 0.5
    assert polling.is_due(full=False)
