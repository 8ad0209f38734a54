"""The audit log: who did what, in a table to which entries are only added.

The database itself refuses to change an entry, and to delete one within 30 days. It is no evidence
against whoever can write the database's file.
"""

import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from infra.adapters.settings import Settings
from infra.apps.gateway.database import Database
from infra.apps.gateway.keys import Client

_PURGE_EVERY = 3600.0
_LONGEST = 300
"""Characters of a subject or detail."""
_log = logging.getLogger("reelwright.audit")


@dataclass(frozen=True)
class Entry:
    """One thing that somebody did."""

    number: int
    """Counts up from 1; a gap means that entries were removed."""
    at: str
    """UTC, ISO 8601, to the second."""
    who: str
    """Name of a user or key, `operator`, `webhook:NAME`, or `… (command line)`."""
    who_id: str
    """Id of the same; a user or key that gets this name later has another one."""
    action: str
    subject: str
    """A run, a video, a user or a key."""
    detail: str
    address: str
    """That the request came from; empty for the command line."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Wanted:
    """Which entries to show; empty: all."""

    who: str = ""
    action: str = ""
    """An action, or its beginning up to a dot, such as `run`."""
    subject: str = ""
    since: str = ""
    until: str = ""
    before: int = 0
    """Entries with lower numbers than this one."""
    limit: int = 50


def add(
    database: Database,
    who: Client,
    action: str,
    subject: str = "",
    detail: str = "",
    address: str = "",
) -> None:
    """Add an entry; it is on disk when this returns."""
    database.run(
        "insert into audit (at, who, who_id, action, subject, detail, address) "
        "values (?, ?, ?, ?, ?, ?, ?)",
        (_now(), who.name, who.id, action, subject[:_LONGEST], detail[:_LONGEST], address),
    )


def add_once(
    database: Database, who: Client, action: str, subject: str, detail: str, address: str
) -> None:
    """As `add`, unless there is an entry of this action by this client on this subject: the same
    request, repeated, is one request."""
    if not has(database, action=action, subject=subject, who_id=who.id):
        add(database, who, action, subject, detail, address)


def has(database: Database, *, action: str, subject: str, who_id: str) -> bool:
    """Whether there is an entry of this action by the client of that id on this subject."""
    known = database.rows(
        "select 1 from audit where action = ? and subject = ? and who_id = ? limit 1",
        (action, subject[:_LONGEST], who_id),
    )
    return bool(known)


def entries(database: Database, wanted: Wanted) -> list[Entry]:
    """The entries that are wanted, the newest first."""
    conditions: list[tuple[str, Iterable[object]]] = [
        ("who = ?", [wanted.who] if wanted.who else []),
        (
            "(action = ? or substr(action, 1, length(?) + 1) = ? || '.')",
            [wanted.action] * 3 if wanted.action else [],
        ),
        ("subject = ?", [wanted.subject] if wanted.subject else []),
        ("at >= ?", [wanted.since] if wanted.since else []),
        ("at < ?", [wanted.until] if wanted.until else []),
        ("number < ?", [wanted.before] if wanted.before else []),
    ]
    used = [(text, [*values]) for text, values in conditions]
    used = [(text, values) for text, values in used if values]
    where = " and ".join(text for text, _ in used) or "1"
    rows = database.rows(
        "select number, at, who, who_id, action, subject, detail, address from audit "  # noqa: S608
        f"where {where} order by number desc limit ?",
        [*(value for _, values in used for value in values), wanted.limit],
    )
    return [Entry(*row) for row in rows]


def forget_old(database: Database, days: int) -> int:
    """Remove entries older than `days`; 0 keeps all. Returns how many."""
    if not days:
        return 0
    before = (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="seconds")
    return database.run("delete from audit where at < ?", (before,))


class Retention:
    """Removes what is too old, as the settings say."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def work(self) -> float:
        """Remove it. Returns how long to rest."""
        days = Settings.load().retention.audit_days
        if count := forget_old(self._database, days):
            _log.info("%s entries of the audit log, older than %s days, are removed", count, days)
        return _PURGE_EVERY


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
