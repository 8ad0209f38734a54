"""The card, its driver, torch's build for it, and its memory: before any model is loaded."""

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from infra.adapters.device import nvml
from infra.adapters.device.choice import visible_card
from infra.adapters.device.host import DeviceHost
from infra.apps.doctor import Finding
from infra.apps.worker.warm import WARM_PROGRAM
from pipelines.backends.driver import driver_version
from pipelines.errors import ReelwrightError, SettingsError
from pipelines.schema.memory import GB

_NO_GPU = (
    "{reason}. If the machine has a GPU, repair that (torch {torch} is built for {built}). A CPU "
    "is enough for the demo set"
)
_SIDES = {"cuda": 8192, "cpu": 128}
"""Of the square matrices whose product is checked and timed."""
_PRODUCTS = 10
_PROCESSES = Path("/proc")
_OFF = 0.02
"""Largest error that is rounding: bfloat16 has 8 bits, about 0.4 % a number."""


def examine_card(host: DeviceHost) -> Iterator[Finding]:
    """A line for each of them. After one that is not good, the next ones would say nothing."""
    works: tuple[tuple[str, Callable[[DeviceHost], str]], ...] = (
        ("gpu", _card),
        ("torch", _torch),
        ("bfloat16", _bfloat16),
        ("memory", _memory),
    )
    for name, work in works:
        finding = _found(name, partial(work, host))
        yield finding
        if not finding.good:
            return


def _found(name: str, work: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, work())
    except (ReelwrightError, RuntimeError) as error:  # CUDA's own errors are RuntimeErrors
        return Finding(name, False, str(error))


def _card(host: DeviceHost) -> str:
    """Raises SettingsError if there is none."""
    import torch

    if host.settings.compute.device == "cpu":
        raise SettingsError("REELWRIGHT_DEVICE=cpu leaves the GPU unused; set it to auto or cuda")
    if host.device != "cuda":
        built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPUs only"
        raise SettingsError(
            _NO_GPU.format(reason=host.chosen.reason, torch=torch.__version__, built=built)
        )
    card = torch.cuda.get_device_properties(0)
    return (
        f"{card.name}, {card.total_memory / GB:.1f} GB, compute capability "
        f"{card.major}.{card.minor}, driver {driver_version()}"
    )


def _torch(_: DeviceHost) -> str:
    """Raises SettingsError if its kernels do not run on the card."""
    import torch

    capability, built_for = torch.cuda.get_device_capability(0), torch.cuda.get_arch_list()
    if not runs_on(capability, built_for):
        raise SettingsError(
            f"torch {torch.__version__} is built for {', '.join(built_for)}, and this card is "
            f"sm_{capability[0]}{capability[1]}; install a torch that is built for it"
        )
    return f"{torch.__version__} for CUDA {torch.version.cuda}, built for this card"


def runs_on(capability: tuple[int, int], built_for: Iterable[str]) -> bool:
    """Whether code for one of `built_for` runs on a card of `capability`.

    Machine code (`sm_90`) runs on cards of the same major number and no lower minor one; the
    intermediate code of `compute_90` is translated for any later card.
    """
    for name in built_for:
        found = re.fullmatch(r"(sm|compute)_(\d+)(\d)[af]?", name)
        if found is None:
            continue
        version = (int(found[2]), int(found[3]))
        if found[1] == "compute" and version <= capability:
            return True
        if version[0] == capability[0] and version[1] <= capability[1]:
            return True
    return False


def _bfloat16(host: DeviceHost) -> str:
    """Raises SettingsError if a product in bfloat16 is wrong."""
    import torch

    side = _SIDES[host.device]
    first, second = (torch.randn(side, side, device=host.device) for _ in range(2))
    exact = first @ second
    narrow, other = first.bfloat16(), second.bfloat16()
    off = float(((narrow @ other).float() - exact).norm() / exact.norm())
    if not off < _OFF:  # NaN too
        raise SettingsError(
            f"a product in bfloat16 is off by {off:.1%}, more than rounding explains "
            f"({_OFF:.0%}); test the card's memory and update its driver"
        )
    start = time.perf_counter()
    for _ in range(_PRODUCTS):
        made = narrow @ other
    float(made[0, 0])  # waits until it is there
    rate = _PRODUCTS * 2 * side**3 / (time.perf_counter() - start)
    return f"works, {rate / 1e12:,.1f} teraflops with matrices of {side}"


def _memory(host: DeviceHost) -> str:
    """What there is; other programs' share is not ours, and that of a warm process can be had."""
    import torch

    may = f"{host.free_bytes() / GB:.1f} GB can be used by Reelwright now"
    if host.device != "cuda":
        return may
    free, total = torch.cuda.mem_get_info()
    found = f"{free / GB:.1f} of {total / GB:.1f} GB free, {may}"
    return "; ".join([found, *_held_by_workers(nvml.process_bytes(visible_card(os.environ)) or {})])


def _held_by_workers(used: Mapping[int, int]) -> Iterator[str]:
    """A sentence for each warm process among those that use the card, with their bytes by pid."""
    for pid, size in used.items():
        try:
            arguments = (_PROCESSES / str(pid) / "cmdline").read_bytes().decode().split("\0")
        except (OSError, UnicodeDecodeError):
            continue  # it has ended, or belongs to another process namespace
        if WARM_PROGRAM in arguments:
            yield (
                f"a warm process of a worker (pid {pid}) holds {size / GB:.1f} GB, until there was "
                "no run for REELWRIGHT_WORKER_IDLE_SECONDS or the worker is stopped"
            )
