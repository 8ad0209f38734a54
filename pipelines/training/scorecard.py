"""`python -m pipelines.training.scorecard CHECKPOINT [--prompts N]`: what it can do.

A third of the prompts is worded and combined as in training, a third is in held-out wording, a
third has held-out combinations (a thing never seen in that place, or never with that movement)
in held-out wording. Everything goes through the product's own loading, encoding and rendering.
Judge is the classifier of the checkpoint's card, trained apart on true clips; its own accuracy
on true clips stands beside the scores. Controls: the same videos against another prompt, and
videos of an empty prompt. Ceiling: true clips of the same scenes through the VAE alone.
"""

import argparse
import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.documents.manifest import Take
from pipelines.quality.seams import RETRY_SEAM
from pipelines.quality.takes import FromChunk, choose_take
from pipelines.training.captions import fresh_caption
from pipelines.training.classifier import Eye, load_eye, see
from pipelines.training.film import Studio
from pipelines.training.loop import generator
from pipelines.training.places import SIDE
from pipelines.training.world import (
    SPEED,
    WAYS,
    Scene,
    random_clip,
    random_scene,
    render,
)

PROMPTS = 90
CONTINUED = 16
CHUNKS = 4
LENGTHS = (17, 33)
GROUPS = ("as in training", "held-out wording", "held-out combination")
_CHUNK = 33
_FILLED = 0.8
"""Share of its square's half side to which most things reach: within it, an edge cuts a thing."""
Shares = dict[str, float | None]
"""None where no video was asked for it."""


@dataclass(frozen=True)
class Prompt:
    """A fresh prompt, what a video of it must show, and one of GROUPS."""

    text: str
    scene: Scene
    group: str


def fresh_prompts(count: int, things: int) -> list[Prompt]:
    """The same prompts each time, the groups in turn."""
    rng = generator("illustrated-scorecard", 0)
    prompts = []
    for number in range(count):
        group = GROUPS[number % len(GROUPS)]
        scene = random_scene(rng, things, held_out=group == GROUPS[2])
        text = fresh_caption(scene, rng, held_out=group != GROUPS[0])
        prompts.append(Prompt(text, scene, group))
    return prompts


