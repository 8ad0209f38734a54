"""A GPU that is not there: what torch.cuda and NVML say of a card, from one set of numbers."""

import os
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
import torch

from infra.adapters.device import memory, nvml

RTX_5090 = 34_190_000_000
"""Bytes of a card of 32 GiB, as the driver says them."""
RTX_4090 = 25_390_000_000
"""Of a card of 24 GiB, the same."""


@dataclass
class FakeCard:
    """Bytes on the card. What torch reserves stays reserved until its cache is emptied."""

    total: int = RTX_5090
    others: int = 0
    """Of programs that are not ours."""
    context: int = 400_000_000
    """Of our process beside torch."""
    children: dict[int, int] = field(default_factory=dict)
    """By pid."""
    reserved: int = 0
    allocated: int = 0
    peak: int = 0
    share: float = 1.0
    shares: list[float] = field(default_factory=list)
    """Every fraction that was set."""
    emptied: int = 0

    def mem_get_info(self) -> tuple[int, int]:
        taken = self.others + self.context + self.reserved + sum(self.children.values())
        return self.total - taken, self.total

    def set_per_process_memory_fraction(self, fraction: float) -> None:
        assert isinstance(fraction, float)
        assert 0 <= fraction <= 1
        self.share = fraction
        self.shares.append(fraction)

    def empty_cache(self) -> None:
        self.reserved = self.allocated
        self.emptied += 1

    def reset_peak_memory_stats(self) -> None:
        self.peak = self.reserved

    def allocate(self, size: int) -> None:
        """Raises torch's error where torch's allocator would."""
        more = max(0, self.allocated + size - self.reserved)
        if self.reserved + more > self.share * self.total or more > self.mem_get_info()[0]:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.reserved += more
        self.allocated += size
        self.peak = max(self.peak, self.reserved)

    def free(self, size: int) -> None:
        self.allocated -= size


def install(monkeypatch: pytest.MonkeyPatch, card: FakeCard) -> FakeCard:
    """Let torch.cuda speak of `card`. NVML is not there."""
    answers = {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "mem_get_info": card.mem_get_info,
        "memory_reserved": lambda: card.reserved,
        "memory_allocated": lambda: card.allocated,
        "max_memory_reserved": lambda: card.peak,
        "reset_peak_memory_stats": card.reset_peak_memory_stats,
        "set_per_process_memory_fraction": card.set_per_process_memory_fraction,
        "empty_cache": card.empty_cache,
        "get_device_name": lambda _: "NVIDIA GeForce RTX 5090",
    }
    for name, answer in answers.items():
        monkeypatch.setattr(torch.cuda, name, answer)
    monkeypatch.setattr(nvml, "_library", lambda: None)
    monkeypatch.setattr(memory, "_children", {})
    return card


def install_nvml(
    monkeypatch: pytest.MonkeyPatch,
    card: FakeCard,
    *,
    minors: tuple[int, ...] = (0,),
    visible_pids: bool = True,
    split: tuple[int, ...] = (),
) -> None:
    """A module with the names of pynvml (package nvidia-ml-py 13) for a machine with a card for
    each of `minors`. `card` is the one of index 0. Without `visible_pids` the pids are those of
    another process namespace. The cards `split` are in MIG mode; the others have no such mode, as a
    GeForce."""

    class NVMLError(Exception):
        pass

    def by_index(index: int) -> int:
        if index >= len(minors):
            raise NVMLError("Invalid Argument")
        return index

    def by_uuid(uuid: str) -> int:
        return by_index(int(uuid.removeprefix("GPU-")))

    def processes(_: int) -> list[SimpleNamespace]:
        used = {os.getpid(): card.context + card.reserved, **card.children, 1: card.others}
        shift = 0 if visible_pids else 4_194_304
        return [SimpleNamespace(pid=pid + shift, usedGpuMemory=n) for pid, n in used.items()]

    def mig_mode(handle: int) -> list[int]:
        if handle not in split:
            raise NVMLError("Not Supported")
        return [1, 1]  # now, and after a reset

    module = types.ModuleType("pynvml")
    for name, value in {
        "NVMLError": NVMLError,
        "nvmlInit": lambda: None,
        "nvmlDeviceGetCount": lambda: len(minors),
        "nvmlDeviceGetHandleByIndex": by_index,
        "nvmlDeviceGetHandleByUUID": by_uuid,
        "nvmlDeviceGetName": lambda handle: f"Card {handle}",
        "nvmlDeviceGetMinorNumber": lambda handle: minors[handle],
        "nvmlDeviceGetComputeRunningProcesses": processes,
        "nvmlDeviceGetMigMode": mig_mode,
        "NVML_DEVICE_MIG_ENABLE": 1,
    }.items():
        setattr(module, name, value)
    monkeypatch.setitem(sys.modules, "pynvml", module)
    monkeypatch.setattr(nvml, "_library", nvml.load)


@contextmanager
def environment(**changes: str) -> Iterator[None]:
    """The environment with `changes` and without what names a GPU; as before afterwards, whatever
    the block changed."""
    before = dict(os.environ)
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "REELWRIGHT_GPU"):
        os.environ.pop(name, None)
    os.environ.update(changes)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
