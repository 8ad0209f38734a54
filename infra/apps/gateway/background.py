"""Background work of the gateway: it polls runs, and compares its index with the bucket."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import anyio.to_thread
import httpx
from starlette.concurrency import run_in_threadpool

from infra.apps.gateway.database import Database
from infra.apps.gateway.index import Index
from infra.apps.gateway.runs import Runs
from infra.apps.gateway.views import RunView
from pipelines.errors import ReelwrightError

_LOOK_EVERY, _LOOK_SELDOM = 2.0, 5.0
"""Seconds between two looks at the runs: with endpoints that wait for news, and without."""
_OVERLAP = timedelta(minutes=2)
"""Of two looks: Prefect's clock and ours may differ, and an end is noted after it happened."""
_SHORTEST, _LONGEST = 15.0, 900.0
"""Seconds between two comparisons of the index with the bucket."""
_SHARE = 20.0
"""A comparison rests that many times as long as it took, so it takes 5 % of the time at most."""
_RECHECK = 3600.0
"""Seconds between two looks at the tags of all manifests."""
_log = logging.getLogger("reelwright.background")
Listener = Callable[[RunView], None]


async def repeat(act: Callable[[], Awaitable[float]]) -> None:
    """Call `act` for ever, after the seconds of rest that it returns; errors are logged."""
    rest = _LOOK_SELDOM
    while True:
        try:
            rest = await act()
        except (ReelwrightError, httpx.HTTPError) as error:
            _log.warning("%s", error)
        except Exception:
            _log.exception("something in the background stumbled")
        await asyncio.sleep(rest)


class Changes:
    """Runs of `produce-content` as they change, found by looking and not by being told: none is
    lost while the gateway is down."""

    def __init__(
        self,
        database: Database,
        runs: Runs,
        listener: Listener | None,
        counter: Listener | None = None,
    ) -> None:
        """`listener` is told of runs at work and of those that ended, and `counter` of the latter;
        both may hear of the same run again."""
        self._database = database
        self._runs = runs
        self._listener = listener
        self._counter = counter

    async def work(self) -> None:
        """Look until cancelled."""
        if self._listener is None:  # what ended before is found by comparing the index
            self._database.run("delete from marks where name = 'looked'")
        self._database.run("insert or ignore into marks values ('looked', ?)", (_now(),))
        await repeat(self.look)

    async def look(self) -> float:
        """Tell the listener of every run that is at work, or ended since the last look; without
        one, see the latter. A run that is seen completed is in the index (`Runs`)."""
        began = _now()
        ((looked,),) = self._database.rows("select value from marks where name = 'looked'")
        since = datetime.fromisoformat(looked) - _OVERLAP
        async for view in self._runs.changed(since, living=self._listener is not None):
            for tell in filter(None, (self._listener, self._counter)):
                await run_in_threadpool(tell, view)
        self._database.run("update marks set value = ? where name = 'looked'", (began,))
        return _LOOK_EVERY if self._listener else _LOOK_SELDOM


class Comparisons:
    """The index is compared with the bucket: at the start, then as often as is cheap."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._rechecked = time.monotonic()

    async def work(self) -> None:
        """Compare until cancelled; a pass that is under way ends at its next manifest."""
        try:
            await repeat(self.compare)
        finally:
            self._index.stopped.set()

    async def compare(self) -> float:
        """Names always, tags once in an hour. Returns how long to rest."""
        began = time.monotonic()
        await _in_thread(self._index.reconcile)
        if began - self._rechecked > _RECHECK:
            await _in_thread(self._index.recheck)
            self._rechecked = began
        return min(max(_SHARE * (time.monotonic() - began), _SHORTEST), _LONGEST)


async def _in_thread(work: Callable[[], int]) -> None:
    """Stopping the gateway does not wait for a slow store."""
    await anyio.to_thread.run_sync(work, abandon_on_cancel=True)


def _now() -> str:
    return datetime.now(UTC).isoformat()


@contextlib.asynccontextmanager
async def working(*works: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """All of them, as long as the block lasts."""

    async def all_of_them() -> None:
        await asyncio.gather(*(work() for work in works))

    task = asyncio.create_task(all_of_them())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
