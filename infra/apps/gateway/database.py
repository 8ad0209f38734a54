"""What the gateway must not forget: keys, deliveries, events. SQLite, one file, one writer."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infra.adapters.disk import make_directory

_TABLES = """
create table if not exists keys (
    name text primary key, sha256 text not null unique, scopes text not null, created text not null
);
create table if not exists deliveries (
    source text not null, signature text not null, delivery text not null, seen real not null,
    primary key (source, signature)
);
create table if not exists events (
    id text not null, endpoint text not null, body text not null, made real not null,
    tries integer not null default 0, due real not null, state text not null default 'waiting',
    error text not null default '', primary key (id, endpoint)
);
create index if not exists events_due on events (state, due);
create table if not exists marks (name text primary key, value text not null);
"""


class Database:
    """Thread-safe; every statement is its own transaction, on disk when it returns."""

    def __init__(self, folder: Path) -> None:
        make_directory(folder, private=True)
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(
            folder / "gateway.db", check_same_thread=False, isolation_level=None, timeout=30
        )
        self._connection.execute("pragma journal_mode=wal")
        # Some builds of SQLite sync a WAL at checkpoints only.
        self._connection.execute("pragma synchronous=full")
        self._connection.executescript(_TABLES)

    def run(self, statement: str, values: Sequence[Any] = ()) -> int:
        """Execute it. Returns how many rows it changed."""
        with self._lock:
            return self._connection.execute(statement, values).rowcount

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """What it finds."""
        with self._lock:
            return self._connection.execute(statement, values).fetchall()

    def close(self) -> None:
        """No more calls after this one."""
        with self._lock:
            self._connection.close()


@contextmanager
def opened(data_dir: Path) -> Iterator[Database]:
    """The database of the gateway of `data_dir`."""
    database = Database(data_dir / "gateway")
    try:
        yield database
    finally:
        database.close()
