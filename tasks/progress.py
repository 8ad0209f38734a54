"""Who listens to the stages: the command line's bars, later the run's page."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.progress import Progress, Report

_MANY = 40
_listeners: list[Report] = []


def report(progress: Progress) -> None:
    """Tell everybody who listens."""
    for listener in _listeners:
        listener(progress)


@contextmanager
def listening(listener: Report) -> Iterator[None]:
    """`listener` hears of all progress in this process while the context lasts."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


class ProgressLog:
    """The same reports in the log, one line for each unit of a stage, or ten if it has many."""

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
