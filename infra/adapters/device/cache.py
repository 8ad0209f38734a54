"""Models that stay loaded between tasks and runs: at most one of each kind.

The module's state lives as long as its process, which is how a warm process keeps its models.
"""

import logging
from collections.abc import Callable
from typing import TypeVar

from infra.adapters.device import memory, peak
from pipelines.backends.base import Closable

Model = TypeVar("Model", bound=Closable)
_log = logging.getLogger("reelwright.models")
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
        peak.note()
        _resident.pop(kind)[1].close()
        memory.forget_child(kind)
        peak.note()


def release_all(but: str = "") -> None:
    """Free all models but those of one kind."""
    for kind in [kind for kind in _resident if kind != but]:
        release(kind)
