"""Peak memory of each stage beside what was planned for it.

A stage begins when the product asks its host for a model, which also says how much it needs, and
ends when it asks for another one. What its plan counts is counted here too: private memory, and
files of models that are mapped. Where the file has the numbers' width already, a network on a CPU
works on the mapped file and has no copy of it. Such a file counts whole, since the plan counts
whole models; how much of all that was in memory (`resident`) stands beside it. The two differ
where a CPU reads only a few rows of an embedding table, of which a GPU gets every row.

The memory is that of this process and its children (the language model runs in one), without the
servers that ran before: read every 50 ms.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.adapters.device.host import DeviceHost

TOLERANCE = 0.1
"""Share by which a stage's peak may differ from its plan."""
_EVERY = 0.05
_PROC = Path("/proc")
_STATUS_UNIT = 1024
"""Bytes of a `kB` in /proc."""


@dataclass(frozen=True)
class Held:
    """Bytes of this process and its children at one moment."""

    private: int = 0
    """Memory that is no file's."""
    mapped: int = 0
    """Files of models that are mapped, each once and whole."""
    resident: int = 0
    """All that is in memory: `private`, and the pages of mapped files that were read."""

    @property
    def counted(self) -> int:
        """What a plan counts."""
        return self.private + self.mapped


@dataclass
class StagePeak:
    """One stage."""

    kind: str
    """What was loaded: `enhancer`, `encoder`, `video` or `upscaler`."""
    planned: int
    """Bytes that the product said it needs."""
    before: Held = field(default_factory=Held)
    """What was held when its model began to load, after others had to go."""
    peak: int = 0
    """Most bytes that were held at once, as plans count."""
    peak_resident: int = 0
    """Most bytes that were in memory at once."""
    is_loaded: bool = False

    @property
    def measured(self) -> int:
        """Bytes that the stage added, as plans count."""
        return max(0, self.peak - self.before.counted)

    @property
    def resident(self) -> int:
        """Bytes that the stage added to what is in memory."""
        return max(0, self.peak_resident - self.before.resident)

    @property
    def ratio(self) -> float:
        """Measured by planned. Raises ZeroDivisionError for a stage that plans nothing."""
        return self.measured / self.planned

    @property
    def is_as_planned(self) -> bool:
        """Whether peak and plan differ by TOLERANCE at most."""
        return self.planned > 0 and abs(self.measured - self.planned) <= TOLERANCE * self.planned

    def take(self, held: Held) -> None:
        """Count what is held now."""
        self.peak = max(self.peak, held.counted)
        self.peak_resident = max(self.peak_resident, held.resident)


@dataclass
class StagePeaks:
    """The stages of a run, in order. `models` is the folder of the models' files."""

    models: Path
    stages: list[StagePeak] = field(default_factory=list)
    _others: frozenset[int] = frozenset()
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, kind: str, planned: int) -> None:
        """The product asks for a model."""
        with self._lock:
            if self.stages and self.stages[-1].kind == kind:
                self.stages[-1].planned = max(self.stages[-1].planned, planned)
                return
            if not self.stages:  # models come and go; what came before them stays
                self._others = frozenset(_descendants(_own_pid()))
            self.stages.append(StagePeak(kind, planned, self._held()))

    def load(self) -> None:
        """Its model is not there, and begins to load; others have gone where room was short."""
        with self._lock:
            stage = self.stages[-1]
            if not stage.is_loaded:
                stage.before, stage.peak, stage.peak_resident = self._held(), 0, 0
                stage.is_loaded = True

    def look(self) -> None:
        """Take in what is held now."""
        with self._lock:
            if self.stages:
                self.stages[-1].take(self._held())

    def _held(self) -> Held:
        private, resident = 0, 0
        mapped: dict[str, int] = {}
        for pid in [_own_pid(), *(_descendants(_own_pid()) - self._others)]:
            found = _status(pid)
            private += found.get("RssAnon", 0)
            resident += found.get("VmRSS", 0)
            for path, size in _mapped(pid, self.models):
                mapped[path] = max(size, mapped.get(path, 0))
        return Held(private, sum(mapped.values()), resident)


@contextmanager
def stage_peaks(models: Path) -> Iterator[StagePeaks]:
    """Measure what is made inside, in this process, with the models in the folder `models`."""
    peaks, over = StagePeaks(models.resolve()), threading.Event()
    original = DeviceHost.resident

    def resident(
        host: DeviceHost, kind: str, key: tuple[str, ...], load: Callable[[], Any], need: int
    ) -> Any:
        def loading() -> Any:
            peaks.load()
            return load()

        peaks.begin(kind, need)
        return original(host, kind, key, loading, need)

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
    return {name.rstrip(":"): int(size) * _STATUS_UNIT for name, size, _ in words}


def _mapped(pid: int, folder: Path) -> Iterator[tuple[str, int]]:
    """Files below `folder` that the process has mapped, each with the bytes up to the end of a
    mapping; nothing of a process that has ended.

    A line of the kernel's list is `begin-end permissions offset device inode path`.
    """
    try:
        lines = (_PROC / str(pid) / "maps").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5].startswith(f"{folder}/"):
            begin, end = (int(word, 16) for word in fields[0].split("-"))
            yield fields[5], int(fields[2], 16) + end - begin
