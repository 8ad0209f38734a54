"""The log of one run, as Prefect's server has it. Apart from `logs`, which needs no Prefect."""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterName,
    FlowRunFilterParentFlowRunId,
    LogFilter,
    LogFilterFlowRunId,
    LogFilterTimestamp,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import PrefectHTTPStatusError

from pipelines.errors import BriefError, ServerError

_ASK_EVERY = 2.0
"""Seconds between two questions to Prefect's server."""
_PAGE = 200
_LATE = timedelta(seconds=10)
"""Lines of a run reach the server in batches; one may come after others that are younger."""
Say = Callable[[str], None]


def show_run(run: str, count: int, say: Say, *, follow: bool, stop: Callable[[], bool]) -> None:
    """Say the last `count` lines of a run and of those that it started; with `follow` go on until
    it has ended or `stop`.

    `run` is an id, or a name that only one run has. Raises BriefError if there is no such run, and
    ServerError if Prefect's server does not answer.
    """
    try:
        with get_client(sync_client=True) as client:
            found = _find(client, run)
            seen: set[UUID] = set()
            newest: datetime | None = None
            first = True
            while True:
                ended = not follow or _has_ended(client, found.id)
                lines = list(_lines(client, [found.id, *_children(client, found.id)], newest))
                fresh = [line for line in lines if line[0] not in seen]
                for identity, moment, text in fresh[-count:] if first else fresh:
                    say(text)
                    newest = max(newest or moment, moment)
                    seen.add(identity)
                seen.update(line[0] for line in fresh)
                first = False
                if ended or stop():
                    return
                time.sleep(_ASK_EVERY)
    except (httpx.HTTPError, PrefectHTTPStatusError) as error:
        raise ServerError(f"the Prefect server does not tell the logs of {run}: {error}") from error


def _find(client: SyncPrefectClient, run: str) -> FlowRun:
    try:
        wanted = FlowRunFilter(id=FlowRunFilterId(any_=[UUID(run)]))
    except ValueError:
        wanted = FlowRunFilter(name=FlowRunFilterName(any_=[run]))
    found = client.read_flow_runs(
        flow_run_filter=wanted, sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=2
    )
    if len(found) == 1:
        return found[0]
    if found:
        raise BriefError(f"several runs have the name {run!r}; give the id: reelwright runs list")
    raise BriefError(f"there is no run {run!r}; see: reelwright runs list")


def _has_ended(client: SyncPrefectClient, run: UUID) -> bool:
    state = client.read_flow_run(run).state
    return state is not None and state.is_final()


def _children(client: SyncPrefectClient, run: UUID) -> list[UUID]:
    below = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[run]))
    return [child.id for child in client.read_flow_runs(flow_run_filter=below)]


def _lines(
    client: SyncPrefectClient, runs: Sequence[UUID], newest: datetime | None
) -> Iterator[tuple[UUID, datetime, str]]:
    """Id, time and text of every line since `newest`, the oldest first."""
    wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=list(runs)))
    if newest is not None:
        wanted.timestamp = LogFilterTimestamp(after_=newest - _LATE)
    offset = 0
    while page := client.read_logs(wanted, limit=_PAGE, offset=offset):
        for log in page:
            moment = log.timestamp
            yield log.id, moment, f"{moment:%Y-%m-%d %H:%M:%S} {log.name}: {log.message}"
        offset += len(page)
