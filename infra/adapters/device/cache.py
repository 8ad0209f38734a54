"""Models that stay loaded between tasks and runs: at most one of each kind.

The module's state lives as long as its process, which is how a warm process keeps its models.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pipelines.backends.base import Closable

Model = TypeVar("Model", bound=Closable)
_log = logging.getLogger("reelwright.models")
_MEMORY = Path("/proc/meminfo")
_resident: dict[str, tuple[tuple[str, ...], Closable]] = {}


def resident(kind: str, key: tuple[str, ...], load: Callable[[], Model]) -> Model:
    """What is loaded as `kind` with that `key`; else what `load` gives, in place of it."""
    found = _resident.get(kind)
    if found and found[0] == key:
        return found[1]  # type: ignore[return-value]  # the key names the type as well
    release(kind)
    _log.info("loading the %s model", kind)
    model = load()
    _resident[kind] = (key, model)
    return model


def is_resident(kind: str, key: tuple[str, ...]) -> bool:
    """Whether exactly that is loaded."""
    return kind in _resident and _resident[kind][0] == key


def release(kind: str) -> None:
    """Free what is loaded as `kind`, if anything is."""
    if kind in _resident:
        _resident.pop(kind)[1].close()


def release_all(but: str = "") -> None:
    """Free all models but those of one kind."""
    for kind in [kind for kind in _resident if kind != but]:
        release(kind)


def free_bytes(device: str) -> int:
    """Bytes that can be had on `device` now.

    torch keeps freed memory in reserve, which the driver counts as taken; it can be had too. So
    can the page cache of a host, which is most of its memory after a model was read.
    """
    if device == "cuda":
        import torch

        reserved = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        return int(torch.cuda.mem_get_info()[0]) + reserved
    return _available()


def _available() -> int:
    """The kernel's estimate of what programs can have; where there is none, what nothing uses."""
    try:
        for line in _MEMORY.read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                return int(value.split()[0]) * 1024  # the file says kB and means 1024 bytes
    except (OSError, ValueError, IndexError):
        pass
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
