"""Clips of the illustrated world: painted by several processes, encoded once, kept in files.

A clip depends on the name of its set and its number only, so any machine makes the same set.
"""

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from pipelines.training.codec import encode_clip, to_tensor
from pipelines.training.illustrated.setup import Recipe
from pipelines.training.illustrated.world import (
    Clip,
    Pixels,
    Scene,
    random_clip,
    random_scene,
    random_still,
    render,
)
from pipelines.training.loop import generator

FRAMES = 33
SHARD = 500
"""Clips a file: what an interruption can lose."""
_CENTRED = 0.65


@dataclass
class Encoded:
    """Scaled latents in fp16 (N x channels x frames x h x w) and what they show."""

    values: torch.Tensor
    scenes: list[Scene]


@dataclass
class Latents:
    """Everything the transformer is trained on."""

    clips: Encoded
    centred: np.ndarray[Any, np.dtype[np.int64]]
    """Which of the clips pass through the middle; the others start anywhere."""
    stills: Encoded


def paint(clips: Sequence[Clip], frames: int, processes: int) -> Iterator[Pixels]:
    """Render the clips in order, in so many processes."""
    if processes <= 1:
        yield from (render(clip, frames) for clip in clips)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy torch's threads and locks
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        yield from pool.map(partial(render, frames=frames), clips, chunksize=8)


def encode_dataset(recipe: Recipe, vae: Any, name: str, share: float = 1.0) -> Latents:
    """`share` of the size's clips and stills, other ones for every `name`; from its files if
    they are there."""
    rng = generator(f"illustrated-{name}", 0)
    clips, centred, stills = [], [], []
    for index in range(round(share * recipe.size.clips)):
        anywhere = rng.random() > _CENTRED
        if not anywhere:
            centred.append(index)
        clips.append(random_clip(rng, random_scene(rng, recipe.things), anywhere=anywhere))
    for _ in range(round(share * recipe.size.stills)):
        stills.append(random_still(rng, random_scene(rng, recipe.things)))
    return Latents(
        clips=_encoded(recipe, vae, f"{name}.clips", clips, FRAMES),
        centred=np.array(centred),
        stills=_encoded(recipe, vae, f"{name}.stills", stills, 1),
    )


def _encoded(recipe: Recipe, vae: Any, name: str, clips: list[Clip], frames: int) -> Encoded:
    values = []
    for start in range(0, len(clips), SHARD):
        path = recipe.folder / f"{name}.{start:06d}.pt"
        if not path.exists():
            part = path.with_suffix(".part")
            torch.save(_encode(recipe, vae, clips[start : start + SHARD], frames), part)
            part.replace(path)
            print(f"{name}: {min(start + SHARD, len(clips))} of {len(clips)}", flush=True)
        values.append(torch.load(path, weights_only=True))
    return Encoded(torch.cat(values), [clip.scene for clip in clips])


@torch.no_grad()
def _encode(recipe: Recipe, vae: Any, clips: list[Clip], frames: int) -> torch.Tensor:
    mean = torch.tensor(vae.config.latents_mean).view(-1, 1, 1, 1)
    deviation = torch.tensor(vae.config.latents_std).view(-1, 1, 1, 1)
    result = []
    for pixels in paint(clips, frames, recipe.processes):
        latents = encode_clip(vae, to_tensor(pixels).to(recipe.device)).cpu()
        result.append(((latents - mean) / deviation).half())
    return torch.stack(result)
