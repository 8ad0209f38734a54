"""Wan 2.1 VACE: video in which some frames are known and the others are asked for.

Chunks that continue need it where the text-to-video model has no first-frame conditioning
(Wan2.1-T2V-1.3B). With nothing known it makes fresh chunks too, so that a video whose chunks
continue is made by one model throughout.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from pipelines.generation.wan import WanModel, load_options
from pipelines.media.codec import Frame
from pipelines.schema.plan import ChunkSpec

_UNKNOWN = (128, 128, 128)
"""Grey, 0 in the VAE's range: what VACE was trained to see in place of frames to be made."""
_KEEP, _MAKE = 0, 255


class VaceModel(WanModel):
    """Transformer, VAE and scheduler of a WanVACEPipeline."""

    def _load(self, folder: Path, dtype: torch.dtype) -> Any:
        from diffusers import WanVACEPipeline

        return WanVACEPipeline.from_pretrained(folder, **load_options(dtype))

    def _conditioned(self, spec: ChunkSpec, tail: Sequence[Frame]) -> tuple[Any, dict[str, Any]]:
        video, mask = known_video(spec, tail)
        return self._pipeline, {"video": video, "mask": mask}


def known_video(
    spec: ChunkSpec, tail: Sequence[Frame]
) -> tuple[list[Image.Image], list[Image.Image]]:
    """`spec.frames` pictures that begin with `tail`, and the masks: black is kept."""
    unknown = spec.frames - len(tail)
    size = (spec.size.width, spec.size.height)
    video = [Image.fromarray(frame) for frame in tail]
    video += [Image.new("RGB", size, _UNKNOWN)] * unknown
    mask = [Image.new("L", size, _KEEP)] * len(tail)
    mask += [Image.new("L", size, _MAKE)] * unknown
    return video, mask
