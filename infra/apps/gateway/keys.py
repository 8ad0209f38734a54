"""API keys: shown once, kept as a hash. A key is 256 random bits, so a plain SHA-256 is enough."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, get_args

from infra.apps.gateway.database import Database
from infra.apps.gateway.key_names import check_name, same_name
from pipelines.errors import BriefError

Scope = Literal["read", "make", "approve", "manage", "metrics"]
"""`read` own runs and all videos; `make` runs; `approve` or reject own ones; `manage`: everybody's
runs, and deleting videos; `metrics`: the figures for Prometheus, and nothing else."""
SCOPES: tuple[Scope, ...] = get_args(Scope)
PREFIX = "rw_"
_ID_LENGTH = 32
"""Characters of the hash that name a key: another key of the same name has another id."""


@dataclass(frozen=True)
class Client:
    """The sender of a request, with its scopes."""

    name: str
    scopes: frozenset[str]
    id: str
    """Owner of runs, sessions and idempotency keys; unique, and never used again."""


OPERATOR = Client("operator", frozenset(SCOPES), "operator")
"""Whoever has the token of `studio.env`, or followed a login link."""
LOCAL = Client("this machine", frozenset(SCOPES), "this machine")


def add(database: Database, name: str, scopes: list[str]) -> str:
    """A new key for `name`; raises BriefError on an unknown scope or a name that is taken,
    reserved, or could be mistaken for such a one."""
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown:
        raise BriefError(f"scope {unknown[0]!r} is unknown; choose of {', '.join(SCOPES)}")
    check_name(name)
    for taken, _, _ in listed(database):
        if taken != name and same_name(taken, name):
            raise BriefError(
                f"the name {name!r} could be mistaken for the key {taken!r}; take another name"
            )
    key = PREFIX + secrets.token_urlsafe(32)
    made = database.run(
        "insert or ignore into keys values (?, ?, ?, ?)",
        (name, hash_of(key), " ".join(sorted(set(scopes))), datetime.now(UTC).isoformat()),
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
    """The client that has this key; None if nobody does."""
    rows = database.rows("select name, scopes, sha256 from keys where sha256 = ?", (hash_of(key),))
    return _client(*rows[0]) if rows else None


def client_with(database: Database, identity: str) -> Client | None:
    """The client with that id, as long as its key is not revoked."""
    if identity == OPERATOR.id:
        return OPERATOR
    rows = database.rows(
        "select name, scopes, sha256 from keys where substr(sha256, 1, ?) = ?",
        (_ID_LENGTH, identity),
    )
    return _client(*rows[0]) if rows else None


def hash_of(secret: str) -> str:
    """The hash under which a key, a session or a login link is stored."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _client(name: str, scopes: str, sha256: str) -> Client:
    return Client(name, frozenset(scopes.split()), sha256[:_ID_LENGTH])
