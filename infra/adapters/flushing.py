"""What the embedded store acknowledged is put on disk before its caller goes on.

SeaweedFS hands its writes to the kernel and answers: they survive its own death, not a power
cut. One option syncs the data of an object but none its name, which lies in the filer's
database. So the client does it: a sync of a file flushes it, whoever wrote it.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from infra.adapters.disk import sync

_log = logging.getLogger("reelwright.store")
_SETTLED = 100_000_000
"""Nanoseconds. A file system may give two writes within one tick of its clock, 10 ms at most, the
same time: a file that changed so lately is not taken for clean."""

Signature = tuple[int, int, int]
"""Inode, size in bytes, time of the last change in ns."""


class SharedPasses:
    """Calls `work` for any number of threads that need it done: one call serves all who wait.

    A caller never relies on a call that began before it came: that one may already have passed
    over what the caller changed.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._turn = threading.Condition()
        self._begun = self._done = 0
        """Numbers of the last pass that began and of the last that ended well."""
        self._busy = False
        self._failures: list[OSError] = []
        self.waiting = 0
        """How many callers wait for a pass of another thread."""

    def run(self) -> None:
        """Return when a pass that began after this call has ended well.

        Raises the OSError of that pass, for every caller that waits for it.
        """
        if self._wait_for_others():
            return
        failure: OSError | None = None
        whole = False
        try:
            self._work()
            whole = True
        except OSError as error:
            failure = error
            raise
        finally:
            with self._turn:
                self._busy = False
                if whole:
                    self._done = self._begun
                elif failure:
                    self._failures.append(failure)
                # Neither: Ctrl-C or a cancellation broke the pass off. It has told nothing about
                # the disk, so one of those who wait does it again.
                self._turn.notify_all()

    def _wait_for_others(self) -> bool:
        """Whether a pass of another thread did our work; if not, the next pass is ours.

        A kernel reports a failed write once, so a failure is the failure of all who wait.
        """
        with self._turn:
            needed = self._begun + 1
            failures = len(self._failures)
            while self._busy:
                self.waiting += 1
                try:
                    self._turn.wait()
                finally:
                    self.waiting -= 1
                if len(self._failures) > failures:
                    raise OSError(self._failures[-1].errno, self._failures[-1].strerror)
                if self._done >= needed:
                    return True
            self._busy = True
            self._begun += 1
            return False


class Flusher:
    """Puts a directory's changes on disk. One pass serves all callers that wait for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._passes = SharedPasses(self._sync_changes)
        self._clean: dict[str, Signature] = {}
        self._told = False

    def flush(self) -> None:
        """All that was written before this call is on disk when it returns.

        A folder that cannot be read (it is another machine's) is logged once and left alone.
        Raises OSError if the disk refuses; the caller must not take its write for stored.
        """
        self._passes.run()

    def _sync_changes(self) -> None:
        try:
            changed = list(self._changed())
        except (FileNotFoundError, PermissionError, NotADirectoryError) as error:
            self._tell(error)
            return
        for path, signature, settled in changed:
            try:
                sync(Path(path))
            except FileNotFoundError:  # a database drops its old files
                self._clean.pop(path, None)
                continue
            except PermissionError as error:
                self._tell(error)
                return
            if settled:
                self._clean[path] = signature

    def _changed(self) -> Iterator[tuple[str, Signature, bool]]:
        """Changed files first, then directories: a name must not reach the disk before its
        bytes."""
        found = list(_walk(str(self.folder)))
        limit = time.time_ns() - _SETTLED
        known = {path for path, _ in found}
        for path in [path for path in self._clean if path not in known]:
            del self._clean[path]
        for path, signature in found:
            if self._clean.get(path) != signature:
                yield path, signature, signature[2] < limit

    def _tell(self, error: OSError) -> None:
        if not self._told:
            self._told = True
            _log.warning(
                "the store's folder %s cannot be read here (%s): what it acknowledges survives "
                "its death, but perhaps not a power cut; unset REELWRIGHT_S3_DATA_DIR if the "
                "store is on another machine",
                self.folder,
                error.strerror,
            )


@cache
def flusher_of(folder: Path) -> Flusher:
    """The Flusher of `folder`; one for each process."""
    return Flusher(folder)


def _walk(folder: str) -> Iterator[tuple[str, Signature]]:
    """The path and signature of everything below `folder`, then of `folder` itself. Files that
    vanish meanwhile are left out."""
    own = Path(folder).stat()
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False):
                    yield from _walk(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    yield entry.path, _signature(entry.stat(follow_symlinks=False))
            except FileNotFoundError:
                continue
    yield folder, _signature(own)


def _signature(found: os.stat_result) -> Signature:
    return found.st_ino, found.st_size, found.st_mtime_ns
