"""The choice of preset and model, with its reasons in words."""

from collections.abc import Collection
from typing import Literal

from pydantic import BaseModel, ConfigDict

from pipelines.schema.presets import PRESETS

Modality = Literal["image", "video"]
Quality = Literal["fast", "high"]


class Route(BaseModel):
    """What a request would be made with."""

    model_config = ConfigDict(frozen=True)

    preset: str
    model: str
    model_set: str
    seconds: float
    """Length of the video, 0 for a picture."""
    stands_in_for: str = ""
    """The model that would be taken if it were installed."""
    reasons: tuple[str, ...]


_STUDIO_MODEL, _DEMO_MODEL = "Wan2.1-T2V-1.3B", "Reelwright Tiny Wan"
_USUAL_SECONDS = 4.0


def choose(
    query: str,
    modality: Modality,
    installed: Collection[str],
    *,
    quality: Quality = "fast",
    max_seconds: float | None = None,
) -> Route | None:
    """The route of `query` with the `installed` model sets; None if there is none."""
    reasons = [f"{modality} was asked for", f"quality '{quality}' was preferred"]
    wanted = PRESETS[f"{modality}_{quality}"]
    seconds = 0.0 if modality == "image" else min(_USUAL_SECONDS, max_seconds or _USUAL_SECONDS)
    if modality == "video":
        limit = f", at most {max_seconds:g} s" if max_seconds else ""
        reasons.append(f"{seconds:g} s is the usual length{limit}")
    reasons.append(f"the brief has {len(query.split())} words; its words do not decide the route")
    if wanted.model_set in installed:
        reasons.append(f"the {wanted.model_set} models are installed")
        return Route(
            preset=wanted.name,
            model=_STUDIO_MODEL,
            model_set=wanted.model_set,
            seconds=seconds,
            reasons=tuple(reasons),
        )
    if "demo" not in installed:
        return None
    reasons.append(
        f"the {wanted.model_set} models are not installed: the demo set stands in, at its own size"
    )
    return Route(
        preset="demo",
        model=_DEMO_MODEL,
        model_set="demo",
        seconds=seconds,
        stands_in_for=_STUDIO_MODEL,
        reasons=tuple(reasons),
    )
