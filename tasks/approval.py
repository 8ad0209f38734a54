"""Approval by a person: of the storyboard before the chunks are made, and of the finished video.

A flow run that waits for a decision is suspended: no process waits, and no slot of a work pool is
held. After the decision the flow runs again from its first line, and finds all finished work in the
bucket. If nobody decides in time, `settle_silences` decides as the brief says; a scheduled flow
calls it.
"""

import itertools
import logging
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Literal, TypeVar
from uuid import UUID

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
from prefect.runtime import flow_run
from prefect.states import Cancelled
from pydantic import Field

from pipelines.documents.brief import Brief
from pipelines.documents.manifest import Film
from pipelines.documents.parsing import parse_brief
from pipelines.documents.route import Route
from pipelines.errors import BriefError, BudgetError, RejectedError
from pipelines.schema.names import PRODUCE_CONTENT
from tasks.artifacts import (
    describe_cost,
    describe_film,
    show_film,
)
from tasks.dispatch import is_deployed, purpose_of
from tasks.options import STAGE
from tasks.route import approved
from tasks.run_names import tidy_ended, waiting_shown

Subject = Literal["storyboard", "video", "cost"]
STORYBOARD, VIDEO, COST = "storyboard", "video", "cost"
"""The subjects of an approval. The keys under which Prefect stores the decisions begin with them; a
number follows if a route had to begin again."""
SILENCE = "silence"
"""Who decides, by the answer, if nobody did in time."""
_MARGIN = timedelta(days=7)
"""Time after the deadline of an approval at which Prefect itself fails the run, if nobody settled
it."""
_PAGE = 200
"""Runs for each request to Prefect."""
_log = logging.getLogger("reelwright.approval")


class Answer(RunInput):
    """What a person says about a draft or a finished video."""

    decision: Literal["approve", "reject"] = Field("approve", title="Decision")
    reason: str = Field("", title="Reason", description="Shown with a rejected brief.")
    by: str = Field(
        "", max_length=100, title="Your name", description="For the manifest of the video."
    )


Form = TypeVar("Form", bound=Answer)


def approve_cost(brief: Brief, route: Route) -> Route:
    """Suspend the run until a person approves the price of the chosen preset, if that is above a
    cap. Returns the route with the approval.

    Raises RejectedError if the person rejects the price, and BudgetError outside a studio, where
    nobody can be asked.
    """
    if not route.ask:
        return route
    if not is_deployed():
        raise BudgetError(
            f"{route.chosen.preset}: {route.ask}. A person must approve that, which only a studio "
            "can ask for (reelwright up); name a cheaper preset, or let the operator raise the "
            "cap. Nothing was spent"
        )
    form = Answer.with_initial_data(description=describe_cost(route))
    key = purpose_of(COST, route.turn)
    accept(ask(form, brief, key))
    return approved(route)


def approve_video(brief: Brief, film: Film) -> None:
    """Suspend the run until a person approves the finished video, if the brief asks for that.

    Raises RejectedError if the person rejects the video, SettingsError if a setting is invalid, and
    StoreError if the settings name no gateway and the store cannot sign a link.
    """
    if brief.approval not in (VIDEO, "both") or not is_deployed():
        return
    show_film(film, brief.prompt)
    form = Answer.with_initial_data(description=describe_film(film))
    accept(ask(form, brief, VIDEO))


def silence(brief: Brief) -> str:
    """When the time to answer is over that begins now, and what happens then."""
    end = datetime.now(UTC) + timedelta(hours=brief.approval_hours)
    return (
        f"Answer until {end:%d %B %Y, %H:%M} UTC. Without an answer, it is "
        f"{'approved as it stands here' if brief.on_silence == 'approve' else 'rejected'}."
    )


def rejected(rejection: RejectedError) -> State[Any]:
    """The final state of a flow whose brief was rejected: cancelled, not failed."""
    return Cancelled(name="Rejected", message=str(rejection))


@task(name="settle-silences", **STAGE)
def settle_silences() -> int:
    """Settle every approval whose time is over, as its brief says. Returns how many were settled.

    An approval that cannot be settled is logged, and the next one is settled all the same. Raises
    httpx.HTTPError if Prefect's server does not list the waiting runs.
    """
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
        tidy_ended(client)
    return count


