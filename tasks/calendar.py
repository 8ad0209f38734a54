"""The calendar stage: starts every occurrence that is due, exactly once.

The name of an entry and a time identify an occurrence; both together are the idempotency key of its
flow run. After the runs of an entry are started, a mark in the bucket records up to which time the
entry was checked. If a worker dies before it writes the mark, or two workers check at the same
time, the same runs are requested again, and Prefect returns the runs that exist.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from prefect import task
from prefect.client.orchestration import SyncPrefectClient, get_client
from pydantic import BaseModel, ConfigDict, ValidationError

from infra.adapters.disk import read_text
from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings
from pipelines.calendar.due import Decision, decide
from pipelines.calendar.entry import Calendar, Entry, parse_calendar
from pipelines.documents.brief_form import parameters_of
from pipelines.errors import CorruptObjectError
from pipelines.schema.keys import ObjectKey
from pipelines.schema.names import brief_deployment
from pipelines.schema.slugs import slug
from tasks.options import STAGE

_HISTORY = 30
_log = logging.getLogger("reelwright.calendar")


class Marks(Protocol):
    """Stores for each entry up to which time it was checked."""

    def read(self, name: str) -> "Mark | None": ...

    def write(self, name: str, mark: "Mark") -> None: ...


Start = Callable[[Entry, datetime], str]
"""Starts the run of an occurrence, or finds the run that was started for it. Returns the run's
id."""


class Outcome(BaseModel):
    """The decision about an occurrence, and the id of the run that was started for it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    moment: datetime
    verdict: str
    reason: str
    run: str = ""


class Mark(BaseModel):
    """Up to which time an entry was checked, and what was decided."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    seen: datetime
    history: tuple[Outcome, ...] = ()
    """The latest outcomes, the newest last."""


@dataclass(frozen=True)
class Tick:
    """The result of one check of the calendar."""

    started: int
    skipped: int
    broken: tuple[str, ...]

    def __str__(self) -> str:
        words = f"{self.started} started, {self.skipped} skipped"
        return words + "".join(f"; BROKEN: {item}" for item in self.broken)


NOTHING_DUE = str(Tick(0, 0, ()))
"""The message of a run that found nothing due, as most runs do. `purge_history` looks for it."""


@task(name="start-what-is-due", **STAGE)
def start_what_is_due() -> Tick:
    """Check the calendar once, now.

    An entry that fails is logged and named in the result. Raises SettingsError if a setting is
    invalid or the calendar file cannot be read, and StoreError if the store fails or the calendar
    in the bucket is damaged.
    """
    settings = Settings.load()
    store = ObjectStore(settings.store)
    calendar = read_calendar(settings, store)
    for item in calendar.broken:
        _log.error("the calendar's %s", item)
    with get_client(sync_client=True) as client:
        marks = BucketMarks(store)
        return tick(calendar, marks, datetime.now(UTC), lambda *of: start_run(client, *of))


def tick(calendar: Calendar, marks: Marks, now: datetime, start: Start) -> Tick:
    """Start what is due at `now`. An entry that fails is named in the result; the other entries go
    on."""
    started = skipped = 0
    broken = [str(item) for item in calendar.broken]
    for entry in calendar.entries:
        try:
            for decision in look(entry, marks, now, start):
                started += decision.verdict == "start"
                skipped += decision.verdict == "skip"
        except Exception as error:
            _log.exception("the entry %s could not be started", entry.name)
            line = calendar.lines[entry.name]
            broken.append(f"line {line}, entry {entry.name!r}: {error}")
    return Tick(started, skipped, tuple(broken))


def look(entry: Entry, marks: Marks, now: datetime, start: Start) -> list[Decision]:
    """Decide about every occurrence since the last check, and start those that are to start.

    Raises what `marks` and `start` raise. Then the mark is not moved, and the next check decides
    about the same occurrences again.
    """
    before = marks.read(entry.name)
    if before is None:  # a new entry: earlier occurrences do not count
        marks.write(entry.name, Mark(seen=now))
        return []
    if now <= before.seen:  # another worker has checked this time already
        return []
    decisions = decide(entry, before.seen, now)
    history = list(before.history)
    for decision in decisions:
        run = start(entry, decision.moment) if decision.verdict == "start" else ""
        _log.info(
            "%s of %s: %s, %s", decision.moment, entry.name, decision.verdict, decision.reason
        )
        history.append(
            Outcome(
                moment=decision.moment, verdict=decision.verdict, reason=decision.reason, run=run
            )
        )
    marks.write(entry.name, Mark(seen=now, history=tuple(history[-_HISTORY:])))
    return decisions


def start_run(client: SyncPrefectClient, entry: Entry, moment: datetime) -> str:
    """Create the run of `produce-content` for an occurrence, or find the run that it has. Returns
    its id.

    Raises BriefError if the entry gives no valid brief at `moment`, ObjectNotFound if the
    deployment does not exist, and httpx.HTTPError if Prefect's server fails.
    """
    brief = entry.brief_at(moment)
    when = f"{moment.astimezone(entry.zone):%Y-%m-%d %H:%M}"
    deployment = client.read_deployment_by_name(brief_deployment(entry.priority))
    run = client.create_flow_run_from_deployment(
        deployment.id,
        parameters=parameters_of(brief),
        idempotency_key=f"calendar-{entry.name}-{moment:%Y%m%dT%H%M%SZ}",
        name=f"{entry.name} {when} {slug(brief.prompt)}".rstrip(),
        tags=["calendar", f"calendar:{entry.name}"],
    )
    return str(run.id)


def read_calendar(settings: Settings, store: ObjectStore) -> Calendar:
    """The calendar file that the settings name, or else the calendar in the bucket.

    A broken entry raises nothing; it is in the result. Raises SettingsError if the file cannot be
    read, StoreError if the store fails, and CorruptObjectError if the object in the bucket is
    damaged.
    """
    path = settings.calendar.file
    if path is None:
        data = store.get_bytes(ObjectKey.calendar())
        return parse_calendar(data.decode("utf-8", "replace")) if data else Calendar()
    return parse_calendar(read_text(path, f"REELWRIGHT_CALENDAR_FILE={path}"))


class BucketMarks:
    """Marks in the bucket, which all workers share."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def read(self, name: str) -> Mark | None:
        try:
            data = self._store.get_bytes(ObjectKey.calendar_mark(name))
            return Mark.model_validate_json(data) if data else None
        except (CorruptObjectError, ValidationError) as error:
            _log.error("the mark of %s is damaged, so it begins anew: %s", name, error)
            return None

    def write(self, name: str, mark: Mark) -> None:
        data = mark.model_dump_json(indent=1).encode()
        self._store.put_bytes(ObjectKey.calendar_mark(name), data, "application/json")
