"""The progress of a run never goes back, whatever process, attempt or answer comes next."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect.client.orchestration import PrefectClient, SyncPrefectClient
from prefect.client.schemas.objects import Artifact, FlowRun, FlowRunPolicy, State
from prefect.states import Cancelled, Cancelling, Failed, Running, Scheduled, Suspended

from infra.adapters.object_store import ObjectStore
from infra.apps.gateway.details import Answered, Details
from infra.apps.gateway.index import Index
from infra.apps.gateway.store_work import StoreWork
from infra.apps.gateway.views import RunView, view_of_run
from tasks import artifacts
from tasks.artifacts import ProgressBar, ProgressMirror

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


class Prefect:
    """A server that knows progress artifacts only."""

    def __init__(self, *bars: tuple[float, str, int]) -> None:
        self.artifacts = [
            Artifact(
                type="progress",
                data=percent,
                description=words,
                updated=NOW + timedelta(seconds=when),
            )
            for percent, words, when in bars
        ]

    async def read_artifacts(self, **_: Any) -> Sequence[Artifact]:
        return self.artifacts


class Silent(StoreWork):
    """A store without routes."""

    async def run(self, *_: Any, **__: Any) -> Any:
        return None


def run_of(state: State[Any], *keys: str, count: int = 1, **brief: Any) -> FlowRun:
    return FlowRun(
        flow_id=uuid4(),
        state=state,
        run_count=count,
        parameters={"brief": {"prompt": "a fox", "preset": "demo"} | brief},
        empirical_policy=FlowRunPolicy(pause_keys=set(keys)),
    )


def view(run: FlowRun, prefect: Prefect, answer: Answered | None = None) -> RunView:
    details = Details(
        cast("PrefectClient", prefect), cast("ObjectStore", None), Silent(1), cast("Index", None)
    )
    return asyncio.run(details.of(run, view_of_run(run), answer))


WAITING: State[Any] = Suspended(timeout_seconds=600, pause_key="storyboard")
RESUMING: State[Any] = Scheduled(name="Resuming", scheduled_time=NOW)


def test_an_answer_does_not_take_the_progress_back() -> None:
    drawn = Prefect((10.0, "the draft is made", 0))
    before = view(run_of(WAITING, "storyboard"), drawn)
    after = view(run_of(RESUMING, "storyboard"), drawn)
    again = view(run_of(Running(), "storyboard", count=2), drawn)
    assert (before.percent, after.percent, again.percent) == (10, 10, 10)
    assert after.detail == "answered; it goes on as soon as a worker takes it"


def test_a_run_in_one_process_goes_on_from_where_it_asked() -> None:
    """Its draft is a flow of its own, which reports elsewhere."""
    nothing = Prefect()
    assert view(run_of(WAITING, "storyboard"), nothing).percent == 10
    assert view(run_of(RESUMING, "storyboard"), nothing).percent == 10
    assert view(run_of(RESUMING, "cost", "video"), nothing).percent == 95


def test_another_process_begins_anew_and_the_page_does_not() -> None:
    bars = Prefect((62.0, "chunk 3 of 4", 0), (0.0, "writing the shots", 9))
    found = view(run_of(Running(), count=2), bars)
    assert (found.percent, found.detail) == (62, "writing the shots")


@pytest.mark.parametrize("state", [Failed(message="it broke"), Cancelled(message="stopped")])
def test_a_run_that_ended_early_says_how_far_it_was(state: State[Any]) -> None:
    found = view(run_of(state), Prefect((62.0, "chunk 3 of 4", 0)))
    assert (found.percent, found.detail) == (62, state.message)


def test_the_last_answer_is_shown_until_a_process_reports_something_later() -> None:
    answer = Answered("approved; the video is made next", NOW + timedelta(seconds=5))
    early = Prefect((10.0, "the draft is made", 0))
    for state in (RESUMING, Running()):
        assert view(run_of(state, "storyboard"), early, answer).detail == answer.words
    later = Prefect((10.0, "the draft is made", 0), (12.0, "chunk 1 of 4", 6))
    assert view(run_of(Running(), "storyboard"), later, answer).detail == "chunk 1 of 4"
    asking = view(run_of(WAITING, "storyboard"), early, answer)
    assert asking.detail == "the storyboard waits for an answer"


def test_a_stopped_run_says_so() -> None:
    found = view(run_of(Cancelling()), Prefect((62.0, "chunk 3 of 4", 0)))
    assert found.stopping
    assert (found.state, found.percent) == ("running", 62)
    assert "it is being stopped" in found.detail


@pytest.mark.parametrize(
    ("key", "on_silence", "meant"),
    [
        ("storyboard", "approve", "approve"),
        ("storyboard-round-2", "reject", "reject"),
        ("video", "approve", "approve"),
        ("cost", "approve", "reject"),  # silence never spends money
    ],
)
def test_a_question_says_until_when_and_what_silence_means(
    key: str, on_silence: str, meant: str
) -> None:
    state: State[Any] = Suspended(timeout_seconds=600, pause_key=key)
    run = run_of(state, key, approval_hours=2.5, on_silence=on_silence)
    found = view_of_run(run)
    assert found.on_silence == meant
    assert found.answer_by == state.timestamp + timedelta(hours=2.5)
    assert view_of_run(run_of(Running(), key)).answer_by is None
    broken = view_of_run(run_of(state, key, approval_hours="soon"))
    assert (broken.answer_by, broken.waiting_for) == (None, found.waiting_for)


def test_a_revised_storyboard_is_the_second_question() -> None:
    keys = ("cost", "storyboard", "storyboard-round-2")
    state: State[Any] = Suspended(timeout_seconds=600, pause_key=keys[-1])
    assert view_of_run(run_of(state, *keys)).round == 2
    assert view_of_run(run_of(WAITING, *keys[:2])).round == 1


@given(st.lists(st.floats(0, 100), max_size=20))
def test_a_bar_never_goes_back(reports: list[float]) -> None:
    shown: list[float] = []

    def note(percent: float, **_: Any) -> UUID:
        shown.append(percent)
        return UUID(int=1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(artifacts, "create_progress_artifact", note)
        patch.setattr(
            artifacts, "update_progress_artifact", lambda _, progress, **__: shown.append(progress)
        )
        bar = ProgressBar()
        for percent in reports:
            bar.show(percent, f"{percent}", at_once=True)
    assert shown == sorted(shown)
    assert (shown[-1] if shown else None) == (max(reports) if reports else None)


def test_the_film_begins_where_the_draft_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[float] = []

    def note(percent: float, **_: Any) -> UUID:
        shown.append(percent)
        return UUID(int=1)

    class Server:
        percent = 0.0

        def read_artifacts(self, **_: Any) -> list[Artifact]:
            return [Artifact(type="progress", data=self.percent, description="")]

    monkeypatch.setattr(artifacts, "create_progress_artifact", note)
    monkeypatch.setattr(
        artifacts, "update_progress_artifact", lambda _, progress, **__: shown.append(progress)
    )
    monkeypatch.setattr(artifacts, "_EVERY", 0.0)
    for start, end in ((0.0, 10.0), (10.0, 95.0)):
        server = Server()
        mirror = ProgressMirror(cast("SyncPrefectClient", server), uuid4(), start, end, "made")
        for percent in (20.0, 80.0):
            server.percent = percent
            mirror.look()
        mirror.finish()
    assert shown == [2, 8, 10, 27, 78, 95]
