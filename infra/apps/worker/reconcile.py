"""Runs that nobody works on, though Prefect says that somebody does: put them back in the queue.

A worker that was killed leaves its runs Pending, Running or Cancelling for ever, and their slots
taken. The worker of the same name knows which of them it does not have.
"""

import logging
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.states import AwaitingRetry, Cancelled, Crashed

STARTS = 3
"""Times that a run may begin before a crash is final."""
_RECENT = timedelta(hours=1)
_LABEL = "prefect.worker.name"
_log = logging.getLogger("reelwright.worker")


async def reconcile(
    client: PrefectClient, pool: str, worker: str, busy: Collection[UUID]
) -> list[UUID]:
    """Change the state of the runs of `worker` in `pool` that are not in `busy`. Returns them."""
    changed = []
    for run in await _runs(
        client, pool, StateType.PENDING, StateType.RUNNING, StateType.CANCELLING
    ):
        if run.id in busy or run.labels.get(_LABEL) != worker or run.state is None:
            continue
        state = state_for(run, "The worker that had this run was stopped.")
        await client.set_flow_run_state(run.id, state, force=True)
        _log.warning("%s was left %s by a worker: now %s", run.name, run.state.name, state.name)
        changed.append(run.id)
    return changed


async def revive(client: PrefectClient, pool: str, worker: str) -> list[UUID]:
    """Queue again what crashed lately under `worker`, unless another flow waits for it.

    A flow that waits for a crashed run starts another one itself.
    """
    changed = []
    since = FlowRunFilterEndTime(after_=datetime.now(UTC) - _RECENT)
    for run in await _runs(client, pool, StateType.CRASHED, end_time=since):
        if (
            run.labels.get(_LABEL) != worker
            or run.parent_task_run_id is not None
            or run.run_count >= STARTS
        ):
            continue
        words = run.state.message if run.state else ""
        await client.set_flow_run_state(
            run.id, AwaitingRetry(message=f"Crashed ({words}); starting again."), force=True
        )
        _log.warning("%s crashed (%s): queued again", run.name, words)
        changed.append(run.id)
    return changed


async def _runs(client: PrefectClient, pool: str, *types: StateType, **more: Any) -> list[FlowRun]:
    return await client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(types))), **more
        ),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
        limit=200,
    )


def state_for(run: FlowRun, message: str) -> State[Any]:
    """The new state of a run whose worker is gone; `message` says how it was lost."""
    assert run.state is not None
    if run.state.type == StateType.CANCELLING:
        return Cancelled(message=message)
    if run.run_count >= STARTS:
        return Crashed(message=f"{message} It had begun {run.run_count} times; not again.")
    return AwaitingRetry(message=f"{message} It goes on where it was.")
