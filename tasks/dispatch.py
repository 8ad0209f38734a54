"""Starts a run on the GPU host for the editor's flow, and reads its result as JSON from the bucket.

The state of the child run is read explicitly, because Prefect raises nothing if a child run fails.
The idempotency key contains the number of the attempt, because Prefect returns the same run for the
same key for ever.
"""

import contextlib
import logging
import time
from typing import Any, TypeVar
from uuid import UUID

from prefect import task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments import run_deployment
from prefect.runtime import deployment, flow_run
from prefect.states import Cancelling
from pydantic import ValidationError

from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings
from pipelines.documents.brief import Brief
from pipelines.documents.draft import Draft
from pipelines.documents.manifest import Film
from pipelines.errors import CorruptObjectError, MissingObjectError, RenderError
from pipelines.schema.keys import ObjectKey
from pipelines.schema.names import DRAFT_STORYBOARD, RENDER_VIDEO
from tasks.artifacts import DRAFT_MADE, FILM_MADE, ProgressMirror
from tasks.context import RunContext, needs_device
from tasks.failures import failure_of
from tasks.options import STAGE

RENDER = f"{RENDER_VIDEO}/gpu"
DRAFT = f"{DRAFT_STORYBOARD}/gpu"
QUEUES = ("rush", "normal", "batch")
"""Work queues in the order of their priority. The deployments of `produce-content` have the same
names."""
CLOCK = "clock"
"""Work queue of scheduled flows. They are short, and they never wait behind a brief."""
ATTEMPTS = 3
"""Most runs on the GPU host for one brief. Another run starts only after a crash or a lost
result."""
_POLL, _LONGEST_POLL = 1.0, 5.0
DRAFT_PERCENT, FILM_PERCENT = 10.0, 95.0
"""Progress of a brief whose draft is made, and whose film is made and not published yet."""
_Handoff = TypeVar("_Handoff", Film, Draft)


def is_deployed() -> bool:
    """Whether a worker runs this flow from its deployment. False for a flow that a command runs."""
    return deployment.id is not None


def runs_on_gpu_host(brief: Brief) -> bool:
    """Whether another run, on the GPU host, makes the film. False if the brief needs no device."""
    return is_deployed() and needs_device(brief)


@task(name="handoff", **STAGE)
def hand_off(made: _Handoff, context: RunContext) -> _Handoff:
    """Store the result of this run in the bucket, for the flow that waits for this run.

    Raises StoreError if the store fails.
    """
    if is_deployed():
        key_of = ObjectKey.film if isinstance(made, Film) else ObjectKey.draft
        data = made.model_dump_json().encode()
        context.store.put_bytes(key_of(flow_run.id), data, "application/json")
    return made


def render_on_gpu_host(brief: Brief, turn: int = 0) -> Film:
    """The film, made by a run of `render-video` on the GPU host.

    A second call for the same flow run (after a retry, or by a worker that was restarted) finds the
    run that the first call started; another `turn` is a run of its own. If the child failed, this
    raises UnavailableError, RefusedError or BudgetError as the child did, and RenderError with the
    child's own message for any other error; RenderError too if ATTEMPTS children crashed, or if the
    GPU host has another version; StoreError if the store fails.
    """
    purpose = purpose_of("render", turn)
    return _on_gpu_host(RENDER, purpose, brief, queue_of(brief, deployment.name), Film)


def draft_on_gpu_host(brief: Brief, turn: int = 0, round: int = 1) -> Draft:
    """The draft, made by a run of `draft-storyboard` on the GPU host. Each `round` of a review is a
    run of its own.

    It has the highest priority, because it takes seconds and a person waits for it. Raises as
    `render_on_gpu_host`.
    """
    return _on_gpu_host(DRAFT, purpose_of("draft", turn, round), brief, QUEUES[0], Draft)


def purpose_of(purpose: str, turn: int, round: int = 1) -> str:
    """`purpose` for the given turn of a route and round of a review. The first ones have no number,
    as before turns and rounds."""
    of_turn = f"{purpose}-{turn + 1}" if turn else purpose
    return f"{of_turn}-round-{round}" if round > 1 else of_turn


