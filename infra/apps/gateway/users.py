"""Users: people and machines with a name, roles, and perhaps a password."""

import secrets
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime

from infra.apps.gateway import passwords
from infra.apps.gateway.database import Database
from infra.apps.gateway.key_names import check_name
from infra.apps.gateway.keys import Client, check_not_taken, listed
from infra.apps.gateway.roles import MACHINE, check_roles, scopes_of
from pipelines.errors import BriefError

PREFIX = "user-"
"""Ids of users begin with it, those of keys do not."""


@dataclass(frozen=True)
class User:
    """What is known of a user. All times are UTC, ISO 8601; empty: never."""

    id: str
    name: str
    roles: tuple[str, ...]
    has_password: bool
    created: str
    last_seen: str
    """To half a minute."""
    disabled: str
    """Since when the user cannot get in; empty: they can."""

    @property
    def client(self) -> Client:
        return Client(self.name, scopes_of(self.roles), self.id)


_COLUMNS = "id, name, roles, password <> '', created, last_seen, disabled"


def add(database: Database, name: str, roles: list[str], password: str = "") -> User:
    """A new user. Without a password they log in by a link, a key or the proxy of the operator.

    Raises BriefError if the name is taken or cannot be used, a role is unknown, the password is too
    weak, or a machine would get one.
    """
    chosen = check_roles(roles)
    check_name(name)
    if any(record.name == name for record in listed(database)):
        raise BriefError(f"an API key has the name {name!r}; take another name")
    check_not_taken(database, name)
    _check(chosen, password, name)
    values = (
        PREFIX + secrets.token_hex(13),
        name,
        " ".join(chosen),
        passwords.hashed(password) if password else "",
        datetime.now(UTC).isoformat(),
    )
    added = database.run(
        "insert or ignore into users (id, name, roles, password, created) values (?, ?, ?, ?, ?)",
        values,
    )
    if not added:
        raise BriefError(f"there is a user {name!r} already")
    return named(database, name)


def everybody(database: Database) -> list[User]:
    """All users, by name."""
    rows = database.rows(f"select {_COLUMNS} from users order by name")  # noqa: S608
    return [_user(*row) for row in rows]


def named(database: Database, name: str) -> User:
    """The user of that name. Raises BriefError if there is none."""
    found = find_named(database, name)
    if found is None:
        raise BriefError(f"there is no user {name!r:.70}; see: reelwright users list")
    return found


def allowed(database: Database, name: str) -> User:
    """The user of that name. Raises BriefError if there is none, or if they are disabled."""
    user = named(database, name)
    if user.disabled:
        raise BriefError(f"{name!r} is disabled; let them in with: reelwright users enable {name}")
    return user


def find_named(database: Database, name: str) -> User | None:
    """The user of that name; None if there is none."""
    rows = database.rows(f"select {_COLUMNS} from users where name = ?", (name,))  # noqa: S608
    return _user(*rows[0]) if rows else None


def client_with(database: Database, identity: str) -> Client | None:
    """The client of the user with that id, unless there is none or they are disabled."""
    rows = database.rows(f"select {_COLUMNS} from users where id = ?", (identity,))  # noqa: S608
    user = _user(*rows[0]) if rows else None
    return user.client if user and not user.disabled else None


def client_of(database: Database, name: str, password: str) -> Client | None:
    """The client of the user with that name and password; None if there is none. Takes tenths of a
    second of one core, for a name that does not exist too."""
    rows = database.rows("select id, password from users where name = ?", (name,))
    identity, known = rows[0] if rows else ("", "")
    if not passwords.matches(password, known):
        return None
    return client_with(database, identity)


def set_password(database: Database, name: str, password: str) -> User:
    """Give a user another password, and end their sessions. Raises BriefError as `add`."""
    user = named(database, name)
    _check(user.roles, password, name)
    hashed = passwords.hashed(password)
    with database.transaction() as connection:
        connection.execute("update users set password = ? where id = ?", (hashed, user.id))
        _end_sessions(connection, user)
    return user


def set_roles(database: Database, name: str, roles: list[str]) -> User:
    """Give a user these roles and no others; it holds at once. Raises BriefError as `add`."""
    user, chosen = named(database, name), check_roles(roles)
    if chosen == (MACHINE,) and user.has_password:
        raise BriefError(f"{name!r} has a password, and a machine has none; make another user")
    database.run("update users set roles = ? where id = ?", (" ".join(chosen), user.id))
    return named(database, name)


def disable(database: Database, name: str) -> User:
    """Keep a user out at once: their sessions end, their keys are refused until `enable`. Their
    name stays theirs. Raises BriefError if there is none."""
    user = named(database, name)
    now = datetime.now(UTC).isoformat()
    with database.transaction() as connection:
        connection.execute(
            "update users set disabled = ? where id = ? and disabled = ''", (now, user.id)
        )
        _end_sessions(connection, user)
    return user


def enable(database: Database, name: str) -> User:
    """Let a disabled user in again. Raises BriefError if there is none."""
    user = named(database, name)
    database.run("update users set disabled = '' where id = ?", (user.id,))
    return user


def _end_sessions(connection: sqlite3.Connection, user: User) -> None:
    connection.execute("delete from sessions where client = ?", (user.id,))
    connection.execute("delete from logins where client = ?", (user.id,))


def _check(roles: tuple[str, ...], password: str, name: str) -> None:
    if not password:
        return
    if MACHINE in roles:
        raise BriefError(
            f"a machine has no password; give it a key: reelwright keys add NAME --user {name}"
        )
    passwords.check_password(password, name)


def _user(
    identity: str, name: str, roles: str, secret: int, created: str, seen: str, disabled: str
) -> User:
    return User(identity, name, tuple(roles.split()), bool(secret), created, seen, disabled)
