"""Prefect's history after a restore: nobody works on what it calls at work.

The rules are those of a worker that finds its own runs after a kill (`worker.reconcile`). There is
one more: a run on the GPU host goes on only if the flow that waits for it does.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from infra.adapters.databases import Postgres
from infra.adapters.prefect_server import PrefectServer

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun, StateType

_MESSAGE = "The studio was restored from a backup that was made while this ran."
_NOBODY = """
delete from automation_bucket;
delete from worker;
update concurrency_limit set active_slots = '[]';
update concurrency_limit_v2 set active_slots = 0;
"""
"""Who was being watched for heartbeats, who was there to work, and who held a slot: nobody now.
A watch that goes on would call each run Crashed as soon as the server is up."""
_PAGE = 200
_log = logging.getLogger("reelwright.backup")


def mend(database: Postgres, folder: Path) -> int:
    """Queue again what was at work, through a server without services. Returns how many runs.

    The server's own files go into `folder`. Raises ServerError, BackupError.
    """
    if not database.prefect_schema():
        return 0  # nobody had used it
    database.ask(_NOBODY)
    settings = {
        "PREFECT_API_DATABASE_CONNECTION_URL": database.url,
        "PREFECT__SERVER_WEBSERVER_ONLY": "1",
        "PREFECT_SERVER_UI_ENABLED": "false",
    }
    server = PrefectServer(folder, settings=settings)
    try:
        server.wait()
        os.environ["PREFECT_HOME"] = str(folder)  # before its import, which makes files there
        return _mend(server.api_url)
    finally:
        server.stop()


def _mend(api: str) -> int:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.objects import State
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
    from prefect.states import Crashed

    from infra.apps.worker.reconcile import state_for

    with (
        temporary_settings({PREFECT_API_URL: api}, restore_defaults={PREFECT_API_AUTH_STRING}),
        get_client(sync_client=True) as client,
    ):
        runs = list(_at_work(client))
        going_on = {run.id for run in runs if run.deployment_id} | set(_waiting(client))
        for run in runs:
            parent = _parent_of(client, run)
            if run.deployment_id is None or (parent and parent not in going_on):
                state: State[Any] = Crashed(message=f"{_MESSAGE} Nobody waits for it any more.")
            else:
                state = state_for(run, _MESSAGE)
            client.set_flow_run_state(run.id, state, force=True)
            _log.warning("%s was at work: now %s", run.name, state.name)
        return len(runs)


def _at_work(client: "SyncPrefectClient") -> Iterator["FlowRun"]:
    from prefect.client.schemas.objects import StateType

    yield from _runs(client, StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)


def _waiting(client: "SyncPrefectClient") -> Iterator[UUID]:
    from prefect.client.schemas.objects import StateType

    for run in _runs(client, StateType.SCHEDULED, StateType.PAUSED):
        yield run.id


def _runs(client: "SyncPrefectClient", *types: "StateType") -> Iterator["FlowRun"]:
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.sorting import FlowRunSort

    wanted = FlowRunFilterState(type=FlowRunFilterStateType(any_=list(types)))
    offset = 0
    while page := client.read_flow_runs(
        flow_run_filter=FlowRunFilter(state=wanted),
        sort=FlowRunSort.ID_DESC,
        limit=_PAGE,
        offset=offset,
    ):
        yield from page
        offset += len(page)


def _parent_of(client: "SyncPrefectClient", run: "FlowRun") -> UUID | None:
    """The flow run that started `run` and waits for its end."""
    if run.parent_task_run_id is None:
        return None
    return client.read_task_run(run.parent_task_run_id).flow_run_id
