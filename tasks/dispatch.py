"""From the editor's flow to the GPU host and back: one run of `render-video`, and small JSON.

The child's state is looked at, because Prefect does not: a failed child raises nothing. Its
idempotency key counts attempts, because a key that was once used gives the same run for ever.
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
from pipelines.errors import CorruptObjectError, MissingObjectError, RenderError
from pipelines.schema.brief import Brief
from pipelines.schema.draft import Draft
from pipelines.schema.keys import ObjectKey
from pipelines.schema.manifest import Film
from tasks.knobs import STAGE
from tasks.page import DRAFT_MADE, FILM_MADE, ProgressMirror
from tasks.room import Room

RENDER = "render-video/gpu"
DRAFT = "draft-storyboard/gpu"
QUEUES = ("rush", "normal", "batch")
"""By priority; the deployments of `produce-content` have the same names."""
CLOCK = "clock"
"""Queue of what a schedule starts: short, and never behind a brief."""
ATTEMPTS = 3
"""Runs on the GPU host for one brief, of which all but the last crashed."""
_POLL, _LONGEST_POLL = 1.0, 5.0
_DRAFT_SHARE = 0.1
"""Of the progress of a brief that has one."""
_Handed = TypeVar("_Handed", Film, Draft)


def in_studio() -> bool:
    """Whether a worker runs this flow from its deployment, and not a command by itself."""
    return deployment.id is not None


@task(name="hand-over", **STAGE)
def hand_over(made: _Handed, room: Room) -> _Handed:
    """Leave what was made in the bucket for the flow that waits for this run."""
    if in_studio():
        place = ObjectKey.film if isinstance(made, Film) else ObjectKey.draft
        data = made.model_dump_json().encode()
        room.store.put_bytes(place(flow_run.id), data, "application/json")
    return made


def render_on_gpu_host(brief: Brief) -> Film:
    """The film, made by a run of `render-video` in the GPU host's pool.

    Called again for the same flow run (a retry, a worker that was restarted) it finds the run
    that it started before. Raises RenderError with the child's own words if it failed.
    """
    return _on_gpu_host(RENDER, "render", brief, queue_of(brief, deployment.name), Film)


def draft_on_gpu_host(brief: Brief) -> Draft:
    """The same with `draft-storyboard`, which goes before everything that waits: it takes
    seconds, and somebody waits for it."""
    return _on_gpu_host(DRAFT, "draft", brief, QUEUES[0], Draft)


def queue_of(brief: Brief, deployment_name: str | None) -> str:
    """The brief's own priority if it has one, else that of the deployment that took it."""
    if brief.priority == "normal" and deployment_name in QUEUES:
        return deployment_name
    return brief.priority


def _on_gpu_host(name: str, purpose: str, brief: Brief, queue: str, kind: type[_Handed]) -> _Handed:
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
        state = _wait(child, is_draft=name == DRAFT)
        if state.is_completed():
            try:
                return _collect(child.id, kind)
            except CorruptObjectError as error:  # another run finds all work but this object
                words = str(error)
        else:
            words = f"{state.name}: {state.message or 'no reason was given'}"
            if not state.is_crashed():
                raise RenderError(f"the run on the GPU host ended as {words}")
        logging.getLogger("reelwright.dispatch").warning(
            "attempt %s on the GPU host: %s", attempt, words
        )
    raise RenderError(f"the run on the GPU host failed {ATTEMPTS} times, at last with {words}")


def _wait(child: FlowRun, *, is_draft: bool) -> State[Any]:
    """Until the child has ended. If we are stopped meanwhile, so is the child."""
    share, made = (_DRAFT_SHARE, DRAFT_MADE) if is_draft else (1.0, FILM_MADE)
    with get_client(sync_client=True) as client:
        try:
            mirror = ProgressMirror(client, child.id, share, made)
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
    """Seconds until the next look at a run that has waited so long for the GPU: it may wait for
    hours, and nine others with it."""
    return min(_POLL + waited / 20, _LONGEST_POLL)


def _cancel_if_we_are(client: SyncPrefectClient, child: FlowRun) -> None:
    """A worker that stops or restarts us is no reason to lose the child's work."""
    with contextlib.suppress(Exception):
        us = client.read_flow_run(flow_run.id)
        if us.state and (us.state.is_cancelling() or us.state.is_cancelled()):
            client.set_flow_run_state(child.id, Cancelling(message="The brief was cancelled."))


def _collect(run: UUID, kind: type[_Handed]) -> _Handed:
    """What the completed `run` left. Raises CorruptObjectError if it is damaged or gone."""
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