def queue_of(brief: Brief, deployment_name: str | None) -> str:
    """The brief's own priority if it is not `normal`, else the priority of the deployment that runs
    it."""
    if brief.priority == "normal" and deployment_name in QUEUES:
        return deployment_name
    return brief.priority


def _on_gpu_host(
    name: str, purpose: str, brief: Brief, queue: str, kind: type[_Handoff]
) -> _Handoff:
    parameters = {"brief": brief.model_dump(mode="json")}
    for attempt in range(1, ATTEMPTS + 1):
        child = run_deployment(
            name,
            parameters=parameters,
            flow_run_name=f"{flow_run.name} ({purpose} {attempt})",
            work_queue_name=queue,
            idempotency_key=f"{flow_run.id}-{purpose}-{attempt}",
            timeout=0,
        )
        assert isinstance(child, FlowRun)
        state = _wait(child, brief, is_draft=name == DRAFT)
        if state.is_completed():
            try:
                return _collect(child.id, kind)
            except CorruptObjectError as error:  # another run finds its work and stores this again
                words = str(error)
        else:
            words = f"{state.name}: {state.message or 'no reason was given'}"
            if not state.is_crashed():
                known = failure_of(child.id) if state.is_failed() else None
                raise known or RenderError(f"the run on the GPU host ended as {words}")
        logging.getLogger("reelwright.dispatch").warning(
            "attempt %s on the GPU host: %s", attempt, words
        )
    raise RenderError(f"the run on the GPU host failed {ATTEMPTS} times, at last with {words}")


def _wait(child: FlowRun, brief: Brief, *, is_draft: bool) -> State[Any]:
    """Wait until the child run has ended. If this run is cancelled meanwhile, the child is
    cancelled too."""
    had_draft = brief.approval in ("storyboard", "both")
    start, end = (0.0, DRAFT_PERCENT) if is_draft else (had_draft * DRAFT_PERCENT, FILM_PERCENT)
    with get_client(sync_client=True) as client:
        try:
            made = DRAFT_MADE if is_draft else FILM_MADE
            mirror = ProgressMirror(client, child.id, start, end, made)
            began = time.monotonic()
            while True:
                run = client.read_flow_run(child.id)
                if run.state and run.state.is_final():
                    if run.state.is_completed():
                        mirror.finish()
                    return run.state
                if run.start_time:
                    mirror.look()
                    time.sleep(_POLL)
                else:
                    time.sleep(_pause_in_queue(time.monotonic() - began))
        except BaseException:
            _cancel_if_we_are(client, child)
            raise


def _pause_in_queue(waited: float) -> float:
    """Seconds until the next look at a run that has waited for the GPU for `waited` seconds. They
    grow, because ten runs may wait for hours."""
    return min(_POLL + waited / 20, _LONGEST_POLL)


def _cancel_if_we_are(client: SyncPrefectClient, child: FlowRun) -> None:
    """Cancel the child if this run is cancelled. If a worker only stops or restarts this run, the
    child goes on."""
    with contextlib.suppress(Exception):
        us = client.read_flow_run(flow_run.id)
        if us.state and (us.state.is_cancelling() or us.state.is_cancelled()):
            client.set_flow_run_state(child.id, Cancelling(message="The brief was cancelled."))


def _collect(run: UUID, kind: type[_Handoff]) -> _Handoff:
    """What the completed `run` stored.

    Raises CorruptObjectError if it is damaged or gone, and RenderError if another version wrote it.
    """
    key = ObjectKey.film(run) if kind is Film else ObjectKey.draft(run)
    data = ObjectStore(Settings.load().store).get_bytes(key)
    if data is None:
        raise MissingObjectError(f"{key} is missing, though the run that makes it says it is done")
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise RenderError(
            "the GPU host runs another version of Reelwright than this flow; run it again when "
            "both have the same"
        ) from error
