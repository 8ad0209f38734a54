"""A person's yes or no, before the chunks are made and before the video is published.

The run is suspended meanwhile: no process waits, no slot is held, and it goes on from the top
when it is answered, finding everything that was made before. Nobody's answer is given by
`settle_silences`, which a scheduled flow calls.
"""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import httpx
from prefect import task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.responses import SetStateStatus
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.states import Cancelled
from pydantic import Field, ValidationError

from pipelines.errors import BriefError, RejectedError
from pipelines.schema.brief import Brief
from pipelines.schema.draft import Draft, edited
from pipelines.schema.manifest import Film
from pipelines.schema.parsing import parse_brief, sentences
from pipelines.schema.shots import HandShot
from tasks.dispatch import draft_on_gpu_host, in_studio
from tasks.knobs import STAGE
from tasks.page import describe_draft, describe_film, show_draft, show_film

STORYBOARD, VIDEO = "storyboard", "video"
"""What is asked about; also the keys under which Prefect keeps the answers."""
_MARGIN = timedelta(days=7)
"""After this Prefect itself fails a run whose silence nobody settled."""
_PAGE = 200
_log = logging.getLogger("reelwright.approval")


class Answer(RunInput):
    """What a person says about a draft or a finished video."""

    decision: Literal["approve", "reject"] = Field("approve", title="Decision")
    reason: str = Field("", title="Reason", description="Shown with a rejected brief.")


class StoryboardAnswer(Answer):
    """The same about a storyboard, whose shots may be edited."""

    shots: list[HandShot] = Field(
        default_factory=list,
        title="Shots",
        description="Change the words or the seed of a shot, or add and remove shots.",
    )


def approve_storyboard(brief: Brief) -> Brief:
    """The brief as it was approved. Suspends the run until then; raises RejectedError."""
    if brief.approval not in (STORYBOARD, "both") or not in_studio():
        return brief
    draft = draft_on_gpu_host(brief)
    show_draft(draft)
    shots = [HandShot(prompt=shot.prompt) for shot in draft.shots]
    form = StoryboardAnswer.with_initial_data(description=describe_draft(draft), shots=shots)
    answer = suspend_flow_run(wait_for_input=form, timeout=_timeout(brief), key=STORYBOARD)
    _accept(answer)
    return _with_edits(brief, draft, answer.shots)


def approve_video(brief: Brief, film: Film) -> None:
    """Suspends the run until the finished video is approved; raises RejectedError."""
    if brief.approval not in (VIDEO, "both") or not in_studio():
        return
    show_film(film)
    form = Answer.with_initial_data(description=describe_film(film))
    _accept(suspend_flow_run(wait_for_input=form, timeout=_timeout(brief), key=VIDEO))


def rejected(no: RejectedError) -> State[Any]:
    """How a rejected brief ends: it is no failure."""
    return Cancelled(name="Rejected", message=str(no))


@task(name="settle-silences", **STAGE)
def settle_silences() -> int:
    """Answer for those who did not, as their briefs say. Returns how many were answered."""
    count = 0
    with get_client(sync_client=True) as client:
        for run in waiting_runs(client):
            brief = _brief_of(run)
            if brief is None or run.state is None:
                continue
            hours = timedelta(hours=brief.approval_hours)
            if datetime.now(UTC) < run.state.timestamp + hours:
                continue
            count += _settle(client, run, brief)
    return count


def _settle(client: SyncPrefectClient, run: FlowRun, brief: Brief) -> bool:
    """Whether it could be answered; one that cannot must not hold up the others."""
    words = f"nobody answered within {brief.approval_hours:g} hours"
    answer = {"decision": brief.on_silence, "reason": words}
    try:
        result = client.resume_flow_run(run.id, run_input=answer)
    except (httpx.HTTPError, PrefectHTTPStatusError, ObjectNotFound) as error:
        _log.error("%s: %s, but it cannot be settled: %s", run.name, words, error)
        return False
    if result.status != SetStateStatus.ACCEPT:
        _log.error("%s: %s, but Prefect answers %s", run.name, words, result.status.value)
        return False
    _log.info("%s: %s, so it is %sed", run.name, words, brief.on_silence.rstrip("e"))
    return True


def waiting_runs(client: SyncPrefectClient) -> list[FlowRun]:
    """Runs of `produce-content` that wait for a person."""
    paused = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PAUSED]))
    found: list[FlowRun] = []
    while page := client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=["produce-content"])),
        flow_run_filter=FlowRunFilter(state=paused),
        sort=FlowRunSort.ID_DESC,
        limit=_PAGE,
        offset=len(found),
    ):
        found += page
    return found


def asked_about(run: FlowRun) -> Literal["", "storyboard", "video"]:
    """What `run` waits for a person to look at, if it does."""
    if run.state is None or not run.state.is_paused():
        return ""
    return "video" if run.state.state_details.pause_key == VIDEO else "storyboard"


def _accept(answer: Answer) -> None:
    if answer.decision == "reject":
        raise RejectedError(answer.reason or "rejected without a reason")


def _with_edits(brief: Brief, draft: Draft, shots: list[HandShot]) -> Brief:
    if not shots:
        return brief
    try:
        return edited(brief, draft, shots)
    except ValidationError as error:
        raise BriefError(f"the edited storyboard cannot be made: {sentences(error)}") from error


def _timeout(brief: Brief) -> int:
    return int((timedelta(hours=brief.approval_hours) + _MARGIN).total_seconds())


def _brief_of(run: FlowRun) -> Brief | None:
    try:
        return parse_brief(dict(run.parameters["brief"]))
    except (BriefError, KeyError, TypeError):
        return None  # of another version
