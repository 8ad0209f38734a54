"""API keys: shown once, kept as a hash. A key is 256 random bits, so a plain SHA-256 is enough."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, get_args

from infra.apps.gateway.database import Database
from pipelines.errors import BriefError

Scope = Literal["read", "make", "approve", "manage"]
"""`read` runs and videos; `make` them; `approve` or reject; `manage`: delete videos."""
SCOPES: tuple[Scope, ...] = get_args(Scope)
PREFIX = "rw_"


@dataclass(frozen=True)
class Client:
    """Who asks, and what they may."""

    name: str
    scopes: frozenset[str]


def add(database: Database, name: str, scopes: list[str]) -> str:
    """A new key for `name`; raises BriefError on an unknown scope or a taken name."""
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown:
        raise BriefError(f"scope {unknown[0]!r} is unknown; choose of {', '.join(SCOPES)}")
    if not name or len(name) > 60 or not name.isprintable():
        raise BriefError(f"the name {name!r:.70} cannot be used; take 1 to 60 plain characters")
    key = PREFIX + secrets.token_urlsafe(32)
    made = database.run(
        "insert or ignore into keys values (?, ?, ?, ?)",
        (name, _hash(key), " ".join(sorted(set(scopes))), datetime.now(UTC).isoformat()),
    )
    if not made:
        raise BriefError(f"there is a key {name!r} already; revoke it first, or take another name")
    return key


def revoke(database: Database, name: str) -> None:
    """Forget the key of `name`; raises BriefError if there is none."""
    if not database.run("delete from keys where name = ?", (name,)):
        raise BriefError(f"there is no key {name!r}; see: reelwright keys list")


def listed(database: Database) -> list[tuple[str, str, str]]:
    """Name, scopes and date of every key."""
    return database.rows("select name, scopes, created from keys order by name")


def client_of(database: Database, key: str) -> Client | None:
    """Whose key this is."""
    rows = database.rows("select name, scopes from keys where sha256 = ?", (_hash(key),))
    return Client(rows[0][0], frozenset(rows[0][1].split())) if rows else None


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
