"""Terminal output of a command: progress bars on a terminal, only messages elsewhere."""

import logging
import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from pipelines.progress import Progress

_TITLES = {
    "enhance": "Shots",
    "encode": "Texts",
    "chunks": "Chunks",
    "stitch": "Stitching",
    "upscale": "Upscaling",
    "upload": "Upload",
}


def plain(text: str) -> str:
    """`text` with lone surrogates and control characters replaced by escapes, for any terminal."""
    shown = "".join(
        character if character.isprintable() or character == "\n" else ascii(character)[1:-1]
        for character in text
    )
    encoding = sys.stderr.encoding or "utf-8"
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def say(text: str) -> None:
    """Print a line on standard error."""
    sys.stderr.write(plain(text) + "\n")
    sys.stderr.flush()


def show_log() -> None:
    """Let what Reelwright itself logs through to the root logger, which a worker's Prefect has
    sent to standard error."""
    logging.getLogger("reelwright").setLevel(logging.INFO)


class ProgressBars:
    """One bar a stage, with what is being done and the time left; nothing if not a terminal."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bars = Bars(
            TextColumn("{task.fields[title]:<9}"),
            BarColumn(bar_width=12),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            TextColumn("{task.fields[detail]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def note(self, text: str) -> None:
        """Print a line, on a terminal only."""
        if self._console.is_terminal:
            self._console.print(plain(text), style="dim", highlight=False, markup=False)

    def __call__(self, progress: Progress) -> None:
        if progress.stage == "check":
            self.note(progress.detail)
            return
        task = self._tasks.get(progress.stage)
        if task is None:
            title = _TITLES.get(progress.stage, progress.stage)
            task = self._bars.add_task("", title=title, detail="", total=progress.total)
            self._tasks[progress.stage] = task
        self._bars.update(task, completed=progress.done, detail=progress.detail)
