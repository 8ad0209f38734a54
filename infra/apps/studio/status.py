"""`reelwright status`: pools, queues, the run on the GPU, the last errors and warnings."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import Artifact, FlowRun, StateType
from prefect.client.schemas.sorting import ArtifactSort, FlowRunSort
from prefect.exceptions import PrefectHTTPStatusError

from infra.adapters.settings import Settings
from infra.adapters.space import low_disks, warning_of
from infra.apps.studio.processes import processes_of
from pipelines.errors import ServerError
from pipelines.schema.names import GPU_POOL, STUDIO_POOL, WARNINGS
from tasks.refusals import told

_ERRORS = 5
_RECENT = timedelta(days=1)
"""Warnings older than this are not shown: their cause may be gone."""
_PAGES = 50
"""Most pages of runs that are searched for warnings."""
_AT_WORK = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING, StateType.PAUSED)


@dataclass
class Run:
    """A flow run in a line."""

    name: str
    state: str
    message: str = ""
    progress: str = ""


@dataclass
class Pool:
    """A pool with its workers and runs."""

    name: str
    workers: list[str]
    waiting: int
    at_work: list[Run]


@dataclass
class Status:
    """The state of the studio."""

    processes: dict[str, bool] = field(default_factory=dict)
    pools: list[Pool] = field(default_factory=list)
    errors: list[Run] = field(default_factory=list)
    warnings: list[Run] = field(default_factory=list)
    """What stood in for a model or the device in the last day: each line once, with the newest run
    that says it."""
    disks: list[str] = field(default_factory=list)
    """A sentence for each disk of this machine with little space."""

    def as_json(self) -> str:
        return json.dumps(asdict(self), indent=1)

    def as_text(self) -> str:
        """The status as lines of text."""
        lines = [f"{name:<17} {'runs' if up else 'ENDED'}" for name, up in self.processes.items()]
        for pool in self.pools:
            workers = ", ".join(pool.workers) or "NO WORKER"
            lines.append(f"pool {pool.name:<12} {workers}; {pool.waiting} waiting")
            lines += [f"  {run.name}: {run.state} {run.progress}".rstrip() for run in pool.at_work]
        lines.append("last errors" if self.errors else "no errors")
        lines += [f"  {run.name}: {run.state}: {run.message}" for run in self.errors]
        lines += [f"DISK LOW: {words}" for words in self.disks]
        lines += ["WARNINGS of the last day"] if self.warnings else []
        lines += [f"  {run.name}: {run.message}" for run in self.warnings]
        return "\n".join(lines)


def status(settings: Settings) -> Status:
    """Read the status from the server that PREFECT_API_URL names. Raises ServerError if it
    cannot be reached."""
    try:
        with get_client(sync_client=True) as client:
            return Status(
                processes=processes_of(settings),
                pools=[_pool(client, name) for name in (STUDIO_POOL, GPU_POOL)],
                errors=[
                    _run(run)
                    for run in client.read_flow_runs(
                        flow_run_filter=_in(StateType.FAILED, StateType.CRASHED),
                        sort=FlowRunSort.END_TIME_DESC,
                        limit=_ERRORS,
                    )
                ],
                warnings=recent_warnings(client),
                disks=[
                    warning_of(space, settings.paths.disk_low_gb) for space in low_disks(settings)
                ],
            )
    except (httpx.HTTPError, PrefectHTTPStatusError) as error:
        raise ServerError(
            f"the Prefect server does not answer ({error}); is the studio up? see: reelwright up"
        ) from error


def _pool(client: SyncPrefectClient, name: str) -> Pool:
    here = WorkPoolFilter(name=WorkPoolFilterName(any_=[name]))
    busy = client.read_flow_runs(flow_run_filter=_in(*_AT_WORK), work_pool_filter=here, limit=200)
    waiting = client.read_flow_runs(
        flow_run_filter=_in(StateType.SCHEDULED), work_pool_filter=here, limit=200
    )
    due = [run for run in waiting if not run.auto_scheduled]
    workers = client.read_workers_for_work_pool(name)
    online = [worker.name for worker in workers if worker.status == "ONLINE"]
    return Pool(name, online, len(due), [_run(run, _progress(client, run)) for run in busy])


def _progress(client: SyncPrefectClient, run: FlowRun) -> str:
    mine = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
    for artifact in client.read_artifacts(artifact_filter=mine):
        if artifact.type == "progress":
            return f"{float(str(artifact.data)):.0f} % {artifact.description or ''}".strip()
    return ""


def recent_warnings(client: SyncPrefectClient) -> list[Run]:
    """The warnings on the pages of the last day's runs."""
    pages = client.read_artifacts(
        artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[WARNINGS])),
        sort=ArtifactSort.CREATED_DESC,
        limit=_PAGES,
    )
    since = datetime.now(UTC) - _RECENT
    found = warning_lines(page for page in pages if page.created and page.created > since)
    ids = [page.flow_run_id for page in found.values() if page.flow_run_id]
    if not ids:
        return []
    wanted = FlowRunFilter(id=FlowRunFilterId(any_=ids))
    runs = {run.id: run for run in client.read_flow_runs(flow_run_filter=wanted, limit=_PAGES)}
    lines = []
    for line, page in found.items():
        if page.flow_run_id in runs:
            run = runs[page.flow_run_id]
            lines.append(Run(run.name, (run.state.name or "") if run.state else "", line))
    return lines


def warning_lines(pages: Iterable[Artifact]) -> dict[str, Artifact]:
    """Each line of `pages`, newest first, with the first page that holds it."""
    found: dict[str, Artifact] = {}
    for page in pages:
        for line in filter(None, str(page.data).split("\n")):
            found.setdefault(line, page)
    return found


def _run(run: FlowRun, progress: str = "") -> Run:
    state = run.state
    words = told(state.message).sentence if state else ""
    return Run(run.name, state.name or "" if state else "", words, progress)


def _in(*types: StateType) -> FlowRunFilter:
    return FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(types))))
