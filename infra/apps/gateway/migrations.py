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
