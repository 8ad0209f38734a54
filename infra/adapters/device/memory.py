"""How much memory of the device this process may use, and how much of that is left.

One place says it, so that the plans of the backends, the making of room for a model, the limit that
torch enforces and `doctor` agree. Sizes are bytes; a GB is 10^9 bytes.
"""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from infra.adapters.device import nvml
from infra.adapters.device.choice import visible_card
from pipelines.schema.memory import DEVICE_CONTEXT, GB

_MEMORY = Path("/proc/meminfo")
_children: dict[str, int] = {}
_enforced: list[int] = []
_log = logging.getLogger("reelwright.device")


@dataclass(frozen=True)
class Account:
    """The memory of the card and our part of it, at one moment."""

    total: int
    """Of the card."""
    free: int
    """What the driver would still give, to any program."""
    limit: int
    """What all of our processes together may take: the setting, or the whole card if that is
    smaller or if the setting is 0."""
    reserved: int
    """What torch holds in this process, in use or not."""
    allocated: int
    """The part of `reserved` that tensors use."""
    outside: int
    """What our processes hold beside torch: the CUDA context, and llama.cpp in its process."""

    @property
    def available(self) -> int:
        """What can still be had: within the limit, and within what other programs leave.

        torch keeps freed memory in reserve. The driver counts it as taken, but torch can use it.
        """
        physical = self.free + self.reserved - self.allocated
        return max(0, min(physical, self.limit - self.allocated - self.outside))

    @property
    def torch_limit(self) -> int:
        """What torch may reserve in this process, so that everything stays within the limit."""
        return max(0, self.limit - self.outside)


def account(limit_gb: float) -> Account:
    """The account of the card that this process sees. `limit_gb` is REELWRIGHT_GPU_MEMORY_GB.

    The first call makes the CUDA context of this process.
    """
    import torch

    free, total = (int(value) for value in torch.cuda.mem_get_info())
    limit = min(total, int(limit_gb * GB)) if limit_gb else total
    reserved = int(torch.cuda.memory_reserved())
    allocated = int(torch.cuda.memory_allocated())
    return Account(total, free, limit, reserved, allocated, outside_bytes(reserved))


def enforce(limit_gb: float) -> None:
    """Make torch refuse what exceeds the limit, with the same error as a full card.

    It is called before each use of a model, and not once only, because torch's part shrinks by
    what llama.cpp takes in its own process.
    """
    import torch

    found = account(limit_gb)
    torch.cuda.set_per_process_memory_fraction(min(1.0, found.torch_limit / found.total))
    if found.limit not in _enforced:
        _enforced.append(found.limit)
        part, whole = found.limit / GB, found.total / GB
        _log.info("at most %.1f of the GPU's %.1f GB are used", part, whole)


def outside_bytes(reserved: int) -> int:
    """What our processes hold on the card beside the `reserved` bytes of torch in this process.

    NVML says it. Where it cannot, the sum of DEVICE_CONTEXT and of what `count_child` was told.
    """
    found = nvml.tree_bytes(visible_card(os.environ))
    if found is None:
        return DEVICE_CONTEXT + sum(_children.values())
    return max(0, found.own - reserved) + found.children


def count_child(kind: str, need: int) -> None:
    """Note that the model loaded as `kind` works in a process of its own and takes about `need`
    bytes. It counts only where NVML does not tell."""
    _children[kind] = need


def forget_child(kind: str) -> None:
    """The model loaded as `kind` is gone."""
    _children.pop(kind, None)


def give_back() -> None:
    """Return what torch keeps in reserve to the driver, so that another process can have it."""
    import torch

    torch.cuda.empty_cache()


def host_bytes() -> int:
    """The kernel's estimate of what programs can have, the page cache included: it is most of a
    host's memory after a model was read. Where there is no estimate, what nothing uses."""
    try:
        for line in _MEMORY.read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                return int(value.split()[0]) * 1024  # the file says kB and means 1024 bytes
    except (OSError, ValueError, IndexError):
        pass
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
