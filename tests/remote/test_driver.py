"""The driver of remote backends: one paid job a chunk, whatever happens in between."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, cast

import pytest

from pipelines.backends.base import BackendHost, InputMedia
from pipelines.backends.remote import waiting
from pipelines.backends.remote.config import RemoteConfig
from pipelines.backends.remote.driver import definition_of
from pipelines.errors import (
    BriefError,
    GenerationError,
    LostJobError,
    PendingJobError,
    QuotaError,
    RefusedError,
    SettingsError,
    StoreError,
    UnavailableError,
)
from pipelines.media.ffmpeg import Ffmpeg, find_ffmpeg
from pipelines.schema.request import ClipRequest
from tests.support.remote import (
    FPS,
    PRICE,
    SIZE,
    KilledError,
    Kills,
    RunHost,
    World,
    kind_of,
)

CONFIG = RemoteConfig(name="far-away", kind="scripted", address="http://127.0.0.1:9")
REQUEST = ClipRequest(prompt="a ball", negative="", size=SIZE, fps=FPS, frames=16, seed=1)
NO_MEDIA = cast(InputMedia, None)


@pytest.fixture(scope="module")
def tool() -> Ffmpeg:
    return find_ffmpeg()


Run = Callable[..., int]


@pytest.fixture
def run(tool: Ffmpeg, tmp_path: Path) -> Run:
    """Make the clip in a new process, as it were; returns its number of frames."""

    def go(
        world: World,
        kills: Kills | None = None,
        *,
        run: str = "run-1",
        cancelled: bool = False,
        on_step: Callable[[int, int], None] = lambda done, of: None,
        on_pause: Callable[[float], None] = lambda seconds: None,
        more: tuple[int, ...] = (),
    ) -> int:
        kills = kills or Kills()
        host = RunHost(world, kills, tool, tmp_path, run, cancelled=cancelled)
        host.access = replace(host.access, pause=on_pause)
        definition = definition_of(CONFIG, kind_of(world, kills, tool))
        backend = definition.create(cast(BackendHost, host), frozenset({"text"}))
        with backend.open() as session:
            others = [REQUEST.model_copy(update={"seed": seed}) for seed in more]
            session.prepare([REQUEST, *others])
            return len(list(session.generate(REQUEST, NO_MEDIA, on_step).frames))

    return go


def calls_of(run: Run, **world: Any) -> list[str]:
    """The calls of a run that nobody kills."""
    kills = Kills()
    run(World(**world), kills)
    return kills.names


def test_a_clip_is_reserved_claimed_submitted_awaited_settled_and_fetched(run: Run) -> None:
    world, kills = World(), Kills()
    assert run(world, kills) == 16
    assert kills.names == [
        *("read", "reserve", "read", "reserve", "write submitting", "submit", "write submitted"),
        *("look", "look", "look", "settle", "write ended done", "fetch"),
    ]
    assert world.spent == world.bill == PRICE.amount


@pytest.mark.parametrize("finds", [True, False])
@pytest.mark.parametrize("after", [True, False])
def test_a_run_killed_at_any_call_pays_for_one_job(run: Run, after: bool, finds: bool) -> None:
    calls = calls_of(run, finds=finds)
    for at, name in enumerate(calls):
        world = World(finds=finds)
        with pytest.raises(KilledError):
            run(world, Kills(at, after=after))
        if unknown(name, after, finds):
            with pytest.raises(LostJobError, match="its price stays in the ledger"):
                run(world)
            assert world.kept
        else:
            assert run(world) == 16, name
        assert len(world.jobs) <= 1, name
        assert world.spent >= world.bill, name
        if world.jobs:
            assert world.spent == world.bill, name


def unknown(name: str, after: bool, finds: bool) -> bool:
    """Whether nobody can say if the service has the job: the claim is written, its id is not."""
    return not finds and (
        (name == "write submitting" and after)
        or name == "submit"
        or (name == "write submitted" and not after)
    )


ENDS: dict[str, dict[str, Any]] = {
    "refused at once": {"errors": [RefusedError("no")]},
    "refused later": {"states": ["refused"]},
    "answer lost": {"loses_answers": 1},
    "forgotten": {"states": ["gone"]},
}


@pytest.mark.parametrize("name", ENDS)
def test_a_run_that_is_killed_twice_and_ends_without_a_clip_submits_once(
    run: Run, name: str
) -> None:
    """A worker starts the same run again after each kill."""

    def outcome(world: World, kills: Kills | None = None) -> type[BaseException] | None:
        try:
            run(world, kills)
        except (KilledError, RefusedError, LostJobError) as error:
            return type(error)
        return None

    for first, second in product(range(12), repeat=2):
        for after in (True, False):
            world = World(
                **{
                    key: list(value) if isinstance(value, list) else value
                    for key, value in ENDS[name].items()
                }
            )
            if outcome(world, Kills(first, after=after)) is KilledError:
                outcome(world, Kills(second, after=after))
            end = outcome(world)
            where = (name, first, second, after)
            assert end in (RefusedError, LostJobError), where
            assert outcome(world) is end, where
            assert len(world.jobs) <= 1, where
            # What nobody can tell counts as spent; a refusal costs nothing.
            assert world.spent == (PRICE.amount if end is LostJobError else 0), where
            assert name.startswith("refused") or end is LostJobError, where


@pytest.mark.parametrize("after", [True, False])
def test_a_run_killed_while_it_is_turned_away_goes_on(run: Run, after: bool) -> None:
    for at in range(8):
        world = World(errors=[QuotaError("not now")])
        with pytest.raises((KilledError, QuotaError)):
            run(world, Kills(at, after=after))
        world.errors.clear()
        try:
            assert run(world) == 16
        except LostJobError:
            assert not world.jobs  # it was killed around its request
        assert world.spent == PRICE.amount, at


def test_an_end_before_the_last_chunk_releases_what_was_not_submitted(run: Run) -> None:
    world = World(errors=[RefusedError("no")])
    with pytest.raises(RefusedError):
        run(world, more=(2, 3))
    assert (len(world.reserved), world.spent) == (3, 0)
    world.errors = [RefusedError("no")]
    with pytest.raises(KilledError):  # it goes on soon, with what it has reserved
        run(world, Kills(8), run="run-2", more=(2, 3))
    assert world.spent == 3 * PRICE.amount


@pytest.mark.parametrize("paid", [True, False])
def test_a_faulty_take_is_made_again_only_if_that_costs_nothing(tool: Ffmpeg, paid: bool) -> None:
    definition = definition_of(CONFIG, kind_of(World(paid=paid), Kills(), tool))
    assert definition.capabilities.retakes == (not paid)


def test_a_free_job_that_nobody_can_find_is_submitted_again(run: Run) -> None:
    world = World(paid=False, loses_answers=1)
    assert run(world) == 16
    assert len(world.jobs) == 2
    assert not world.reserved


def test_a_job_that_can_be_found_is_not_submitted_again_after_a_lost_answer(run: Run) -> None:
    world = World(finds=True, loses_answers=1)
    assert run(world) == 16
    assert len(world.jobs) == 1
    assert world.spent == world.bill


def test_a_paid_job_whose_answer_is_lost_is_kept_in_the_ledger_and_never_repeated(run: Run) -> None:
    world = World(loses_answers=1)
    with pytest.raises(LostJobError, match="not submitted again"):
        run(world)
    assert world.spent == world.bill == PRICE.amount


def test_a_second_run_waits_for_the_first_ones_claim(run: Run, tool: Ffmpeg) -> None:
    """Another host's run, killed a moment ago while it submitted: it may still be at work."""
    world = World(finds=True)
    with pytest.raises(KilledError):
        run(world, Kills(calls_of(run, finds=True).index("submit"), after=True), run="run-1")

    class Impatient(Kills):
        def __call__(self, name: str, effect: Callable[[], Any]) -> Any:
            if self.calls > 20:
                raise KilledError
            return super().__call__(name, effect)

    kills = Impatient()
    with pytest.raises(KilledError):
        run(world, kills, run="run-2")
    assert set(kills.names[2:]) == {"read"}
    assert len(world.jobs) == 1


