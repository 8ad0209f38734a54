"""How far a download is: a bar on a terminal, a line every ten seconds in a log."""

import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars

from infra.adapters.weights.space import size_text
from infra.adapters.weights.transfer import Progress
from infra.apps.console import say

EVERY = 10.0
"""Seconds between two lines in a log."""


def shown_progress() -> Progress:
    """A bar if standard error is a terminal, else lines on it."""
    console = Console(stderr=True)
    return ProgressBar(console) if console.is_terminal else ProgressLines(say)


class ProgressBar:
    """Bytes, speed and time left of the model that is being fetched."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: Bars | None = None

    def begin(self, name: str, total: int, done: int) -> None:
        self.end()
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=12),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=self._console,
            transient=True,
        )
        self._bars.add_task(name, total=total or None, completed=done)
        self._bars.start()

    def advance(self, size: int) -> None:
        if self._bars:
            self._bars.advance(self._bars.task_ids[0], size)

    def end(self) -> None:
        if self._bars:
            self._bars.stop()
            self._bars = None


class ProgressLines:
    """One line every `EVERY` seconds; none for what is done sooner."""

    def __init__(
        self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write, self._clock = write, clock
        self._name, self._total, self._begun, self._done = "", 0, 0, 0
        self._start = self._last = 0.0

    def begin(self, name: str, total: int, done: int) -> None:
        self._name, self._total, self._begun, self._done = name, total, done, done
        self._start = self._last = self._clock()

    def advance(self, size: int) -> None:
        self._done += size
        now = self._clock()
        if now - self._last >= EVERY:
            self._last = now
            self._write(self._line(now - self._start))

    def end(self) -> None:
        return

    def _line(self, seconds: float) -> str:
        speed = max(self._done - self._begun, 1) / seconds
        if not self._total:
            return f"{self._name}: {size_text(self._done)}, {speed / 1e6:,.1f} MB/s"
        left = max(self._total - self._done, 0) / speed
        return (
            f"{self._name}: {size_text(self._done)} of {size_text(self._total)} "
            f"({100 * self._done // self._total} %), {speed / 1e6:,.1f} MB/s, "
            f"{_duration(left)} left"
        )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