def _settle(client: SyncPrefectClient, run: FlowRun, brief: Brief) -> bool:
    """Resume `run` with the decision of its brief. Returns whether that worked; an error is logged,
    so that the other approvals are settled."""
    words = f"nobody answered within {brief.approval_hours:g} hours"
    # Silence never spends money.
    decision = "reject" if asked_about(run) == COST else brief.on_silence
    answer = {"decision": decision, "reason": words, "by": SILENCE}
    try:
        result = client.resume_flow_run(run.id, run_input=answer)
        if result.status == SetStateStatus.REJECT:
            # A version up to 0.5.0 asked; its form does not know who decides.
            older = {name: value for name, value in answer.items() if name != "by"}
            result = client.resume_flow_run(run.id, run_input=older)
    except (httpx.HTTPError, PrefectHTTPStatusError, ObjectNotFound) as error:
        _log.error("%s: %s, but it cannot be settled: %s", run.name, words, error)
        return False
    if result.status != SetStateStatus.ACCEPT:
        _log.error("%s: %s, but Prefect answers %s", run.name, words, result.status.value)
        return False
    _log.info("%s: %s, so it is %sed", run.name, words, decision.rstrip("e"))
    return True


def waiting_runs(client: SyncPrefectClient) -> list[FlowRun]:
    """Runs of `produce-content` that wait for a person. Raises httpx.HTTPError if Prefect's server
    fails."""
    paused = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PAUSED]))
    found: list[FlowRun] = []
    while page := client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=[PRODUCE_CONTENT])),
        flow_run_filter=FlowRunFilter(state=paused),
        sort=FlowRunSort.ID_DESC,
        limit=_PAGE,
        offset=len(found),
    ):
        found += page
    return found


def asked_about(run: FlowRun) -> Subject | Literal[""]:
    """What `run` waits for: an approval of its price, of its storyboard or of its video. Empty if
    it does not wait."""
    return subject_of(run.state) if run.state else ""


def subject_of(state: State) -> Literal["", "storyboard", "video", "cost"]:
    """What a run in that state waits for; empty if it does not wait."""
    if not state.is_paused():
        return ""
    return _subject_of(state.state_details.pause_key or "")


def subjects_of(run: FlowRun) -> frozenset[Subject]:
    """What `run` asked about up to now."""
    return frozenset(_subject_of(key) for key in _questions(run))


def questions_about(run: FlowRun, subject: Subject) -> int:
    """How many questions about `subject` the run asked up to now."""
    return sum(_subject_of(key) == subject for key in _questions(run))


def _questions(run: FlowRun) -> frozenset[str]:
    policy = run.empirical_policy
    return frozenset(policy.pause_keys or ()) if policy else frozenset()


def _subject_of(key: str) -> Subject:
    if key.startswith(COST):
        return "cost"
    return "video" if key.startswith(VIDEO) else "storyboard"


def ask(form: type[Form], brief: Brief, key: str) -> Form:
    """What a person answers about the subject that `key` begins with. Suspends the run until
    somebody does.

    Prefect suspends a run once under a key. A run that began again while it waited, because its
    process was taken for dead, would get the form's defaults for an answer, and they approve. So
    the same question is asked again under another key.
    """
    for number in itertools.count(1):
        name = key if number == 1 else f"{key}-again-{number}"
        with waiting_shown(brief, key.partition("-")[0]):
            answer = suspend_flow_run(wait_for_input=form, timeout=_timeout(brief), key=name)
        if _was_answered(name):
            return answer
        _log.warning("this run began again before anybody answered; it asks again")
    raise AssertionError("the loop has no end")


def _was_answered(key: str) -> bool:
    """Whether somebody resumed this run from its suspension under `key`."""
    with get_client(sync_client=True) as client:
        states = client.read_flow_run_states(UUID(str(flow_run.id)))
    in_order = sorted(states, key=lambda state: state.timestamp)
    return any(
        before.state_details.pause_key == key and after.name == "Resuming"
        for before, after in pairwise(in_order)
    )


def accept(answer: Answer) -> None:
    """Raises RejectedError if `answer` is a rejection."""
    if answer.decision == "reject":
        raise RejectedError(answer.reason or "rejected without a reason")


def _timeout(brief: Brief) -> int:
    return int((timedelta(hours=brief.approval_hours) + _MARGIN).total_seconds())


def _brief_of(run: FlowRun) -> Brief | None:
    try:
        return parse_brief(dict(run.parameters["brief"]))
    except (BriefError, KeyError, TypeError):
        return None  # another version of Reelwright wrote it
