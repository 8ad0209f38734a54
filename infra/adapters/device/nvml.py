"""What NVIDIA's management library (NVML) tells of the cards and of the memory of each process.

It is optional. Without the package nvidia-ml-py, without a driver, and where the operating system
keeps the figures of processes back (WSL, some containers), the functions return None.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

MIG = "MIG-"
"""What the name of a MIG device begins with, a part of a card that looks like a card to CUDA
(`nvidia-smi -L` lists them)."""
_PROCESSES = Path("/proc")


@dataclass(frozen=True)
class Card:
    """A GPU of this machine."""

    name: str
    minor: int
    """N of its device file /dev/nvidiaN, which may differ from its index."""


@dataclass(frozen=True)
class CardMemory:
    """Bytes of a card."""

    total: int
    free: int


@dataclass(frozen=True)
class TreeBytes:
    """Bytes on a card."""

    own: int
    """Of this process: what torch holds, the CUDA context, workspaces of libraries."""
    children: int
    """Of its children and theirs."""


def count() -> int | None:
    """Number of GPUs of this machine."""
    library = _library()
    if library is None:
        return None
    try:
        return int(library.nvmlDeviceGetCount())
    except library.NVMLError:
        return None


def card(entry: str) -> Card | None:
    """The card that an entry of CUDA_VISIBLE_DEVICES names: an index in the order of the PCI bus,
    or a UUID. None for a MIG device, which has no device file of its own."""
    if entry.startswith(MIG):
        return None
    library = _library()
    if library is None:
        return None
    try:
        handle = _handle(library, entry)
        name = library.nvmlDeviceGetName(handle)  # bytes in older versions of the package
        minor = int(library.nvmlDeviceGetMinorNumber(handle))
    except library.NVMLError:
        return None
    return Card(name.decode() if isinstance(name, bytes) else str(name), minor)


def is_split(entry: str) -> bool:
    """Whether the card that `entry` names is in MIG mode; False if that is not known, as for a card
    that has no such mode."""
    library = _library()
    if library is None:
        return False
    try:
        mode, _ = library.nvmlDeviceGetMigMode(_handle(library, entry))
    except library.NVMLError:
        return False
    return bool(mode == library.NVML_DEVICE_MIG_ENABLE)


def memory(entry: str) -> CardMemory | None:
    """The memory of the card that an entry of CUDA_VISIBLE_DEVICES names."""
    library = _library()
    if library is None:
        return None
    try:
        found = library.nvmlDeviceGetMemoryInfo(_handle(library, entry))
    except library.NVMLError:
        return None
    return CardMemory(int(found.total), int(found.free))


def tree_bytes(entry: str) -> TreeBytes | None:
    """What this process and its descendants hold on the card that `entry` names.

    None too if NVML does not list this process, as in a container with process ids of its own:
    then it does not list its children either. So call it only after CUDA was initialised here.
    """
    used = process_bytes(entry)
    own = used.get(os.getpid()) if used else None
    if used is None or own is None:
        return None
    return TreeBytes(own, sum(used.get(pid, 0) for pid in _descendants(os.getpid())))


def process_bytes(entry: str) -> dict[int, int] | None:
    """Bytes of each process with a CUDA context on the card that `entry` names; None if one of them
    is unknown."""
    library = _library()
    if library is None:
        return None
    try:
        infos = library.nvmlDeviceGetComputeRunningProcesses(_handle(library, entry))
    except library.NVMLError:
        return None
    used: dict[int, int] = {}
    for info in infos:
        if info.usedGpuMemory is None:  # NVML_VALUE_NOT_AVAILABLE, as under WSL
            return None
        used[info.pid] = used.get(info.pid, 0) + int(info.usedGpuMemory)
    return used


def _handle(library: Any, entry: str) -> Any:
    if entry.isdigit():
        return library.nvmlDeviceGetHandleByIndex(int(entry))
    return library.nvmlDeviceGetHandleByUUID(entry)


def load() -> Any:
    """The module pynvml, initialised; None if it is not installed or finds no driver."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


_library = cache(load)
"""NVML is initialised once for a process."""


def _descendants(pid: int) -> Iterator[int]:
    """The pids of the children of all threads of `pid`, of their children, and so on."""
    for task in (_PROCESSES / str(pid) / "task").glob("*/children"):
        try:
            children = task.read_text(encoding="ascii").split()
        except OSError:
            continue  # the thread has ended
        for child in map(int, children):
            yield child
            yield from _descendants(child)
