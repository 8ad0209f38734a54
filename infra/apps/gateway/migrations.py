"""The steps by which the gateway's database came to its present shape, in order.

A step that was released is never edited: a further one is added at the end.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import SettingsError


@dataclass(frozen=True)
class Migration:
    """One step. Its number is its place in MIGRATIONS, from 1 on."""

    words: str
    """What it changes, for the operator."""
    statements: tuple[str, ...]


MIGRATIONS = (
    Migration(
        "version numbers for its tables of keys, deliveries, events and marks",
        (
            """create table if not exists keys (
                name text primary key, sha256 text not null unique, scopes text not null,
                created text not null
            )""",
            """create table if not exists deliveries (
                source text not null, signature text not null, delivery text not null,
                seen real not null, primary key (source, signature)
            )""",
            """create table if not exists events (
                id text not null, endpoint text not null, body text not null, made real not null,
                tries integer not null default 0, due real not null,
                state text not null default 'waiting', error text not null default '',
                primary key (id, endpoint)
            )""",
            "create index if not exists events_due on events (state, due)",
            "create table if not exists marks (name text primary key, value text not null)",
        ),
    ),
    Migration(
        "an index of the published videos, filled from the bucket at the gateway's start",
        (
            # `created` is UTC in seconds, so that its order as text is that of time. `campaigns`
            # is a JSON list; `video_campaigns` has the same, to look for one.
            """create table videos (
                id text primary key, state text not null, created text not null default '',
                prompt text not null default '', campaigns text not null default '[]',
                seconds real not null default 0, width integer not null default 0,
                height integer not null default 0, size integer not null default 0,
                model text not null default '', requested_model text not null default '',
                manifest_sha256 text not null default '', manifest_etag text not null default '',
                problem text not null default ''
            )""",
            "create index videos_newest on videos (state, created, id)",
            """create table video_campaigns (
                campaign text not null, created text not null, video text not null,
                primary key (campaign, created, video)
            ) without rowid""",
            "create index video_campaigns_of on video_campaigns (video)",
            # What a video was made of, to say what stays when it is deleted: `digest` has 32 bytes.
            """create table video_parts (
                kind text not null, digest blob not null, video text not null,
                primary key (kind, digest, video)
            ) without rowid""",
            "create index video_parts_of on video_parts (video)",
        ),
    ),
    Migration(
        "tables of browser sessions and of login links",
        (
            """create table sessions (
                sha256 text primary key, client text not null, expires real not null
            )""",
            "create table logins (sha256 text primary key, expires real not null)",
        ),
    ),
    Migration(
        "a table of users; keys get an expiry, a last use and a user, sessions their beginning",
        (
            # Times of users and keys are UTC, ISO 8601; empty: never. `roles` and `scopes` are
            # separated by spaces.
            """create table users (
                id text primary key, name text not null unique, roles text not null,
                password text not null default '', created text not null,
                last_seen text not null default '', disabled text not null default ''
            )""",
            "alter table keys add column expires text not null default ''",
            "alter table keys add column last_used text not null default ''",
            "alter table keys add column user text not null default ''",
            "alter table sessions add column created real not null default 0",
            "alter table sessions add column last_seen real not null default 0",
            "alter table sessions add column address text not null default ''",
            "alter table sessions add column way text not null default ''",
            "alter table logins add column client text not null default 'operator'",
        ),
    ),
    Migration(
        "an audit log, whose entries are never changed and are kept for 30 days at least",
        (
            """create table audit (
                number integer primary key autoincrement, at text not null, who text not null,
                who_id text not null, action text not null, subject text not null,
                detail text not null, address text not null
            )""",
            "create index audit_of on audit (action, subject, who_id)",
            """create trigger audit_is_not_changed before update on audit
                begin select raise(abort, 'an entry of the audit log is never changed'); end""",
            """create trigger audit_is_kept before delete on audit
                when old.at > strftime('%Y-%m-%dT%H:%M:%S', 'now', '-30 days')
                begin select raise(abort, 'an entry of the audit log is kept for 30 days'); end""",
        ),
    ),
    Migration(
        "tables of titles, stars, deletions that can be undone, and shared links",
        (
            """create table library (
                video text primary key, title text not null default '',
                starred integer not null default 0
            ) without rowid""",
            # The manifest of a deleted video, with the time at which it is gone for ever.
            """create table trash (
                video text primary key, manifest blob not null, removed real not null
            )""",
            """create table shares (
                sha256 text primary key, video text not null, expires real not null
            )""",
            "create index shares_of on shares (video)",
            "create index videos_of_prompt on videos (prompt, created)",
        ),
    ),
    Migration(
        "a column that tells pictures from videos",
        # What was published before are videos: also a still, which was an MP4 of one frame.
        ("alter table videos add column kind text not null default 'video'",),
    ),
)


def migrate(
    connection: sqlite3.Connection, path: Path, known: Sequence[Migration] = MIGRATIONS
) -> None:
    """Bring the database to the latest version, each step in a transaction of its own.

    `connection` commits by itself (`isolation_level=None`). Raises SettingsError if a newer
    Reelwright wrote the database; it is left as it was.
    """
    while _version(connection, path, known) < len(known):
        connection.execute("begin immediate")
        try:
            # Another process may have made this step while we waited for the lock.
            version = _version(connection, path, known)
            if version < len(known):
                for statement in known[version].statements:
                    connection.execute(statement)
                connection.execute(f"pragma user_version = {version + 1}")
            connection.execute("commit")
        except BaseException:
            connection.execute("rollback")
            raise


def pending_migrations(data_dir: Path) -> list[str]:
    """What the next start of the gateway of `data_dir` changes in its database, a line a step.

    Empty if there is no database yet. Changes nothing. Raises SettingsError if a newer
    Reelwright wrote it.
    """
    path = data_dir / "gateway" / "gateway.db"
    if not path.exists():
        return []
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30)
    try:
        version = _version(connection, path, MIGRATIONS)
    finally:
        connection.close()
    return [f"the gateway's database gets {item.words}" for item in MIGRATIONS[version:]]


def _version(connection: sqlite3.Connection, path: Path, known: Sequence[Migration]) -> int:
    ((version,),) = connection.execute("pragma user_version").fetchall()
    if version > len(known):
        raise SettingsError(
            f"{path} has version {version}, and this Reelwright knows versions up to "
            f"{len(known)}: a newer one wrote it; install that one again, or restore a backup "
            "that this one made"
        )
    return int(version)
