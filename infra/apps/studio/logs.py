"""`reelwright logs`: the logs of the studio's parts, and those of one run on Prefect's server."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
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

from infra.apps.studio.log_files import SERVICES, log_file
from pipelines.errors import BriefError, ServerError

_LOOK_EVERY, _ASK_EVERY = 0.5, 2.0
"""Seconds between two looks at files, and at Prefect's server."""
_BLOCK = 65_536
_PAGE = 200
_LATE = timedelta(seconds=10)
"""Lines of a run reach the server in batches; one may come after others that are younger."""
Say = Callable[[str], None]


@dataclass
class _Reader:
    """A log file that is read on as it grows."""

    path: Path
    offset: int = 0
    inode: int = 0
    rest: bytes = b""
    """A line whose end is not written yet."""

    def lines(self) -> list[str]:
        """What was added since the last call. A file that was begun anew is read from its start;
        one that is not there yet has no lines."""
        try:
            with self.path.open("rb") as handle:
                inode = self.path.stat().st_ino
                if inode != self.inode or self.path.stat().st_size < self.offset:
                    self.offset, self.inode, self.rest = 0, inode, b""
                handle.seek(self.offset)
                data = handle.read()
        except OSError:
            return []
        self.offset += len(data)
        *whole, self.rest = (self.rest + data).split(b"\n")
        return [line.decode("utf-8", "backslashreplace") for line in whole]

    def begin_at_end(self) -> None:
        """Skip what is there."""
        found = self.path.stat() if self.path.exists() else None
        if found is not None:
            self.offset, self.inode = found.st_size, found.st_ino


def show_files(
    files: Mapping[str, Path], count: int, say: Say, *, follow: bool, stop: Callable[[], bool]
) -> None:
    """Say the last `count` lines of each file, and with `follow` those that come, until `stop`.

    Each line has the name of its part before it if there are several.
    """
    width = max(map(len, files), default=0)

    def put(name: str, line: str) -> None:
        say(f"{name:<{width}}  {line}" if len(files) > 1 else line)

    readers = {name: _Reader(path) for name, path in files.items()}
    for name, path in files.items():
        readers[name].begin_at_end()
        for line in last_lines(path, count):
            put(name, line)
    while follow and not stop():
        time.sleep(_LOOK_EVERY)
        for name, reader in readers.items():
            for line in reader.lines():
                put(name, line)


def last_lines(path: Path, count: int) -> list[str]:
    """The last `count` whole lines of a file; none if it is not there. Reads only its end."""
    if count <= 0 or not path.exists():
        return []
    with path.open("rb") as handle:
        begin = handle.seek(0, 2)
        data = b""
        while begin > 0 and data.count(b"\n") <= count:
            size = min(_BLOCK, begin)
            begin -= size
            handle.seek(begin)
            data = handle.read(size) + data
    text = data.decode("utf-8", "backslashreplace")
    return text.splitlines()[-count:]


def files_of(data: Path, service: str) -> dict[str, Path]:
    """The log of `service`, or without one of every part that has a log in this data directory.

    Raises BriefError for a part that there is not, or if nothing ever ran here.
    """
    if service:
        return {service: log_file(data, service)}
    files = {name: log_file(data, name) for name in SERVICES}
    found = {name: path for name, path in files.items() if path.exists()}
    if not found:
        raise BriefError(
            f"there are no logs in {data}: nothing was started there; start: reelwright up, or set "
            "REELWRIGHT_DATA_DIR"
        )
    return found


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
