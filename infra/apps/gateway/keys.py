"""API keys: shown once, kept as a hash. A key is 256 random bits, so a plain SHA-256 is enough.

A key stands alone, with a name and scopes of its own, or belongs to a user: then it acts as that
user, with those of its scopes that the user has too.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args

from infra.apps.gateway.database import Database
from infra.apps.gateway.key_names import check_name, same_name
from infra.apps.gateway.roles import scopes_of
from pipelines.errors import BriefError

Scope = Literal["read", "make", "approve", "review", "manage", "metrics"]
"""`read` own runs and all videos; `make` runs, and delete videos that nobody else asked for;
`approve` or reject those that one sees; `review`: see everybody's runs; `manage`: see and cancel
everybody's runs, and delete any video; `metrics`: the figures for Prometheus, and nothing else."""
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


@dataclass(frozen=True)
class KeyRecord:
    """What is known of a key. All times are UTC, ISO 8601; empty: never."""

    name: str
    scopes: str
    """Separated by spaces."""
    created: str
    expires: str = ""
    last_used: str = ""
    """To half a minute."""
    user: str = ""
    """Name of the user that it belongs to; empty if it stands alone."""


OPERATOR = Client("operator", frozenset(SCOPES), "operator")
"""Whoever has the token of `studio.env`, or followed a login link."""
LOCAL = Client("this machine", frozenset(SCOPES), "this machine")


def add(
    database: Database, name: str, scopes: list[str], *, days: int = 0, user_id: str = ""
) -> str:
    """A new key for `name`, valid for so many days; 0: until it is revoked. With `user_id` it acts
    as that user.

    Raises BriefError on an unknown scope or a name that is taken, reserved, or could be mistaken
    for such a one.
    """
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown:
        raise BriefError(f"scope {unknown[0]!r} is unknown; choose of {', '.join(SCOPES)}")
    check_name(name)
    check_not_taken(database, name)
    key, now = PREFIX + secrets.token_urlsafe(32), datetime.now(UTC)
    expires = (now + timedelta(days=days)).isoformat() if days else ""
    made = database.run(
        "insert or ignore into keys (name, sha256, scopes, created, expires, user) "
        "values (?, ?, ?, ?, ?, ?)",
        (name, hash_of(key), " ".join(sorted(set(scopes))), now.isoformat(), expires, user_id),
    )
    if not made:
        raise BriefError(f"there is a key {name!r} already; revoke it first, or take another name")
    return key


def check_not_taken(database: Database, name: str) -> None:
    """Raises BriefError if a user has that name, or a user or another key one like it."""
    users = [str(taken) for (taken,) in database.rows("select name from users")]
    for taken in (*users, *(record.name for record in listed(database))):
        if same_name(taken, name) and (taken != name or taken in users):
            raise BriefError(
                f"the name {name!r} could be mistaken for {taken!r}, which exists; take another"
            )


def revoke(database: Database, name: str) -> None:
    """Forget the key of `name`; raises BriefError if there is none."""
    if not database.run("delete from keys where name = ?", (name,)):
        raise BriefError(f"there is no key {name!r}; see: reelwright keys list")


def listed(database: Database) -> list[KeyRecord]:
    """Every key, by name."""
    rows = database.rows(
        "select k.name, k.scopes, k.created, k.expires, k.last_used, coalesce(u.name, '') "
        "from keys k left join users u on u.id = k.user order by k.name"
    )
    return [KeyRecord(*row) for row in rows]


_CLIENT = (
    "select k.name, k.scopes, k.sha256, k.expires, k.user, u.name, u.roles, u.disabled "
    "from keys k left join users u on u.id = k.user where "
)


def client_of(database: Database, key: str) -> Client | None:
    """The client that has this key; None if nobody does, or if it has expired."""
    rows = database.rows(_CLIENT + "k.sha256 = ?", (hash_of(key),))
    return _client(*rows[0]) if rows else None


def client_with(database: Database, identity: str) -> Client | None:
    """The client of the key with that id, as long as it is neither revoked nor expired."""
    rows = database.rows(
        _CLIENT + "substr(k.sha256, 1, ?) = ? and k.user = ''", (_ID_LENGTH, identity)
    )
    return _client(*rows[0]) if rows else None


def expiry_of(database: Database, key: str) -> str:
    """When this key expired, for its holder to be told; empty if it did not, or is unknown."""
    rows = database.rows("select expires from keys where sha256 = ?", (hash_of(key),))
    return str(rows[0][0]) if rows and _is_over(rows[0][0]) else ""


def hash_of(secret: str) -> str:
    """The hash under which a key, a session or a login link is stored."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _client(
    name: str, scopes: str, sha256: str, expires: str, user: str, *of_user: Any
) -> Client | None:
    if _is_over(expires):
        return None
    own = frozenset(scopes.split())
    if not user:
        return Client(name, own, sha256[:_ID_LENGTH])
    person, roles, disabled = of_user
    if person is None or disabled:
        return None
    return Client(person, own & scopes_of(roles.split()), user)


def _is_over(expires: str) -> bool:
    return bool(expires) and datetime.fromisoformat(expires) <= datetime.now(UTC)
