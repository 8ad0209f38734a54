"""The calendar as a stage: starts what is due, each occurrence exactly once.

An occurrence is its entry's name and its moment; together they are the idempotency key of its
run. How far an entry was looked at lies in the bucket and is written after its runs are started:
whoever dies in between, or looks at the same time, asks for the same runs again and gets them.
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
from pipelines.errors import CorruptObjectError
from pipelines.schema.keys import ObjectKey
from tasks.knobs import STAGE

_HISTORY = 30
_log = logging.getLogger("reelwright.calendar")


class Marks(Protocol):
    """Where it is kept how far each entry was looked at."""

    def read(self, name: str) -> "Mark | None": ...

    def write(self, name: str, mark: "Mark") -> None: ...


Start = Callable[[Entry, datetime], str]
"""Starts the occurrence of an entry, or finds the run that was started for it; returns its id."""


class Outcome(BaseModel):
    """What became of an occurrence."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    moment: datetime
    verdict: str
    reason: str
    run: str = ""


class Mark(BaseModel):
    """How far an entry was looked at."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    seen: datetime
    history: tuple[Outcome, ...] = ()
    """The latest, the newest last."""


@dataclass(frozen=True)
class Tick:
    """What one look at the calendar did."""

    started: int
    skipped: int
    broken: tuple[str, ...]

    def __str__(self) -> str:
        words = f"{self.started} started, {self.skipped} skipped"
        return words + "".join(f"; BROKEN: {item}" for item in self.broken)


NOTHING_DUE = str(Tick(0, 0, ()))
"""What a run says that found nothing to do; most of them do."""


@task(name="start-what-is-due", **STAGE)
def start_what_is_due() -> Tick:
    """One look at the calendar, now."""
    settings = Settings.load()
    store = ObjectStore(settings.store)
    calendar = read_calendar(settings, store)
    for item in calendar.broken:
        _log.error("the calendar's %s", item)
    with get_client(sync_client=True) as client:
        marks = BucketMarks(store)
        return tick(calendar, marks, datetime.now(UTC), lambda *of: start_run(client, *of))


def tick(calendar: Calendar, marks: Marks, now: datetime, start: Start) -> Tick:
    """Start what is due at `now`. An entry that fails is named and stops only itself."""
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
    """Decide on every occurrence since the last look, and start those that shall be."""
    before = marks.read(entry.name)
    if before is None:  # a new entry begins now
        marks.write(entry.name, Mark(seen=now))
        return []
    if now <= before.seen:  # another worker was quicker
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
    """The run of `produce-content` for that occurrence: a new one, or the one it has."""
    deployment = client.read_deployment_by_name(f"produce-content/{entry.priority}")
    run = client.create_flow_run_from_deployment(
        deployment.id,
        parameters={"brief": entry.brief_at(moment).model_dump(mode="json")},
        idempotency_key=f"calendar-{entry.name}-{moment:%Y%m%dT%H%M%SZ}",
        name=f"{entry.name} {moment.astimezone(entry.zone):%Y-%m-%d %H:%M}",
        tags=["calendar", f"calendar:{entry.name}"],
    )
    return str(run.id)


def read_calendar(settings: Settings, store: ObjectStore) -> Calendar:
    """The file that the settings name, or else the one in the bucket. Raises SettingsError."""
    path = settings.calendar.file
    if path is None:
        data = store.get_bytes(ObjectKey.calendar())
        return parse_calendar(data.decode("utf-8", "replace")) if data else Calendar()
    return parse_calendar(read_text(path, f"REELWRIGHT_CALENDAR_FILE={path}"))


class BucketMarks:
    """Marks beside the videos, where every worker finds them."""

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
