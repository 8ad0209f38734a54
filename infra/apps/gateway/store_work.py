"""Calls of the object store: in threads of their own, each with a deadline.

The threads that everything else shares are few. A store that stands still would soon hold all of
them, and nobody could even log in.
"""

import asyncio
import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from infra.apps.gateway.problems import ProblemError
from pipelines.errors import StoreError

THREADS = 32
CONNECTIONS = 256
"""Of the pool: one for each thread, and those of videos that are being sent."""
READ_SECONDS = 10.0
"""After which the store's silence ends a call; a thread is never held for much longer."""
_WAIT = 2.0
"""Seconds to wait for a free thread."""
Args = ParamSpec("Args")
Result = TypeVar("Result")
_log = logging.getLogger("reelwright.store")


class BrokenOffError(Exception):
    """The store failed in the middle of a response; the error has been logged.

    `BodyLimitMiddleware` catches it, and the server closes the connection, so that the client sees
    that bytes are missing.
    """


class StoreWork:
    """The threads in which one gateway calls the object store."""

    def __init__(self, patience: float) -> None:
        """`patience` is how many seconds a call may take."""
        self._patience = patience
        self._threads = ThreadPoolExecutor(THREADS, "store")
        self._free = asyncio.Semaphore(THREADS)

    async def run(
        self, call: Callable[..., Result], *args: Any, patience: float | None = None
    ) -> Result:
        """What `call` returns or raises. Raises ProblemError 503 if it takes too long.

        A call that takes too long goes on, and keeps its thread until it ends.
        """
        seconds = self._patience if patience is None else patience
        try:
            async with asyncio.timeout(min(_WAIT, seconds)):
                await self._free.acquire()
        except TimeoutError as error:
            raise _silent("all calls to it are waiting", "it was not asked; try again") from error
        future = asyncio.get_running_loop().run_in_executor(self._threads, call, *args)
        future.add_done_callback(self._ended)
        done, _ = await asyncio.wait({future}, timeout=seconds)
        if not done:
            raise _silent(
                f"waited {seconds:g} s",
                "what was asked for may still be carried out: look whether it was, then try again",
            )
        return future.result()

    async def stream(self, blocks: Iterator[bytes]) -> AsyncIterator[bytes]:
        """`blocks`, the first of which is there already. Raises what the store raises for it.

        Later it is too late for a problem as JSON: the blocks end with BrokenOffError then.
        """
        return self._rest(await self.run(next, blocks, b""), blocks)

    async def _rest(self, block: bytes, blocks: Iterator[bytes]) -> AsyncIterator[bytes]:
        while block:
            yield block
            try:
                block = await self.run(next, blocks, b"")
            except (StoreError, ProblemError) as error:
                _log.error("a download was broken off: %s", error)
                raise BrokenOffError from error

    def close(self) -> None:
        """Accept no more calls and drop those that wait."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _ended(self, future: "asyncio.Future[Any]") -> None:
        self._free.release()
        if not future.cancelled():
            future.exception()  # seen, also where nobody waits for it any more


def at_store(endpoint: Callable[Args, Result]) -> Callable[Args, Awaitable[Result]]:
    """An endpoint that calls the store, run in the store's threads instead of everybody's.

    It must have the parameter `request`.
    """

    @functools.wraps(endpoint)
    async def run(*args: Args.args, **kwargs: Args.kwargs) -> Result:
        request: Any = kwargs["request"]
        work: StoreWork = request.app.state.gateway.work
        return await work.run(functools.partial(endpoint, *args, **kwargs))

    return run


def _silent(why: str, left: str) -> ProblemError:
    """`left` says in what state the call is, and what to do."""
    return ProblemError(
        503,
        "store_silent",
        f"the object store does not answer ({why}); {left}",
        headers={"Retry-After": "5"},
    )
