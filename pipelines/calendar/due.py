"""Computes which occurrences of an entry are due, missed or still to come."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Literal
from zoneinfo import ZoneInfo

from cronsim import CronSim

from pipelines.calendar.entry import Entry

GRACE = timedelta(minutes=15)
"""An occurrence that is found later than this after its time counts as missed."""


@dataclass(frozen=True)
class Decision:
    """The decision about one occurrence, and its reason."""

    moment: datetime
    """UTC. Together with the entry's name it identifies the occurrence."""
    verdict: Literal["start", "skip"]
    reason: str


def decide(entry: Entry, seen: datetime, now: datetime) -> list[Decision]:
    """For every occurrence after `seen`, up to and including `now`: start it or skip it."""
    moments = list(occurrences(entry, seen, now))
    late = [moment for moment in moments if now - moment > GRACE]
    decisions = []
    for moment in moments:
        if moment not in late:
            decisions.append(Decision(moment, "start", "it is due"))
        elif entry.missed == "all" or (entry.missed == "once" and moment == late[-1]):
            which = "every one" if entry.missed == "all" else "the last"
            decisions.append(Decision(moment, "start", f"it was missed; {which} is made up for"))
        else:
            reason = "it was missed" + (", and a later one too" if entry.missed == "once" else "")
            decisions.append(Decision(moment, "skip", reason))
    return decisions


def upcoming(entry: Entry, now: datetime, count: int) -> list[datetime]:
    """The next `count` occurrences, in UTC."""
    return list(islice(_moments(entry, now), count))


def occurrences(entry: Entry, after: datetime, until: datetime) -> Iterator[datetime]:
    """The occurrences after `after`, up to and including `until`, in UTC and in order."""
    for moment in _moments(entry, after):
        if moment > until:
            return
        yield moment


def _moments(entry: Entry, after: datetime) -> Iterator[datetime]:
    zone = entry.zone
    if entry.active_from:
        first = datetime.combine(entry.active_from, datetime.min.time(), zone)
        # The first minute of the first day is included.
        after = max(after, first.astimezone(UTC) - timedelta(seconds=1))
    moments = _of_cron(entry.cron, after, zone) if entry.cron else _of_dates(entry, after, zone)
    for moment in moments:
        if entry.active_to and moment.astimezone(zone).date() > entry.active_to:
            return
        yield moment


def _of_cron(cron: str, after: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """The times of a cron expression. A time that the clock skips in spring comes right after the
    gap. A time that occurs twice in autumn counts once, unless the hour is a wildcard: cronsim
    follows Debian's cron."""
    for moment in CronSim(cron, after.astimezone(zone)):
        found = moment.astimezone(UTC)
        if found > after:
            yield found


def _of_dates(entry: Entry, after: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    # Through UTC and back, a time inside the spring gap becomes the one after it.
    moments = sorted({item.replace(tzinfo=zone).astimezone(UTC) for item in entry.dates})
    return (moment for moment in moments if moment > after)
