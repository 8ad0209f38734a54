"""The clips that everything is trained on: drawn once, kept in files, then held on the device.

A clip depends on the name of its set and its number only, so any machine makes the same set.
"""

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipelines.training.drawing import Shard, draw
from pipelines.training.layout import CELL, GROUP
from pipelines.training.loop import generator
from pipelines.training.setup import Recipe
from pipelines.training.world import (
    Clip,
    is_held_out,
    path_of,
    random_clip,
    random_scene,
    random_still,
)

FRAMES = 33
PAINTED_FRAMES = 17
SHARD = 250
"""Clips a file: what an interruption can lose."""
VALIDATION = 0.05
"""Share of the size's clips and stills on which the transformer is checked."""
HELD = 200
"""Painted clips that nothing is trained on."""
_CENTRED = 0.65
Indices = np.ndarray[Any, np.dtype[np.int64]]


@dataclass
class Latents:
    """Clips or stills as the transformer sees them."""

    values: torch.Tensor
    """N x CHANNELS x latent frames x CELLS x CELLS, fp16, not scaled."""
    captions: list[list[str]]
    """N x CAPTIONS."""
    centred: torch.Tensor
    """Which of the clips pass through the middle; the others start anywhere."""


@dataclass
class Painted:
    """Clips of PAINTED_FRAMES as frames (N x F x SIDE x SIDE x 3, 0…255) and as latents
    (N x L x CHANNELS x CELLS x CELLS)."""

    clips: list[Clip]
    frames: torch.Tensor
    latents: torch.Tensor
    trained: Indices
    """Clips of combinations that are not held out; the judge alone is trained on the others too."""

    def crops(
        self, rng: np.random.Generator, count: int, cells: int, groups: int
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Frames (N x 1 or GROUP x 3 x H x W, -1…1) and their latents (N x CHANNELS x h x w).

        First single ones, N = `count`, then those of `groups` latent frames in a row of each clip;
        cut to squares of `cells`.
        """
        picks = rng.choice(self.trained, count, replace=len(self.trained) < count)
        index = torch.from_numpy(picks).to(self.frames.device)
        free = self.latents.shape[-1] - cells
        top, left = (int(value) for value in rng.integers(0, free + 1, 2))
        begin = int(rng.integers(0, self.latents.shape[1] - groups))
        for first, last, size in ((0, 1, 1), (1 + begin, 1 + begin + groups, GROUP)):
            latents = self.latents[index, first:last].flatten(0, 1).float()
            start = 0 if size == 1 else 1 + GROUP * (first - 1)
            frames = self.frames[index, start : start + size * (last - first)]
            y, x, side = top * CELL, left * CELL, cells * CELL
            frames = frames[:, :, y : y + side, x : x + side].permute(0, 1, 4, 2, 3)
            pixels = frames.float().div_(127.5).sub_(1).unflatten(1, (last - first, size))
            yield pixels.flatten(0, 1), latents[..., top : top + cells, left : left + cells]

    def around(self, rng: np.random.Generator, count: int, cells: int, group: int) -> "Around":
        """Squares of `cells` around the thing, in single frames or in GROUP frames."""
        size = self.latents.shape[-1]
        frames, latents, corners = [], [], []
        for pick in rng.choice(self.trained, count).tolist():
            index = 0 if group == 1 else int(rng.integers(1, self.latents.shape[1]))
            first = 0 if group == 1 else 1 + GROUP * (index - 1)
            x, y, _ = path_of(self.clips[pick], first + group)[first]
            middle = np.array([y, x]) / CELL - cells / 2 + rng.uniform(-1, 1, 2)
            top, left = np.clip(np.round(middle), 0, size - cells).astype(int).tolist()
            here, side = (top * CELL, left * CELL), cells * CELL
            whole = self.frames[pick, first : first + group]
            frames.append(whole[:, here[0] : here[0] + side, here[1] : here[1] + side])
            latents.append(self.latents[pick, index].float())
            corners.append((top, left))
        pixels = torch.stack(frames).permute(0, 1, 4, 2, 3).float() / 127.5 - 1
        return Around(pixels, torch.stack(latents), corners, cells)


@dataclass
class Around:
    """Parts of frames (N x group x 3 x side x side, -1…1) and the whole latents of them."""

    frames: torch.Tensor
    latents: torch.Tensor
    corners: list[tuple[int, int]]
    cells: int

    def seen(self, rim: int) -> torch.Tensor:
        """1, and 0 within `rim` pixels of a side that is not the frame's own: N x 1 x 1 x H x W."""
        side, most = self.cells * CELL, self.latents.shape[-1] - self.cells
        result = torch.ones(len(self.corners), 1, 1, side, side, device=self.frames.device)
        for mask, (top, left) in zip(result, self.corners, strict=True):
            for start, along in ((top, mask), (left, mask.transpose(-1, -2))):
                if start > 0:
                    along[..., :rim, :] = 0
                if start < most:
                    along[..., side - rim :, :] = 0
        return result

    def cut(self, values: torch.Tensor) -> torch.Tensor:
        """The same parts of N x channels x CELLS x CELLS."""
        parts = [
            value[:, top : top + self.cells, left : left + self.cells]
            for value, (top, left) in zip(values, self.corners, strict=True)
        ]
        return torch.stack(parts).contiguous(memory_format=torch.channels_last)


def draw_everything(recipe: Recipe) -> None:
    """All files that are not there yet."""
    for name, share in (("training", 1.0), ("validation", VALIDATION)):
        for kind in ("clips", "stills"):
            clips, _ = clips_of(recipe, name, kind, share)
            _draw_missing(recipe, f"{name}.{kind}", _shards(recipe, f"{name}.{kind}", clips))
    for held in (False, True):
        _draw_missing(recipe, _name(held), _painted_shards(recipe, held))


def load_latents(recipe: Recipe, name: str, kind: str, share: float = 1.0) -> Latents:
    """`share` of the size's `clips` or `stills`, other ones for every `name`; on the device.

    Raises FileNotFoundError if they are not drawn.
    """
    clips, centred = clips_of(recipe, name, kind, share)
    values, captions = [], []
    for file in _drawn(_shards(recipe, f"{name}.{kind}", clips)):
        with np.load(file) as parts:
            values.append(torch.from_numpy(parts["latents"]).to(recipe.device).transpose(1, 2))
            captions += parts["captions"].tolist()
    return Latents(torch.cat(values), captions, torch.tensor(centred, device=recipe.device))


def load_painted(recipe: Recipe, *, held: bool = False) -> Painted:
    """Painted clips of every combination; `held` ones are for checking.

    Raises FileNotFoundError if they are not drawn.
    """
    clips = painted_clips(recipe, held)
    frames, latents = [], []
    for file in _drawn(_painted_shards(recipe, held)):
        with np.load(file) as parts:
            frames.append(torch.from_numpy(parts["frames"]).to(recipe.device))
            latents.append(torch.from_numpy(parts["latents"]).to(recipe.device))
    return Painted(clips, torch.cat(frames), torch.cat(latents), trained_on(clips))


def some_latents(recipe: Recipe) -> torch.Tensor:
    """Of up to 2,000 painted clips, on the CPU: N x L x CHANNELS x CELLS x CELLS."""
    values = []
    for file in _drawn(_painted_shards(recipe, held=False)[: 2000 // SHARD]):
        with np.load(file) as parts:
            values.append(torch.from_numpy(parts["latents"]))
    return torch.cat(values)


def _name(held: bool) -> str:
    return "painted-held" if held else "painted"


def trained_on(clips: Sequence[Clip]) -> Indices:
    """Which of the painted clips decoder and encoder may see: no held-out combination."""
    return np.array([index for index, clip in enumerate(clips) if not is_held_out(clip.scene)])


def painted_clips(recipe: Recipe, held: bool) -> list[Clip]:
    """Of every combination, also those that are held out: the classifier must know them."""
    rng = generator(f"illustrated-{_name(held)}", 0)
    count = min(HELD, recipe.size.painted) if held else recipe.size.painted
    scenes = [random_scene(rng, recipe.things, held_out=None) for _ in range(count)]
    return [random_clip(rng, scene, anywhere=bool(rng.random() < 0.5)) for scene in scenes]


def clips_of(recipe: Recipe, name: str, kind: str, share: float) -> tuple[list[Clip], list[int]]:
    """The clips of a set, and which of them pass through the middle."""
    rng = generator(f"illustrated-{name}-{kind}", 0)
    count = max(16, round(share * getattr(recipe.size, kind)))
    clips, centred = [], []
    for index in range(count):
        scene = random_scene(rng, recipe.things)
        anywhere = bool(rng.random() > _CENTRED)
        if not anywhere:
            centred.append(index)
        if kind == "stills":
            clips.append(random_still(rng, scene))
        else:
            clips.append(random_clip(rng, scene, anywhere=anywhere))
    return clips, centred


def _painted_shards(recipe: Recipe, held: bool) -> list[Shard]:
    return _shards(recipe, _name(held), painted_clips(recipe, held), pixels=True)


def _shards(recipe: Recipe, name: str, clips: list[Clip], *, pixels: bool = False) -> list[Shard]:
    moving = PAINTED_FRAMES if pixels else FRAMES
    return [
        Shard(
            recipe.folder / f"{name}.{start:06d}.npz",
            clips[start : start + SHARD],
            1 if name.endswith("stills") else moving,
            pixels,
            generator(f"illustrated-{name}-captions", start),
        )
        for start in range(0, len(clips), SHARD)
    ]


def _drawn(shards: list[Shard]) -> list[Path]:
    for shard in shards:
        if not shard.path.exists():
            raise FileNotFoundError(f"{shard.path} is not drawn; run the part `data` first")
    return [shard.path for shard in shards]


def _draw_missing(recipe: Recipe, name: str, shards: list[Shard]) -> None:
    """In several processes."""
    missing = [shard for shard in shards if not shard.path.exists()]
    if missing and recipe.processes <= 1:
        for shard in missing:
            draw(shard)
    elif missing:
        context = multiprocessing.get_context("spawn")  # a fork would copy torch's threads, locks
        with ProcessPoolExecutor(recipe.processes, mp_context=context) as pool:
            list(pool.map(draw, missing))
    if missing:
        print(f"{name}: {sum(len(shard.clips) for shard in shards)} clips drawn", flush=True)
