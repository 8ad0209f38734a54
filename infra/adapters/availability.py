"""Whether a backend can be used now: its models and its device, or the service behind it."""

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from infra.adapters.device import nvml
from infra.adapters.settings import Settings
from infra.adapters.weights.catalog import MODELS
from infra.adapters.weights.library import OWN_LORAS, state_of
from pipelines.schema.availability import Availability

FRESH = 15.0
"""Seconds for which the answer of a remote service holds."""
_DRIVER = Path("/proc/driver/nvidia/version")
READY = Availability(available=True)


def on_device(settings: Settings, models: Iterable[str]) -> Availability:
    """Whether the device is there and these `models` are installed, by names and sizes alone."""
    if settings.compute.device == "cuda" and not _has_card():
        return _no("REELWRIGHT_DEVICE=cuda, but no GPU answers; see nvidia-smi")
    absent = [name for name in dict.fromkeys(models) if not _is_installed(settings, name)]
    if not absent:
        return READY
    verb = "are" if len(absent) > 1 else "is"
    names = " ".join(absent)
    return _no(f"{', '.join(absent)} {verb} not installed: reelwright models download {names}")


class RemoteLooks:
    """Answers of remote services, each kept for FRESH seconds. Threads may share it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[str, tuple[float, Availability]] = {}
        self._lock = threading.Lock()

    def of(self, name: str, ask: Callable[[], Availability]) -> Availability:
        """The answer of the service `name`; `ask` is called if the last one is too old."""
        with self._lock:
            known = self._known.get(name)
        if known and self._clock() - known[0] < FRESH:
            return known[1]
        found = ask()
        with self._lock:
            self._known[name] = (self._clock(), found)
        return found


def _is_installed(settings: Settings, name: str) -> bool:
    if (settings.paths.models / OWN_LORAS / f"{name}.safetensors").is_file():
        return True
    return name in MODELS and state_of(settings.paths.models, MODELS[name]).kind == "installed"


def _has_card() -> bool:
    """NVML is optional: without it, the run itself finds out."""
    if nvml.load() is None:
        return _DRIVER.exists()
    return bool(nvml.count())


def _no(reason: str) -> Availability:
    return Availability(available=False, reason=reason)
