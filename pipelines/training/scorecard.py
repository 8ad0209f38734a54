"""`python -m pipelines.training.scorecard CHECKPOINT`: what the demo model can do, measured.

Fresh prompts, half of them in wording that training never saw, go through the product's own
loading, encoding and rendering. The same videos scored against another prompt are the
control; true clips sent through the VAE alone are the ceiling.
"""

import json
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipelines.backends.base import Frame, GeneratedClip
from pipelines.backends.wan.conditioning import Given
from pipelines.backends.wan.definitions import DEFINITIONS
from pipelines.backends.wan.denoiser import Job, WanDenoiser
from pipelines.backends.wan.loading import Source
from pipelines.backends.wan.memory_plan import MemoryPlan
from pipelines.backends.wan.negative import NEGATIVE
from pipelines.backends.wan.options import WanOptions
from pipelines.backends.wan.text_encoder import EmbeddingCache, TextEncoder
from pipelines.documents.manifest import Take
from pipelines.quality.seams import RETRY_SEAM, seam_between
from pipelines.quality.takes import FromChunk, choose_take
from pipelines.schema.plan import ChunkSpec, digest_of
from pipelines.schema.request import ClipRequest, Continuation
from pipelines.schema.sizes import Size
from pipelines.training.captions import fresh_caption
from pipelines.training.loop import generator
from pipelines.training.sight import see
from pipelines.training.world import SIDE, SPEED, Clip, Scene, random_scene, random_track, render

PROMPTS = 100
CONTINUED = 16
CHUNKS = 4
CHUNK = 33
_CPU = torch.device("cpu")
Shares = dict[str, float]


@dataclass(frozen=True)
class Prompt:
    """A fresh prompt and what a video of it must show."""

    text: str
    scene: Scene
    held_out: bool


class Studio:
    """The checkpoint through the product's own code, as the preset `demo` asks for it."""

    def __init__(
        self, folder: Path, texts: Sequence[str], scratch: Path, size: Size | None = None
    ) -> None:
        demo = next(item for item in DEFINITIONS if item.name == "wan-demo")
        self._preset = demo.presets[0]
        self._size = size or self._preset.size
        self._fps = demo.capabilities.fps
        self._folder = digest_of(str(folder))
        self._cache = EmbeddingCache(scratch, self._folder, self._folder, torch.float32)
        encoder = TextEncoder(folder, _CPU, torch.float32)
        encoder.encode(self._cache.missing([*texts, NEGATIVE]), self._cache)
        encoder.close()
        self._model = WanDenoiser(Source(folder, "text", dtype="float32"), _CPU)

    def spec(self, text: str, frames: int, seed: int, *, continued: bool = False) -> ChunkSpec:
        """A chunk; a continued one repeats one frame."""
        request = ClipRequest(
            prompt=text,
            negative=NEGATIVE,
            size=self._size,
            fps=self._fps,
            frames=frames,
            seed=seed,
            inputs=(Continuation(chunk=self._folder, frames=1),) if continued else (),
            options=self._preset.options.model_dump(),
        )
        return ChunkSpec(backend=self._preset.backend, identity={}, request=request)

    def render(self, spec: ChunkSpec, overlap: Sequence[Frame] = ()) -> GeneratedClip:
        """One take."""
        request = spec.request
        positive, negative = self._cache.get(request.prompt), self._cache.get(request.negative)
        assert positive is not None
        assert negative is not None
        job = Job(
            size=request.size,
            frames=request.frames,
            seed=request.seed,
            options=WanOptions.checked(request.options),
            positive=positive,
            negative=negative,
            given=Given(tuple(overlap)),
        )
        rendered = self._model.render(job, MemoryPlan(), lambda *_: None)
        return GeneratedClip(rendered.frames, rendered.memory_mode)

    def frames(self, text: str, frames: int, seed: int) -> list[Frame]:
        """A fresh chunk, whatever it looks like."""
        return list(self.render(self.spec(text, frames, seed)).frames)

    def through_vae(self, frames: Sequence[Frame]) -> list[Frame]:
        """True frames encoded and decoded: the best that any transformer could reach."""
        return self._model.through_vae(frames)


def score_prompts(studio: Studio, prompts: Sequence[Prompt], frames: int) -> dict[str, Shares]:
    """Shares of right answers, by group of prompts, with control."""
    seen = [see(np.stack(studio.frames(p.text, frames, i))).scene for i, p in enumerate(prompts)]
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
    """CHUNKS chunks a prompt, each going on from the last raw frame of the one before.

    As the product does it: a take whose join jumps is made again. The figures named
    `first_takes` are those of the model alone.
    """
    jumps, colours, unrelated = [], [], []
    takes: list[tuple[Take, ...]] = []
    dissolved = 0
    for number, prompt in enumerate(prompts):
        film = studio.frames(prompt.text, CHUNK, number)
        for chunk in range(1, CHUNKS):
            spec = studio.spec(prompt.text, CHUNK, 1000 * chunk + number, continued=True)
            before = FromChunk(film[-CHUNK:], film[-1:])
            chosen = choose_take(
                spec, "continue", before, partial(studio.render, overlap=before.overlap)
            )
            takes.append(chosen.takes)
            dissolved += chosen.made != "continue"
            fresh = studio.frames(prompt.text, CHUNK, spec.request.seed)
            unrelated.append(seam_between(before.film, fresh).score)
            film += chosen.frames
        steps = see(np.stack(film)).steps
        joins = [CHUNK - 1 + (CHUNK - 1) * chunk for chunk in range(CHUNKS - 1)]
        # A shape that is not seen at all has jumped as far as can be.
        jumps += [float(np.nan_to_num(np.linalg.norm(steps[join]), nan=SIDE)) for join in joins]
        colours.append(see(np.stack(film[1 - CHUNK :])).scene.colour == prompt.scene.colour)
    first = [take[0].seam or 0.0 for take in takes]
    return {
        "joins": len(jumps),
        "true_motion": SPEED,
        "median_jump": round(float(np.median(jumps)), 2),
        "share_above_4_px": _share(jump > 4 for jump in jumps),
        "colour_in_last_chunk": _share(colours),
        "first_takes_median_seam": round(float(np.median(first)), 2),
        "first_takes_made_again": _share(seam > RETRY_SEAM for seam in first),
        "unrelated_chunks_made_again": _share(seam > RETRY_SEAM for seam in unrelated),
        "dissolved": dissolved,
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


def _share(answers: Iterable[bool]) -> float:
    return round(float(np.mean(list(answers))), 3)


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