def test_a_second_run_goes_on_with_the_job_of_the_first_one(run: Run) -> None:
    world = World()
    with pytest.raises(KilledError):
        run(world, Kills(calls_of(run).index("look")), run="run-1")
    assert run(world, run="run-2") == 16
    assert len(world.jobs) == 1


def test_a_refusal_ends_the_run_costs_nothing_and_is_not_tried_again(run: Run) -> None:
    world = World(states=["running", "refused"])
    with pytest.raises(RefusedError, match="no other backend was tried"):
        run(world)
    assert len(world.jobs) == 1
    assert world.spent == 0
    with pytest.raises(RefusedError):
        run(world)
    assert len(world.jobs) == 1
    with pytest.raises(RefusedError):  # another run, of an editor who tries once more
        run(world, run="run-2")
    assert len(world.jobs) == 2


@pytest.mark.parametrize(
    "error", [QuotaError, UnavailableError, SettingsError, GenerationError, BriefError, StoreError]
)
def test_a_request_that_is_turned_away_costs_nothing_and_may_be_made_later(
    run: Run, error: type[Exception]
) -> None:
    world = World(errors=[error("not now")])
    with pytest.raises(error, match="not now"):
        run(world)
    assert (world.spent, world.jobs) == (0, {})
    assert run(world) == 16
    assert world.spent == world.bill == PRICE.amount