def score_prompts(
    studio: Studio, eye: Eye, prompts: Sequence[Prompt], frames: int
) -> dict[str, Shares]:
    """Shares of right answers, by group of prompts, with the controls."""
    films = [studio.frames(p.text, frames, seed) for seed, p in enumerate(prompts)]
    seen = [see(eye, np.stack(film)).scene for film in films]
    truth = [prompt.scene for prompt in prompts]
    result = {"all": shares(seen, truth)}
    for group in GROUPS:
        picks = [index for index, prompt in enumerate(prompts) if prompt.group == group]
        result[group] = shares([seen[i] for i in picks], [truth[i] for i in picks])
    result["control: another prompt"] = shares(seen, [*truth[1:], truth[0]])
    count = max(1, len(prompts) // 4)
    empty = [see(eye, np.stack(studio.frames("", frames, seed))).scene for seed in range(count)]
    result["control: empty prompt"] = shares(empty, truth[:count])
    return result


def score_true(
    studio: Studio, eye: Eye, prompts: Sequence[Prompt], frames: int
) -> dict[str, Shares]:
    """True clips of the same scenes: as painted, and through the VAE."""
    rng = generator("illustrated-ceiling", frames)
    painted, coded = [], []
    for prompt in prompts:
        film = render(random_clip(rng, prompt.scene, anywhere=False), frames)
        painted.append(see(eye, film).scene)
        coded.append(see(eye, np.stack(studio.through_vae(list(film)))).scene)
    truth = [prompt.scene for prompt in prompts]
    return {
        "classifier: true clips": shares(painted, truth),
        "ceiling: the VAE alone": shares(coded, truth),
    }


def score_continuation(
    studio: Studio, eye: Eye, prompts: Sequence[Prompt]
) -> dict[str, float | None]:
    """CHUNKS chunks a prompt, each going on from the last raw frame of the one before.

    As the product does it: a take whose join jumps is made again. A join counts for the jumps if
    the thing is whole on both sides; `first_takes` are those of the model alone.
    """
    jumps, within, kept = [], [], []
    takes: list[tuple[Take, ...]] = []
    dissolved = 0
    for number, prompt in enumerate(prompts):
        film = studio.frames(prompt.text, _CHUNK, number)
        for chunk in range(1, CHUNKS):
            spec = studio.spec(prompt.text, _CHUNK, 1000 * chunk + number, continued=True)
            before = FromChunk(film[-_CHUNK:], film[-1:])
            chosen = choose_take(
                spec, "continue", before, partial(studio.render, overlap=before.overlap)
            )
            takes.append(chosen.takes)
            dissolved += chosen.made != "continue"
            film += chosen.frames
        path = see(eye, np.stack(film)).path
        steps = np.linalg.norm(np.diff(path[:, :2], axis=0), axis=1)
        reach = abs(path[:, :2] - SIDE / 2).max(1) + _FILLED * path[:, 2]
        whole = (reach < SIDE / 2).tolist()
        joins = [_CHUNK - 1 + (_CHUNK - 1) * chunk for chunk in range(CHUNKS - 1)]
        jumps += [float(steps[join]) for join in joins if whole[join] and whole[join + 1]]
        within += [float(steps[join - 4]) for join in joins if whole[join - 4] and whole[join - 3]]
        second = np.stack(film[_CHUNK : 2 * _CHUNK - 1])
        kept.append(see(eye, second).scene.background == prompt.scene.background)
    first = [take[0].seam or 0.0 for take in takes]
    return {
        "joins": len(takes),
        "joins_with_the_thing_whole": len(jumps),
        "true_motion": SPEED,
        "median_jump": _middle(jumps),
        "median_step_elsewhere": _middle(within),
        "share_above_4_px": _share(jump > 4 for jump in jumps),
        "background_in_second_chunk": _share(kept),
        "first_takes_median_seam": _middle(first),
        "first_takes_made_again": _share(seam > RETRY_SEAM for seam in first),
        "dissolved": dissolved,
    }


def scorecard(
    folder: Path,
    *,
    prompts: int = PROMPTS,
    continued: int = CONTINUED,
    lengths: Sequence[int] = LENGTHS,
) -> dict[str, Any]:
    """Everything, as the model card states it. At least 3 prompts."""
    card = folder / "card"
    things = int(json.loads((card / "recipe.json").read_text())["things"])
    eye = load_eye(card / "eye.safetensors")
    asked = fresh_prompts(prompts, things)
    with tempfile.TemporaryDirectory() as scratch:
        texts = ["", *(prompt.text for prompt in asked)]
        studio = Studio(folder, texts, Path(scratch))
        return {
            "prompts": prompts,
            "things": things,
            **{f"{n} frames": score_prompts(studio, eye, asked, n) for n in lengths},
            **score_true(studio, eye, asked, max(lengths)),
            "continuation": score_continuation(studio, eye, _crossing(asked)[:continued]),
        }


def _crossing(prompts: Sequence[Prompt]) -> list[Prompt]:
    """Those whose thing crosses the frame: a join that jumps is seen by its way."""
    return [prompt for prompt in prompts if prompt.scene.movement in WAYS]


def shares(seen: Sequence[Scene], truth: Sequence[Scene]) -> Shares:
    """Of each attribute; colour only where one is asked for (None where none is)."""
    pairs = list(zip(seen, truth, strict=True))
    result: Shares = {
        name: _share(s[index] == t[index] for s, t in pairs if t[index])
        for index, name in enumerate(Scene._fields)
    }
    result["thing, background and movement"] = _share(
        (s.thing, s.background, s.movement) == (t.thing, t.background, t.movement) for s, t in pairs
    )
    return result


def _share(answers: Iterable[bool]) -> float | None:
    given = list(answers)
    return round(float(np.mean(given)), 3) if given else None


def _middle(values: Sequence[float]) -> float | None:
    return round(float(np.median(values)), 2) if values else None


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m pipelines.training.scorecard")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--prompts", type=int, default=PROMPTS)
    parser.add_argument("--continued", type=int, default=CONTINUED)
    parser.add_argument("--lengths", type=int, nargs="+", default=list(LENGTHS))
    told = parser.parse_args()
    found = scorecard(
        told.checkpoint, prompts=told.prompts, continued=told.continued, lengths=told.lengths
    )
    print(json.dumps(found, indent=1))
