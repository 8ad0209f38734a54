"""When keys, users and sessions were used last: remembered, and written every half minute."""

import threading
import time
from datetime import UTC, datetime

from infra.apps.gateway.database import Database
from infra.apps.gateway.keys import hash_of

_WRITE_EVERY = 30.0
"""Seconds. Each write waits for the disk, and a client may send a hundred requests a second."""
_MOST = 10_000
"""Notes that are kept until the next write; what comes beyond is not noted."""


class Uses:
    """The last uses of one gateway's credentials."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._notes: dict[tuple[str, str], float] = {}

    def of_key(self, key: str) -> None:
        """A request came with this key."""
        self._note("key", hash_of(key))

    def of_session(self, token: str) -> None:
        """A request came with this session's secret."""
        self._note("session", hash_of(token))

    def of_user(self, identity: str) -> None:
        """A request came from the user with this id."""
        self._note("user", identity)

    def _note(self, kind: str, name: str) -> None:
        with self._lock:
            if len(self._notes) < _MOST or (kind, name) in self._notes:
                self._notes[kind, name] = time.time()

    async def work(self) -> float:
        """Write what was noted. Returns how long to rest."""
        self.write()
        return _WRITE_EVERY

    def write(self) -> None:
        """Write all notes in one transaction."""
        with self._lock:
            notes, self._notes = self._notes, {}
        if not notes:
            return
        with self._database.transaction() as connection:
            for (kind, name), when in notes.items():
                text = datetime.fromtimestamp(when, UTC).isoformat(timespec="seconds")
                if kind == "key":
                    connection.execute(
                        "update keys set last_used = ? where sha256 = ?", (text, name)
                    )
                elif kind == "user":
                    connection.execute("update users set last_seen = ? where id = ?", (text, name))
                else:
                    connection.execute(
                        "update sessions set last_seen = ? where sha256 = ?", (when, name)
                    )
