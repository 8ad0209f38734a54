"""Chooses preset and backend for a request, and says why."""

from collections.abc import Collection
from typing import Literal

from pipelines.backends.base import BackendDefinition
from pipelines.backends.registry import definition_of, presets, stand_in
from pipelines.backends.wan.service_tasks import WAN_TASKS
from pipelines.schema.frozen import Frozen
from pipelines.schema.presets import Preset

Modality = Literal["image", "video"]
Quality = Literal["fast", "high"]
_USUAL_SECONDS = 4.0
_WAN_NAMES = {task.backend: task.model for task in WAN_TASKS.values() if task.backend}
"""Names of models that clients of the Wan service know."""


class Route(Frozen):
    """What a request would be made with."""

    preset: str
    model: str
    model_set: str
    seconds: float
    """Length of the video, 0 for a picture."""
    stands_in_for: str = ""
    """The model that would be used if it were installed."""
    reasons: tuple[str, ...]


def choose(
    query: str,
    modality: Modality,
    installed: Collection[str],
    *,
    quality: Quality = "fast",
    max_seconds: float | None = None,
) -> Route | None:
    """The route of `query` with the `installed` backends, given by name; None if none of them
    suits."""
    reasons = [f"{modality} was asked for", f"quality '{quality}' was preferred"]
    wanted = presets()[f"{modality}_{quality}"]
    seconds = 0.0 if modality == "image" else min(_USUAL_SECONDS, max_seconds or _USUAL_SECONDS)
    if modality == "video":
        limit = f", at most {max_seconds:g} s" if max_seconds else ""
        reasons.append(f"{seconds:g} s is the usual length{limit}")
    reasons.append(f"the brief has {len(query.split())} words; its words do not decide the route")
    backend, other = definition_of(wanted), stand_in()
    if backend.name in installed:
        reasons.append(f"{backend.title} is installed")
        return _route(wanted, backend, seconds, reasons)
    if other.name not in installed:
        return None
    reasons.append(f"{backend.title} is not installed: {other.title} stands in, at its own size")
    route = _route(other.presets[0], other, seconds, reasons)
    return route.model_copy(update={"stands_in_for": _name_of(backend)})


def _route(preset: Preset, backend: BackendDefinition, seconds: float, reasons: list[str]) -> Route:
    return Route(
        preset=preset.name,
        model=_name_of(backend),
        model_set=backend.model_set,
        seconds=seconds,
        reasons=tuple(reasons),
    )


def _name_of(backend: BackendDefinition) -> str:
    return _WAN_NAMES.get(backend.name, backend.title)
