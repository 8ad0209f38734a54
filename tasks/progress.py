"""Who listens to the stages: the command line's bars, later the run's page."""

from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.progress import Progress, Report

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
