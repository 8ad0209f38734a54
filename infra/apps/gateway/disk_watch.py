"""Looks whether the studio's disks have little space left, and tells it once each time.

A disk that gets low is told to the endpoints that want the event `disk_low`, and once in the log.
It is told again only after it had a good deal more space than the setting wants: a disk whose
free space goes up and down around that number would be told every minute otherwise. What was told
stands in the gateway's database, so that a restart tells nothing twice.
"""

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.concurrency import run_in_threadpool

from infra.adapters.settings import Settings
from infra.adapters.space import Space, low_disks, spaces_of, warning_of
from infra.apps.gateway.background import repeat
from infra.apps.gateway.database import Database

_LOOK_EVERY = 60.0
_FRESH = 10.0
"""Seconds for which the pages use one look."""
_RECOVERED = 1.2
"""Times the setting that must be free before a disk counts as recovered."""
_log = logging.getLogger("reelwright.disk")
Tell = Callable[[str, str, dict[str, Any]], None]
"""Stores an event: its kind, what makes it one and the same event, and its data."""


class DiskWatch:
    """The disks of one gateway's machine."""

    def __init__(self, settings: Settings, database: Database, tell: Tell) -> None:
        self._settings, self._database, self._tell = settings, database, tell
        self._low: Sequence[Space] = ()
        self._when = float("-inf")

    @property
    def low_gb(self) -> float:
        """Below so many GB a disk is low; 0: never."""
        return self._settings.paths.disk_low_gb

    def low(self) -> Sequence[Space]:
        """The disks that are low, as a page shows them."""
        if time.monotonic() - self._when >= _FRESH:
            self._low, self._when = low_disks(self._settings), time.monotonic()
        return self._low

    def sentences(self) -> list[str]:
        """For the operator: each disk that is low, with numbers and remedy."""
        return [warning_of(space, self.low_gb) for space in self.low()]

    async def work(self) -> None:
        """Look until cancelled."""
        await repeat(self._look)

    async def _look(self) -> float:
        await run_in_threadpool(self.look)
        return _LOOK_EVERY

    def look(self) -> None:
        """Tell each disk that has become low, and forget those that have recovered."""
        low = {space.folder: space for space in low_disks(self._settings)}
        for space in spaces_of(self._settings):
            mark = f"disk low {space.folder}"
            if space.folder in low:
                self._note(mark, space)
            elif not space.is_low(self.low_gb * _RECOVERED):
                self._database.run("delete from marks where name = ?", (mark,))

    def _note(self, mark: str, space: Space) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        if not self._database.run("insert or ignore into marks values (?, ?)", (mark, now)):
            return
        words = warning_of(space, self.low_gb)
        _log.warning("%s", words)
        self._tell(
            "disk_low",
            f"{space.folder} {now}",
            {
                "folder": space.folder,
                "free_bytes": space.free,
                "size_bytes": space.size,
                "low_gb": self.low_gb,
                "message": words,
            },
        )
