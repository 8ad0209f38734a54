"""Draws clips of the demo model's world into files. Without torch: many processes import this."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipelines.training.captions import training_caption
from pipelines.training.layout import lay_out
from pipelines.training.world import Clip, render

CAPTIONS = 4
"""Of each clip."""


class Shard(NamedTuple):
    """Clips of one file."""

    path: Path
    clips: Sequence[Clip]
    frames: int
    painted: bool
    """Whether the file holds the frames too, and not only the latents."""
    rng: np.random.Generator


def draw(shard: Shard) -> None:
    """Write latents (N x L x CHANNELS x CELLS x CELLS, fp16), captions (N x CAPTIONS) and perhaps
    frames (N x F x SIDE x SIDE x 3)."""
    parts: dict[str, Any] = {
        "latents": np.stack([lay_out(c, shard.frames) for c in shard.clips]).astype(np.float16),
        "captions": np.array(
            [
                [training_caption(clip.scene, shard.rng)[0] for _ in range(CAPTIONS)]
                for clip in shard.clips
            ]
        ),
    }
    if shard.painted:
        parts["frames"] = np.stack([render(clip, shard.frames) for clip in shard.clips])
    part = shard.path.with_suffix(".part.npz")
    np.savez(part, **parts)
    part.replace(shard.path)
