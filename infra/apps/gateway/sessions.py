"""Sessions of browsers, begun with a login link or a key. Only a hash of their secret is stored."""

import secrets
import time

from infra.apps.gateway.database import Database
from infra.apps.gateway.keys import OPERATOR, Client, client_with, hash_of

SESSION_SECONDS = 7 * 24 * 3600
LINK_SECONDS = 15 * 60


def new_link(database: Database, base_url: str) -> str:
    """An address that logs a browser in as the operator, once, within LINK_SECONDS."""
    token = secrets.token_urlsafe(32)
    now = time.time()
    database.run("delete from logins where expires < ?", (now,))
    database.run("insert into logins values (?, ?)", (hash_of(token), now + LINK_SECONDS))
    return f"{base_url}/login?token={token}"


def use_link(database: Database, token: str) -> bool:
    """Whether `token` belongs to an unused link; the link is used up by this call."""
    return bool(
        database.run(
            "delete from logins where sha256 = ? and expires >= ?", (hash_of(token), time.time())
        )
    )


def begin(database: Database, client: Client) -> str:
    """The secret of a new session of `client`, for a cookie."""
    token = secrets.token_urlsafe(32)
    now = time.time()
    database.run("delete from sessions where expires < ?", (now,))
    database.run(
        "insert into sessions values (?, ?, ?)", (hash_of(token), client.id, now + SESSION_SECONDS)
    )
    return token


def client_of_session(database: Database, token: str) -> Client | None:
    """The client of a session; None if it has ended, or its key was revoked."""
    rows = database.rows(
        "select client from sessions where sha256 = ? and expires >= ?",
        (hash_of(token), time.time()),
    )
    return client_with(database, rows[0][0]) if rows else None


def end_all_of_operator(database: Database) -> int:
    """End the operator's sessions and unused links. Returns how many there were."""
    ended = database.run("delete from sessions where client = ?", (OPERATOR.id,))
    return ended + database.run("delete from logins")
