"""Passes the stages' progress reports to listeners: the command line, the page of a run, the
log."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.progress import Progress, Report

_MANY = 40
"""A stage with more units than this is logged once for ten units."""
_listeners: list[Report] = []


def report(progress: Progress) -> None:
    """Pass `progress` to all listeners."""
    for listener in _listeners:
        listener(progress)


@contextmanager
def listening(listener: Report) -> Iterator[None]:
    """Call `listener` for all progress in this process while the context is open."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


class ProgressLog:
    """Writes reports to the log: one line for each unit of a stage, or for ten units if it has
    many."""

    def __init__(self) -> None:
        self._log = logging.getLogger("reelwright.progress")
        self._last: tuple[str, int] | None = None

    def __call__(self, progress: Progress) -> None:
        size = 1 if progress.total <= _MANY else 10
        unit = (progress.stage, int(progress.done) // size)
        if unit != self._last:
            self._last = unit
            where = f"{progress.done:g}/{progress.total:g}"
            self._log.info("%s %s %s", progress.stage, where, progress.detail)
