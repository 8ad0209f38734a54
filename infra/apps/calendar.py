"""`reelwright calendar`: checks entries, shows past and coming occurrences with reasons, starts
one."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import get_client

from infra.adapters.disk import read_text
from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings
from infra.apps import environment
from pipelines.calendar.due import decide, upcoming
from pipelines.calendar.entry import Calendar, Entry, parse_calendar
from pipelines.errors import BriefError
from pipelines.schema.keys import ObjectKey
from tasks.calendar import BucketMarks, read_calendar, start_run

_SHOWN = 5


def check(settings: Settings, file: Path | None) -> tuple[list[str], bool]:
    """A line for every entry of `file`, or of the calendar in use, and whether all are good."""
    calendar = parse_calendar(read_text(file, str(file))) if file else _calendar(settings)
    now = datetime.now(UTC)
    lines = []
    for entry in calendar.entries:
        following = upcoming(entry, now, 1)
        words = f"next {_local(entry, following[0])}" if following else "no further date"
        prompt = entry.brief_at(following[0] if following else now).prompt
        lines.append(f"{entry.name}: {words}, {entry.priority}, missed: {entry.missed}: {prompt}")
    lines += [f"BROKEN {item}" for item in calendar.broken]
    return lines or ["the calendar is empty"], not calendar.broken


def following(settings: Settings, name: str, count: int) -> Iterator[str]:
    """The decision on each occurrence since the last look, and the next `count` occurrences."""
    entry = _entry(_calendar(settings), name)
    now = datetime.now(UTC)
    mark = BucketMarks(ObjectStore(settings.store)).read(name)
    if mark is None:
        yield "not seen yet: it begins when content-calendar looks at it for the first time"
    else:
        for outcome in mark.history[-_SHOWN:]:
            words = f"{outcome.verdict}: {outcome.reason} {outcome.run}".strip()
            yield f"{_local(entry, outcome.moment)}  {words}"
        for decision in decide(entry, mark.seen, now):
            yield f"{_local(entry, decision.moment)}  would {decision.verdict}: {decision.reason}"
    for moment in upcoming(entry, now, count):
        yield f"{_local(entry, moment)}  {entry.brief_at(moment).prompt}"


def run(settings: Settings, name: str) -> str:
    """Start the entry now, whatever its times are. Returns a sentence with the run's name and id.

    Raises BriefError if there is none of that name, SettingsError without a Prefect server.
    """
    environment.require_server()
    entry = _entry(_calendar(settings), name)
    with get_client(sync_client=True) as client:
        run = start_run(client, entry, datetime.now(UTC).replace(microsecond=0))
        found = client.read_flow_run(UUID(run))
    return f"started {found.name} with priority {entry.priority}: run {run}"


def put(settings: Settings, file: Path) -> Calendar:
    """Make `file` the calendar in the bucket.

    Raises BriefError if an entry of it is broken, SettingsError without an object store.
    """
    text = read_text(file, str(file))
    calendar = parse_calendar(text)
    if calendar.broken:
        raise BriefError("; ".join(map(str, calendar.broken)))
    environment.require_store(settings)
    store = ObjectStore(settings.store)
    store.ensure_bucket()
    store.put_bytes(ObjectKey.calendar(), text.encode(), "application/yaml")
    return calendar


def _calendar(settings: Settings) -> Calendar:
    return read_calendar(settings, ObjectStore(settings.store))


def _entry(calendar: Calendar, name: str) -> Entry:
    for entry in calendar.entries:
        if entry.name == name:
            return entry
    broken = [str(item) for item in calendar.broken if item.name == name]
    known = ", ".join(entry.name for entry in calendar.entries) or "none"
    raise BriefError(broken[0] if broken else f"there is no entry {name!r}; there are: {known}")


def _local(entry: Entry, moment: datetime) -> str:
    return f"{moment.astimezone(entry.zone):%a %Y-%m-%d %H:%M %Z}"
