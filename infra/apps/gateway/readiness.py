"""Whether Prefect and the store answer: asked once for everybody, and never waited for long."""

import asyncio
import time
from collections.abc import Awaitable, Callable

FRESH = 1.0
"""Seconds for which one look serves everybody who asks."""
PATIENCE = 2.0
"""Seconds after which silence is a no."""


class Readiness:
    """One gateway's. A probe that still waits is not repeated."""

    def __init__(self, **probes: Callable[[], Awaitable[bool]]) -> None:
        """A name for each probe; what a probe raises is a no."""
        self._probes = probes
        self._running: dict[str, asyncio.Task[bool]] = {}
        self._answer: dict[str, bool] = {}
        self._when = float("-inf")
        self._lock = asyncio.Lock()

    async def look(self) -> dict[str, bool]:
        """Which of them answer."""
        async with self._lock:
            if time.monotonic() - self._when >= FRESH:
                for name, probe in self._probes.items():
                    if name not in self._running:
                        self._running[name] = asyncio.create_task(_asked(probe))
                await asyncio.wait(self._running.values(), timeout=PATIENCE)
                done = {name: task for name, task in self._running.items() if task.done()}
                self._answer = {name: name in done and done[name].result() for name in self._probes}
                for name in done:
                    del self._running[name]
                self._when = time.monotonic()
            return self._answer


async def _asked(probe: Callable[[], Awaitable[bool]]) -> bool:
    try:
        return await probe()
    except Exception:  # whatever it is, it is no yes
        return False
