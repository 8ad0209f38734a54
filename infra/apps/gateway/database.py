"""What the gateway must not forget: keys, deliveries, events; and an index of the videos.

SQLite, one file, one writer.
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infra.adapters.disk import make_directory
from infra.apps.gateway.migrations import migrate, pending_migrations

__all__ = ["Database", "opened", "pending_migrations"]


class Database:
    """Thread-safe; every statement is its own transaction, on disk when it returns.

    Opening it brings its tables to the latest version. Raises SettingsError if they are newer.
    """

    def __init__(self, folder: Path) -> None:
        make_directory(folder, private=True)
        self._lock = threading.Lock()
        path = folder / "gateway.db"
        self._connection = sqlite3.connect(
            path, check_same_thread=False, isolation_level=None, timeout=30
        )
        try:
            self._connection.execute("pragma journal_mode=wal")
            # Some builds of SQLite sync a WAL at checkpoints only.
            self._connection.execute("pragma synchronous=full")
            migrate(self._connection, path)
        except BaseException:
            self._connection.close()
            raise

    def run(self, statement: str, values: Sequence[Any] = ()) -> int:
        """Execute it. Returns how many rows it changed."""
        with self._lock:
            return self._connection.execute(statement, values).rowcount

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """What it finds."""
        with self._lock:
            return self._connection.execute(statement, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Several statements, all of them on disk after the block, or none if it raises.

        Everybody else waits meanwhile: no request to another server inside.
        """
        with self._lock:
            self._connection.execute("begin immediate")
            try:
                yield self._connection
                self._connection.execute("commit")
            except BaseException:
                self._connection.execute("rollback")
                raise

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