def test_a_job_that_fails_is_submitted_again_a_few_times(run: Run) -> None:
    world = World(states=["failed"])
    with pytest.raises(UnavailableError, match="was asked 3 times"):
        run(world)
    assert len(world.jobs) == 3
    assert world.spent == 0
    with pytest.raises(UnavailableError, match="was asked 3 times"):
        run(world, run="run-2")
    assert len(world.jobs) == 6


def test_a_job_that_the_service_calls_invalid_is_not_repeated(run: Run) -> None:
    """Neither here nor by another backend: the error is none that falls back."""
    world = World(states=["failed"], invalid=True)
    with pytest.raises(GenerationError, match="calls the request invalid") as caught:
        run(world)
    assert not isinstance(caught.value, UnavailableError)
    assert len(world.jobs) == 1
    assert world.spent == 0


def test_a_paid_job_that_the_service_does_not_show_at_first_is_not_given_up(run: Run) -> None:
    world = World(states=["gone", "gone", "running", "done"])
    assert run(world) == 16
    assert len(world.jobs) == 1
    assert world.spent == world.bill


def test_a_job_whose_claim_another_process_gave_up_meanwhile_is_not_paid_twice(run: Run) -> None:
    """Its clock is wrong, or the service took very long to answer."""
    world = World(given_up_while_submitting=True)
    assert run(world) == 16
    assert len(world.jobs) == 1
    assert world.spent == world.bill == PRICE.amount


def test_a_paid_job_that_the_service_forgot_stays_in_the_ledger(run: Run) -> None:
    world = World(states=["running", "gone"])
    with pytest.raises(LostJobError, match="does not know the job operations/1"):
        run(world)
    assert world.spent == PRICE.amount


def test_a_clip_that_is_gone_after_it_was_fetched_once_is_made_and_paid_again(run: Run) -> None:
    """Somebody deleted the chunk."""
    world = World()
    run(world)
    world.states, world.looks = ["gone"], {}
    with pytest.raises(LostJobError):
        run(world)
    assert len(world.jobs) == 2


def test_a_clip_of_another_length_is_an_error_and_the_next_run_submits_anew(run: Run) -> None:
    world = World(frames=8)
    with pytest.raises(GenerationError, match="made 8 frames of 64"):
        run(world)
    assert world.spent == world.bill == PRICE.amount
    world.frames = 16
    assert run(world) == 16
    assert len(world.jobs) == 2
    assert world.spent == world.bill == 2 * PRICE.amount


def test_a_paid_clip_that_cannot_be_fetched_is_fetched_by_the_next_run(run: Run) -> None:
    """No other backend makes the film meanwhile: it would be paid twice."""
    world = World(broken_downloads=6)
    with pytest.raises(PendingJobError, match="paid for and not lost"):
        run(world)
    assert run(world) == 16
    assert len(world.jobs) == 1
    assert world.spent == world.bill


def test_a_download_that_breaks_off_is_begun_again(run: Run) -> None:
    world = World(broken_downloads=5)
    assert run(world) == 16
    assert len(world.jobs) == 1


def test_a_free_clip_that_cannot_be_fetched_is_made_again_by_the_next_run(run: Run) -> None:
    world = World(paid=False, broken_downloads=6)
    with pytest.raises(UnavailableError, match="cannot be fetched"):
        run(world)
    assert run(world) == 16
    assert len(world.jobs) == 2


@pytest.mark.parametrize(("paid", "error"), [(True, PendingJobError), (False, UnavailableError)])
def test_a_job_that_does_not_end_in_time_is_left_for_the_next_run(
    run: Run, monkeypatch: pytest.MonkeyPatch, paid: bool, error: type[Exception]
) -> None:
    world, now = World(states=["running"], paid=paid), iter(range(0, 10_000_000, 1_000))
    monkeypatch.setattr(waiting.time, "monotonic", lambda: float(next(now)))
    with pytest.raises(error, match="did not finish a clip in 1800 s"):
        run(world)
    monkeypatch.undo()
    world.states = ["done"]
    assert run(world) == 16
    assert len(world.jobs) == 1


def test_the_surplus_of_a_longer_clip_is_cut_off(run: Run) -> None:
    assert run(World(frames=20)) == 16


@pytest.mark.parametrize("where", ["on_step", "on_pause"])
def test_a_person_who_cancels_stops_the_job_too(run: Run, where: str) -> None:
    """A cancel is a signal, which arrives anywhere."""

    def stop(*_: float) -> None:
        raise KilledError

    for cancelled in (False, True):
        world = World()
        with pytest.raises(KilledError):
            run(world, cancelled=cancelled, **{where: stop})
        assert bool(world.cancelled) == cancelled
