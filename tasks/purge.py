"""Removes unused objects from the bucket, and old runs from Prefect's history."""

import json
import logging
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterParentTaskRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import TERMINAL_STATES, FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.runtime import deployment

from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings
from pipelines.errors import BriefError
from pipelines.schema.names import CONTENT_CALENDAR
from tasks.calendar import NOTHING_DUE
from tasks.options import STAGE
from tasks.sweeping import Sweeper, SweepReport, ages_of, rows_of

STALE_UPLOAD = timedelta(days=1)
"""Age of an abandoned multipart upload. Our own uploads take minutes."""
_PAGE = 200
"""Runs or artifacts for each request to Prefect."""
_BATCH = 50
"""Runs whose artifacts are requested together."""
_MAX_DELETED = 5_000
"""Most runs that one purge deletes. A longer history is deleted over several nights."""
_log = logging.getLogger("reelwright.purge")


@task(name="abort-uploads", **STAGE)
def abort_uploads() -> int:
    """Abort multipart uploads that began more than STALE_UPLOAD ago. Returns their number.

    Raises SettingsError if a setting is invalid, and StoreError if the store fails.
    """
    count = ObjectStore(Settings.load().store).abort_stale_uploads(STALE_UPLOAD)
    _log.info("%s unfinished uploads aborted", count)
    return count


@task(name="sweep-bucket", **STAGE)
def sweep_bucket(keep_days: int = 0, dry_run: bool = False) -> SweepReport:
    """Delete objects that no video, no living run and no calendar uses, once they are old enough.

    `keep_days` replaces REELWRIGHT_RETENTION_RUNS_DAYS if it is not 0. Raises BriefError if it is
    not 1 to 365, SettingsError if a setting is invalid, StoreError if the store fails, and
    httpx.HTTPError if Prefect's server fails.
    """
    settings = Settings.load()
    ages = ages_of(settings.retention)
    if keep_days:
        _check_days(keep_days)
        ages = ages.model_copy(update={"runs": keep_days})
    living, texts = living_runs()
    store = ObjectStore(settings.store)
    report = Sweeper(store, ages, settings.retention.kept, living, texts).sweep(dry_run=dry_run)
    _log.info("%s", report.sentence())
    return report


def show_sweep(report: SweepReport, runs: int) -> None:
    """Show the numbers before and after the sweep on the page of this run."""
    if deployment.id is None:
        return
    verb = "would be deleted" if report.dry_run else "deleted"
    words = f"{report.sentence()}; {runs:,} ended runs {verb} from Prefect"
    create_table_artifact(rows_of(report), key="retention", description=words)


@task(name="purge-history", **STAGE)
def purge_history(dry_run: bool = False) -> int:
    """Delete old runs that have ended from Prefect, with their logs and artifacts. Returns their
    number.

    Runs of the calendar that started nothing are deleted sooner. With `dry_run` the runs are only
    counted. A child run is deleted after its parent run, so that a waiting brief never loses its
    work on the GPU host. Raises SettingsError if a setting is invalid, and httpx.HTTPError if
    Prefect's server fails.
    """
    settings = Settings.load().retention
    count = 0
    with get_client(sync_client=True) as client:
        for days, flow in ((settings.minutes_days, CONTENT_CALENDAR), (settings.prefect_days, "")):
            if days:
                limit = datetime.now(UTC) - timedelta(days=days)
                count += _purge(client, limit, flow, dry_run)
    _log.info("%s runs %s", count, "would be deleted" if dry_run else "deleted")
    return count


def forget_empty_minutes() -> int:
    """Delete the calendar's recent runs that started nothing, so that Prefect's list of runs shows
    those that did. Returns how many; an error is logged, because the next minute tries again.

    The last minutes stay, as a sign that the calendar works. Only the newest runs are looked at:
    what is older was looked at before, and `purge_history` removes the rest.
    """
    minutes = Settings.load().retention.empty_minutes
    if not minutes:
        return 0
    before = datetime.now(UTC) - timedelta(minutes=minutes)
    ended = FlowRunFilterStateType(any_=[StateType.COMPLETED, StateType.CANCELLED])
    try:
        with get_client(sync_client=True) as client:
            runs = client.read_flow_runs(
                flow_filter=FlowFilter(name=FlowFilterName(any_=[CONTENT_CALENDAR])),
                flow_run_filter=FlowRunFilter(
                    state=FlowRunFilterState(type=ended),
                    end_time=FlowRunFilterEndTime(before_=before),
                ),
                sort=FlowRunSort.ID_DESC,
                limit=_BATCH,
            )
            empty = [run.id for run in runs if _started_nothing(run)]
            _delete(client, empty)
    except (httpx.HTTPError, PrefectHTTPStatusError) as error:
        _log.warning("runs of the calendar that started nothing are left: %s", error)
        return 0
    return len(empty)


