"""Sessions of browsers, begun with a login link, a key or a password. Only a hash of their secret
is stored."""

import secrets
import time
from dataclasses import dataclass

from infra.apps.gateway import keys, users
from infra.apps.gateway.database import Database
from infra.apps.gateway.keys import OPERATOR, Client, hash_of
from pipelines.errors import BriefError

SESSION_SECONDS = 7 * 24 * 3600
LINK_SECONDS = 15 * 60
_ID_LENGTH = 12
"""Characters of the hash that name a session in lists; they open nothing."""


@dataclass(frozen=True)
class Session:
    """A session that has not ended. Times are seconds since 1970; 0: an older version began it."""

    id: str
    client: str
    """Name of the user or key, or `operator`; empty if it is disabled or revoked."""
    way: str
    """How it began: `link`, `key` or `password`."""
    address: str
    """That it began from."""
    created: float
    last_seen: float
    """To half a minute."""
    expires: float


def new_link(database: Database, base_url: str, client: Client = OPERATOR) -> str:
    """An address that logs a browser in as `client`, once, within LINK_SECONDS."""
    token = secrets.token_urlsafe(32)
    now = time.time()
    database.run("delete from logins where expires < ?", (now,))
    database.run(
        "insert into logins (sha256, expires, client) values (?, ?, ?)",
        (hash_of(token), now + LINK_SECONDS, client.id),
    )
    return f"{base_url}/login?token={token}"


def use_link(database: Database, token: str) -> Client | None:
    """The client of an unused link, which is used up by this call; None if there is none."""
    rows = database.rows(
        "delete from logins where sha256 = ? and expires >= ? returning client",
        (hash_of(token), time.time()),
    )
    return client_with(database, rows[0][0]) if rows else None


def begin(database: Database, client: Client, way: str = "", address: str = "") -> str:
    """The secret of a new session of `client`, for a cookie."""
    token = secrets.token_urlsafe(32)
    now = time.time()
    database.run("delete from sessions where expires < ?", (now,))
    database.run(
        "insert into sessions (sha256, client, expires, created, last_seen, address, way) "
        "values (?, ?, ?, ?, ?, ?, ?)",
        (hash_of(token), client.id, now + SESSION_SECONDS, now, now, address, way),
    )
    return token


def client_of_session(database: Database, token: str) -> Client | None:
    """The client of a session; None if it has ended, or its key or user is out."""
    rows = database.rows(
        "select client from sessions where sha256 = ? and expires >= ?",
        (hash_of(token), time.time()),
    )
    return client_with(database, rows[0][0]) if rows else None


def client_with(database: Database, identity: str) -> Client | None:
    """The client with that id, as long as it may get in."""
    if identity == OPERATOR.id:
        return OPERATOR
    return users.client_with(database, identity) or keys.client_with(database, identity)


def listed(database: Database) -> list[Session]:
    """All sessions that have not ended, the one that was used last first."""
    rows = database.rows(
        "select sha256, client, way, address, created, last_seen, expires from sessions "
        "where expires >= ? order by last_seen desc, sha256",
        (time.time(),),
    )
    found = []
    for sha256, identity, *others in rows:
        client = client_with(database, identity)
        found.append(Session(sha256[:_ID_LENGTH], client.name if client else "", *others))
    return found


def end(database: Database, identity: str) -> None:
    """End the session that `listed` names so. Raises BriefError if there is none."""
    ended = database.run(
        "delete from sessions where substr(sha256, 1, ?) = ?", (_ID_LENGTH, identity)
    )
    if not ended:
        raise BriefError(f"there is no session {identity!r:.40}; see: reelwright sessions list")


def end_with(database: Database, token: str) -> None:
    """End the session of this secret, if there is one."""
    database.run("delete from sessions where sha256 = ?", (hash_of(token),))


def end_all_of(database: Database, name: str) -> int:
    """End the sessions of that user, key or `operator`. Returns how many there were."""
    count = 0
    for session in listed(database):
        if session.client == name:
            end(database, session.id)
            count += 1
    return count


def end_all_of_operator(database: Database) -> int:
    """End the operator's sessions and unused links. Returns how many there were."""
    ended = database.run("delete from sessions where client = ?", (OPERATOR.id,))
    return ended + database.run("delete from logins where client = ?", (OPERATOR.id,))
