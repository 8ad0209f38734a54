"""Work beside the main thread: one chunk is encoded and stored while the device makes the next.

All work of the device stays in the main thread, because a cancel raises there: a thread would go on
using the device. The background is for work of the processor, the disk and the network.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for_futures
from contextlib import contextmanager
from contextvars import copy_context
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from pipelines.errors import ReelwrightError

Item = TypeVar("Item")
Made = TypeVar("Made")
_log = logging.getLogger("reelwright.background")
_TURN = 0.5
"""Seconds after which the waiting main thread looks for a signal that another thread got."""


class Inbox(Generic[Item]):
    """What the main thread gives to a job. At most `room` items wait in it."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._items: deque[Item] = deque()
        self._closed = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()

    def put(self, item: Item) -> None:
        """Add `item` as soon as there is room. An item for a job that has ended is dropped."""
        with self._changed:
            while not self._changed.wait_for(
                lambda: self._closed or len(self._items) < self._room, timeout=_TURN
            ):
                pass
            if not self._closed:
                self._items.append(item)
                self._changed.notify_all()

    def close(self, error: BaseException | None = None) -> None:
        """No more items come. With `error`, the job gets that in place of the items that wait.

        Nothing changes if the inbox is closed already.
        """
        with self._changed:
            if not self._closed:
                self._closed, self._error = True, error
                self._changed.notify_all()

    def drop(self) -> None:
        """Close it for a job that has ended, and forget the items that wait."""
        self.close()
        self._items.clear()

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        """The next item, as soon as there is one. Raises the error that the inbox was closed
        with."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._items) > 0)
            if self._error is not None:
                raise self._error
            if not self._items:
                raise StopIteration
            item = self._items.popleft()
            self._changed.notify_all()
            return item


class _Job(Generic[Item, Made]):
    """A job: where its items come from, and what it makes of them."""

    def __init__(self, inbox: Inbox[Item], on_done: Callable[[Made], None]) -> None:
        self.inbox = inbox
        self.on_done = on_done
        self.made: Future[Made] = Future()

    def run(self, work: Callable[[Inbox[Item]], Made]) -> None:
        try:
            self.made.set_result(work(self.inbox))
        except BaseException as error:
            self.made.set_exception(error)
        finally:
            self.inbox.drop()


class Background:
    """One thread that does jobs beside the main thread, one at a time, in the order of their start.

    A job begins before its items are there, so that its task run covers the whole work on a chunk
    and ends when the object is stored. Only the main thread calls the methods, except `go_on`.

    Leaving the block without an error waits for all jobs. If an error left it, a job that has all
    its items is finished, so that a finished chunk stays; if a signal did (KeyboardInterrupt,
    Prefect's TerminationSignal), the job is given up at its next `go_on`. In every case the thread
    has ended afterwards. A job that waits for a silent store holds that up for as long as the
    store's client asks again (REELWRIGHT_S3_PATIENCE).
    """

    def __init__(self, *, beside: bool = True) -> None:
        """With `beside` False the main thread waits for each job: nothing is won where the same
        processor does both."""
        self.beside = beside
        self._pool = ThreadPoolExecutor(1, "background")
        self._jobs: deque[_Job[Any, Any]] = deque()
        self._signal: BaseException | None = None

    @property
    def unfinished(self) -> int:
        """Number of jobs that no call has seen finished yet."""
        return len(self._jobs)

    @contextmanager
    def job(
        self,
        work: Callable[[Inbox[Item]], Made],
        on_done: Callable[[Made], None],
        room: int = 1,
    ) -> Iterator[Inbox[Item]]:
        """Start `work` with an inbox for `room` items. The block puts all its items into it.

        `work` runs in the context of this call, such as that of a flow run. An error of the block
        is raised in `work` too. `on_done` gets the result in the main thread, in a later call of
        `check` or `wait`. Raises what `wait` raises, if this background is not `beside`.
        """
        inbox: Inbox[Item] = Inbox(room)
        job = _Job(inbox, on_done)
        self._jobs.append(job)  # first: if a signal comes here, `__exit__` must know the inbox
        self._pool.submit(copy_context().run, job.run, work)
        try:
            yield inbox
        except BaseException as error:
            inbox.close(error)
            raise
        inbox.close()
        if not self.beside:
            self.wait()

    def check(self) -> None:
        """See which jobs have finished, without waiting. Raises the error of one that failed.

        A RuntimeError or MemoryError is left to `wait`: backends call this through their step
        reports, and take these for a device whose memory ran out.
        """
        while self._jobs and self._jobs[0].made.done():
            error = self._jobs[0].made.exception()
            if error is not None and not isinstance(error, ReelwrightError | OSError):
                return
            self._see_first()

    def wait(self, left: int = 0) -> None:
        """Wait until at most `left` jobs are unfinished. Raises the error of one that failed."""
        while len(self._jobs) > left:
            made = self._jobs[0].made
            # The kernel may give a signal to another thread: then its handler runs at the next turn
            # of this loop. The job stays if a signal ends the waiting.
            while not made.done():
                wait_for_futures([made], timeout=_TURN)
            self._see_first()

    def go_on(self) -> None:
        """Called by jobs between their steps. Raises the signal that ended the main thread's
        block."""
        if self._signal is not None:
            raise self._signal

    def _see_first(self) -> None:
        job = self._jobs.popleft()
        job.on_done(job.made.result())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.wait()
        except BaseException as failure:
            error = failure
            raise
        finally:
            self._end(error)

    def _end(self, error: BaseException | None) -> None:
        by_signal = error is not None and not isinstance(error, Exception)
        if by_signal:
            self._signal = error
        for job in self._jobs:
            job.inbox.close(error)
        self._pool.shutdown(wait=True, cancel_futures=by_signal)
        for job in self._jobs:
            failure = job.made.exception() if job.made.done() else None
            if failure not in (None, error):
                _log.warning("a job in the background failed as well: %s", failure)