def living_runs() -> tuple[frozenset[str], list[str]]:
    """Ids of runs that have not ended and of all their child runs; and the parameters of the
    former.

    Raises httpx.HTTPError if Prefect's server fails.
    """
    ids: set[str] = set()
    living = FlowRunFilterState(
        type=FlowRunFilterStateType(any_=[s for s in StateType if s not in TERMINAL_STATES])
    )
    with get_client(sync_client=True) as client:
        runs = _all(client, FlowRunFilter(state=living))
        for start in range(0, len(runs), _PAGE):
            above = [run.id for run in runs[start : start + _PAGE]]
            children = FlowRunFilterParentFlowRunId(any_=above)
            below = _all(client, FlowRunFilter(parent_flow_run_id=children))
            ids |= {str(run) for run in above} | {str(run.id) for run in below}
    texts = [json.dumps(run.parameters, default=str) for run in runs if run.parameters]
    return frozenset(ids), texts


def _purge(client: SyncPrefectClient, before: datetime, flow: str, dry_run: bool) -> int:
    old = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(TERMINAL_STATES))),
        end_time=FlowRunFilterEndTime(before_=before),
        parent_task_run_id=FlowRunFilterParentTaskRunId(is_null_=True),
    )
    found: list[UUID] = []
    for page in _pages(client, old, flow):
        found += [run.id for run in page if not flow or _started_nothing(run)]
        if len(found) >= _MAX_DELETED:
            break
    found = found[:_MAX_DELETED]
    if not dry_run:
        for start in range(0, len(found), _BATCH):
            _delete(client, found[start : start + _BATCH])
    return len(found)


def _delete(client: SyncPrefectClient, runs: list[UUID]) -> None:
    """Delete runs and their artifacts. Prefect 3.8 deletes task runs, states and logs with a run,
    but not its artifacts."""
    theirs = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=runs))
    while artifacts := client.read_artifacts(artifact_filter=theirs, limit=_PAGE):
        for artifact in artifacts:
            client.delete_artifact(artifact.id)
    for run in runs:
        with suppress(ObjectNotFound):
            client.delete_flow_run(run)


def _started_nothing(run: FlowRun) -> bool:
    """Whether it found nothing due, or never began, as one of two at the same time."""
    if run.state is None:
        return False
    if run.state.is_cancelled():
        return run.run_count == 0
    return run.state.is_completed() and run.state.message == NOTHING_DUE


def _all(client: SyncPrefectClient, wanted: FlowRunFilter) -> list[FlowRun]:
    """All runs that match the filter.

    If a run ceases to match between two pages, those behind it move forward, and the next page
    misses one. So if there is more than one page, all are read again until no new run is found.
    """
    found: dict[UUID, FlowRun] = {}
    while True:
        pages = list(_pages(client, wanted))
        new = {run.id: run for page in pages for run in page if run.id not in found}
        found |= new
        if sum(map(len, pages)) < _PAGE or not new:
            return list(found.values())


def _pages(
    client: SyncPrefectClient, wanted: FlowRunFilter, flow: str = ""
) -> Iterator[list[FlowRun]]:
    """All runs that match the filter, in the descending order of their ids."""
    offset = 0
    while page := client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])) if flow else None,
        flow_run_filter=wanted,
        sort=FlowRunSort.ID_DESC,
        limit=_PAGE,
        offset=offset,
    ):
        yield page
        offset += len(page)


def _check_days(keep_days: int) -> None:
    if not 1 <= keep_days <= 365:
        raise BriefError(f"keep_days is {keep_days}; it must be 1 to 365")
