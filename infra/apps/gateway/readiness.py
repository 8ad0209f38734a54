"""Readiness of Prefect and the store: one probe serves all requests and takes 2 s at most."""

import asyncio
import time
from collections.abc import Awaitable, Callable

FRESH = 1.0
"""Seconds for which a result is reused."""
PATIENCE = 2.0
"""Seconds after which a probe that has not ended counts as failed."""


class Readiness:
    """The probes of one gateway. A probe that is still running is not started again."""

    def __init__(self, **probes: Callable[[], Awaitable[bool]]) -> None:
        """`probes` by name; a probe that raises counts as failed."""
        self._probes = probes
        self._running: dict[str, asyncio.Task[bool]] = {}
        self._results: dict[str, bool] = {}
        self._when = float("-inf")
        self._lock = asyncio.Lock()

    async def look(self) -> dict[str, bool]:
        """The latest result of each probe, by name."""
        async with self._lock:
            if time.monotonic() - self._when >= FRESH:
                for name, probe in self._probes.items():
                    if name not in self._running:
                        self._running[name] = asyncio.create_task(_result(probe))
                await asyncio.wait(self._running.values(), timeout=PATIENCE)
                done = {name: task for name, task in self._running.items() if task.done()}
                good = {name for name, task in done.items() if task.result()}
                self._results = {name: name in good for name in self._probes}
                for name in done:
                    del self._running[name]
                self._when = time.monotonic()
            return self._results


async def _result(probe: Callable[[], Awaitable[bool]]) -> bool:
    try:
        return await probe()
    except Exception:  # any error means that it is not ready
        return False
