"""`python -m pipelines.training.scorecard CHECKPOINT`: what the demo model can do, measured.

Fresh prompts, half of them in wording that training never saw, go through the product's own
loading, encoding and rendering. The same videos scored against another prompt are the
control; true clips sent through the VAE alone are the ceiling.
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipelines.generation.continuing import go_on
from pipelines.generation.embeddings import EmbeddingCache, encode_missing
from pipelines.generation.wan import WanModel
from pipelines.media.codec import Frame
from pipelines.planning.plan import negative_of
from pipelines.quality.seams import MAX_SEAM, seam_between
from pipelines.schema.brief import Brief
from pipelines.schema.plan import ChunkSpec, digest_of
from pipelines.schema.presets import PRESETS
from pipelines.training.captions import fresh_caption
from pipelines.training.loop import generator
from pipelines.training.sight import see
from pipelines.training.world import SPEED, Clip, Scene, random_scene, random_track, render

PROMPTS = 100
CONTINUED = 16
CHUNKS = 4
_CPU = torch.device("cpu")
Shares = dict[str, float]


@dataclass(frozen=True)
class Prompt:
    """A fresh prompt and what a video of it must show."""

    text: str
    scene: Scene
    held_out: bool


class Studio:
    """The checkpoint through the product's own code."""

    def __init__(self, folder: Path, texts: Sequence[str], scratch: Path) -> None:
        self._negative = negative_of(Brief(prompt="x"))
        revision = digest_of(str(folder))
        self._cache = EmbeddingCache(scratch, revision, torch.float32)
        encode_missing([*texts, self._negative], folder, self._cache, _CPU, torch.float32)
        self._model = WanModel(folder, _CPU, torch.float32)
        self._revision = revision

    def make(self, text: str, frames: int, seed: int, tail: Sequence[Frame] = ()) -> list[Frame]:
        """The frames of one chunk as the demo preset makes them."""
        preset = PRESETS["demo"]
        spec = ChunkSpec(
            revision=self._revision,
            dtype="float32",
            prompt=text,
            negative=self._negative,
            size=preset.size,
            frames=frames,
            steps=preset.steps,
            guidance=preset.guidance,
            flow_shift=preset.flow_shift,
            seed=seed,
        )
        positive, negative = self._cache.get(text), self._cache.get(self._negative)
        assert positive is not None
        assert negative is not None
        return list(self._model.render(spec, positive, negative, lambda *_: None, tail).frames)

    def through_vae(self, frames: Sequence[Frame]) -> list[Frame]:
        """True frames encoded and decoded: the best that any transformer could reach."""
        return self._model.through_vae(frames)


def score_prompts(studio: Studio, prompts: Sequence[Prompt], frames: int) -> dict[str, Shares]:
    """Shares of right answers, by group of prompts, with control."""
    seen = [see(np.stack(studio.make(p.text, frames, i))).scene for i, p in enumerate(prompts)]
    truth = [prompt.scene for prompt in prompts]
    held = [prompt.held_out for prompt in prompts]
    return {
        "all": _shares(seen, truth),
        "held-out wording": _shares(*_only(seen, truth, held)),
        "control: another prompt": _shares(seen, [*truth[1:], truth[0]]),
    }


def score_ceiling(studio: Studio, prompts: Sequence[Prompt], frames: int) -> Shares:
    """True clips of the same scenes, through the VAE alone."""
    rng = generator("ceiling", frames)
    seen = []
    for prompt in prompts:
        track = random_track(rng, prompt.scene.direction, anywhere=False)
        seen.append(
            see(np.stack(studio.through_vae(list(render(Clip(prompt.scene, track), frames))))).scene
        )
    return _shares(seen, [prompt.scene for prompt in prompts])


def score_continuation(studio: Studio, prompts: Sequence[Prompt]) -> dict[str, float]:
    """CHUNKS chunks a prompt, each going on from the last raw frame of the one before."""
    jumps, seams, unrelated, colours = [], [], [], []
    for number, prompt in enumerate(prompts):
        film = studio.make(prompt.text, 33, number)
        for chunk in range(1, CHUNKS):
            tail = film[-1:]
            new = go_on(studio.make(prompt.text, 33, 1000 * chunk + number, tail), tail)
            seams.append(seam_between(film[-33:], new).score)
            fresh = studio.make(prompt.text, 33, 1000 * chunk + number)
            unrelated.append(seam_between(film[-33:], fresh).score)
            film += new
        sight = see(np.stack(film))
        joins = [32 + 32 * chunk for chunk in range(CHUNKS - 1)]
        jumps += [float(np.linalg.norm(sight.steps[join])) for join in joins]
        colours.append(see(np.stack(film[-32:])).scene.colour == prompt.scene.colour)
    return {
        "joins": len(jumps),
        "median_jump": round(float(np.median(jumps)), 2),
        "true_motion": SPEED,
        "share_above_4_px": round(float(np.mean(np.array(jumps) > 4)), 3),
        "colour_in_last_chunk": round(float(np.mean(colours)), 3),
        "median_seam": round(float(np.median(seams)), 2),
        "seams_refused": round(float(np.mean(np.array(seams) > MAX_SEAM)), 3),
        "unrelated_seams_refused": round(float(np.mean(np.array(unrelated) > MAX_SEAM)), 3),
    }


def fresh_prompts(count: int) -> list[Prompt]:
    """The same prompts each time, the second half in held-out wording."""
    rng = generator("scorecard", 0)
    prompts = []
    for number in range(count):
        scene, held_out = random_scene(rng), number >= count // 2
        prompts.append(Prompt(fresh_caption(scene, rng, held_out=held_out), scene, held_out))
    return prompts


def scorecard(folder: Path) -> dict[str, Any]:
    """Everything, as the model card states it."""
    prompts = fresh_prompts(PROMPTS)
    with tempfile.TemporaryDirectory() as scratch:
        studio = Studio(folder, [prompt.text for prompt in prompts], Path(scratch))
        return {
            "prompts": PROMPTS,
            **{f"{n} frames": score_prompts(studio, prompts, n) for n in (17, 33)},
            "ceiling: the VAE alone": score_ceiling(studio, prompts, 33),
            "continuation": score_continuation(
                studio, prompts[:: PROMPTS // CONTINUED][:CONTINUED]
            ),
        }


def _only(
    seen: Sequence[Scene], truth: Sequence[Scene], chosen: Sequence[bool]
) -> tuple[list[Scene], list[Scene]]:
    pairs = [(s, t) for s, t, yes in zip(seen, truth, chosen, strict=True) if yes]
    return [s for s, _ in pairs], [t for _, t in pairs]


def _shares(seen: Sequence[Scene], truth: Sequence[Scene]) -> Shares:
    return {
        name: round(float(np.mean([s[i] == t[i] for s, t in zip(seen, truth, strict=True)])), 3)
        for i, name in enumerate(Scene._fields)
    }


if __name__ == "__main__":
    print(json.dumps(scorecard(Path(sys.argv[1])), indent=1))
