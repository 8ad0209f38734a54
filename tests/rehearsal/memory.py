"""Peak memory of each stage beside what was planned for it.

A stage begins when the product asks its host for a model, which also says how much it needs, and
ends when it asks for the next one. The memory is that of this process and its children (the
language model runs in one), without the servers that ran before: read every 50 ms.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.adapters.device.host import DeviceHost

_EVERY = 0.05
_PROC = Path("/proc")
_PAGE_KB = 1024


@dataclass
class StagePeak:
    """One stage."""

    kind: str
    """What was loaded: `enhancer`, `encoder`, `video` or `upscaler`."""
    planned: int
    """Bytes that the product said it needs."""
    before: int = 0
    """Bytes that were taken when the stage began."""
    peak: int = 0
    """Most bytes taken, with pages of files that are mapped into memory."""
    peak_own: int = 0
    """The same without those pages, which the system can take back at any time."""

    @property
    def measured(self) -> int:
        """Bytes that the stage added. The language model's file is mapped, and counts."""
        return (self.peak if self.kind == "enhancer" else self.peak_own) - self.before


@dataclass
class StagePeaks:
    """The stages of a run, in order."""

    stages: list[StagePeak] = field(default_factory=list)
    _others: frozenset[int] = frozenset()
    _floor: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, kind: str, planned: int) -> None:
        """The product asks for a model."""
        with self._lock:
            if self.stages and self.stages[-1].kind == kind:
                self.stages[-1].planned = max(self.stages[-1].planned, planned)
                return
            if not self.stages:  # models come and go; what came before them stays
                self._others = frozenset(_descendants(_own_pid()))
                self._floor = _taken(self._others)[1]
            self.stages.append(StagePeak(kind, planned, before=self._floor))

    def look(self) -> None:
        """Take in what is taken now."""
        with self._lock:
            if self.stages:
                stage, (total, own) = self.stages[-1], _taken(self._others)
                stage.peak, stage.peak_own = max(stage.peak, total), max(stage.peak_own, own)


@contextmanager
def stage_peaks() -> Iterator[StagePeaks]:
    """Measure what is made inside, in this process."""
    peaks, over = StagePeaks(), threading.Event()
    original = DeviceHost.resident

    def resident(
        host: DeviceHost, kind: str, key: tuple[str, ...], load: Callable[[], Any], need: int
    ) -> Any:
        peaks.begin(kind, need)
        return original(host, kind, key, load, need)

    def watch() -> None:
        while not over.wait(_EVERY):
            peaks.look()

    watcher = threading.Thread(target=watch, daemon=True)
    DeviceHost.resident = resident  # type: ignore[method-assign, assignment]
    watcher.start()
    try:
        yield peaks
    finally:
        DeviceHost.resident = original  # type: ignore[method-assign]
        over.set()
        watcher.join()


def _taken(others: frozenset[int]) -> tuple[int, int]:
    """Bytes of this process and its children but `others`: all, and without mapped files."""
    total = own = 0
    for pid in [_own_pid(), *(_descendants(_own_pid()) - others)]:
        found = _status(pid)
        total += found.get("VmRSS", 0)
        own += found.get("RssAnon", 0)
    return total, own


def _own_pid() -> int:
    return int(Path("/proc/self").resolve().name)


def _descendants(pid: int) -> set[int]:
    found: set[int] = set()
    for path in (_PROC / str(pid) / "task").glob("*/children"):
        try:
            children = {int(word) for word in path.read_text().split()}
        except OSError:
            continue
        found |= children
        for child in children:
            found |= _descendants(child)
    return found


def _status(pid: int) -> dict[str, int]:
    """Sizes in bytes; nothing of a process that has ended."""
    try:
        lines = (_PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return {}
    words = (line.split() for line in lines if line.startswith(("VmRSS:", "RssAnon:")))
    return {name.rstrip(":"): int(size) * _PAGE_KB for name, size, _ in words}
