"""`python -m pipelines.training.scorecard CHECKPOINT`: what it can do.

A third of the prompts is worded and combined as in training, a third is in held-out wording, a
third has held-out combinations (a thing never seen in that place, or never with that movement)
in held-out wording. Everything goes through the product's own loading, encoding and rendering.
Judge is the classifier of the checkpoint's card, trained apart on true clips; its own accuracy
on true clips stands beside the scores. Controls: the same videos against another prompt, and
videos of an empty prompt. Ceiling: true clips of the same scenes through the VAE alone.
"""

import argparse
import hashlib
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.documents.manifest import Take
from pipelines.quality.seams import RETRY_SEAM
from pipelines.quality.takes import FromChunk, choose_take
from pipelines.training.captions import fresh_caption
from pipelines.training.card import GROUPS, TOGETHER, check_place, with_scores
from pipelines.training.classifier import Classifier, classify, load_classifier
from pipelines.training.film import DemoModel
from pipelines.training.loop import generator
from pipelines.training.places import SIDE
from pipelines.training.world import (
    SPEED,
    WAYS,
    Pixels,
    Scene,
    random_clip,
    random_scene,
    render,
)

PROMPTS = 90
CONTINUED = 32
CHUNKS = 4
LENGTHS = (17, 33)
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
    model: DemoModel, classifier: Classifier, prompts: Sequence[Prompt], frames: int
) -> dict[str, Shares]:
    """Shares of right answers, by group of prompts, with the controls."""
    films = [model.frames(p.text, frames, seed) for seed, p in enumerate(prompts)]
    seen = [classify(classifier, np.stack(film)).scene for film in films]
    truth = [prompt.scene for prompt in prompts]
    result = {"all": shares(seen, truth)}
    for group in GROUPS:
        picks = [index for index, prompt in enumerate(prompts) if prompt.group == group]
        result[group] = shares([seen[i] for i in picks], [truth[i] for i in picks])
    result["control: another prompt"] = shares(seen, [*truth[1:], truth[0]])
    count = max(1, len(prompts) // 4)
    empty = [
        classify(classifier, np.stack(model.frames("", frames, seed))).scene
        for seed in range(count)
    ]
    result["control: empty prompt"] = shares(empty, truth[:count])
    return result


def score_true(
    model: DemoModel, classifier: Classifier, prompts: Sequence[Prompt], frames: int
) -> dict[str, Shares]:
    """True clips of the same scenes: as painted, and through the VAE, whose error is told apart for
    first frames: it reads and draws them in a way of their own."""
    rng = generator("illustrated-ceiling", frames)
    painted, coded = [], []
    first: list[float] = []
    others: list[float] = []
    for prompt in prompts:
        film = render(random_clip(rng, prompt.scene, anywhere=False), frames)
        painted.append(classify(classifier, film).scene)
        again = np.stack(model.through_vae(list(film)))
        coded.append(classify(classifier, again).scene)
        first.append(_squares(film[:1], again[:1]))
        others.append(_squares(film[1:], again[1:]))
    truth = [prompt.scene for prompt in prompts]
    return {
        "classifier: true clips": shares(painted, truth),
        "ceiling: the VAE alone": shares(coded, truth),
        "psnr": {"first frames": _decibels(first), "other frames": _decibels(others)},
    }


def score_continuation(
    model: DemoModel, classifier: Classifier, prompts: Sequence[Prompt]
) -> dict[str, float | None]:
    """CHUNKS chunks a prompt, each going on from the last raw frame of the one before.

    As the product does it: a take whose join jumps is made again. A join counts for the jumps if
    the thing is whole on both sides; `first_takes` are those of the model alone.
    """
    jumps, within, kept, same = [], [], [], []
    takes: list[tuple[Take, ...]] = []
    dissolved = 0
    for number, prompt in enumerate(prompts):
        film = model.frames(prompt.text, _CHUNK, number)
        for chunk in range(1, CHUNKS):
            spec = model.spec(prompt.text, _CHUNK, 1000 * chunk + number, continued=True)
            before = FromChunk(film[-_CHUNK:], film[-1:])
            chosen = choose_take(
                spec, "continue", before, partial(model.render, overlap=before.overlap)
            )
            takes.append(chosen.takes)
            dissolved += chosen.made != "continue"
            film += chosen.frames
        path = classify(classifier, np.stack(film)).path
        steps = np.linalg.norm(np.diff(path[:, :2], axis=0), axis=1)
        reach = abs(path[:, :2] - SIDE / 2).max(1) + _FILLED * path[:, 2]
        whole = (reach < SIDE / 2).tolist()
        joins = [_CHUNK - 1 + (_CHUNK - 1) * chunk for chunk in range(CHUNKS - 1)]
        jumps += [float(steps[join]) for join in joins if whole[join] and whole[join + 1]]
        within += [float(steps[join - 4]) for join in joins if whole[join - 4] and whole[join - 3]]
        seen = classify(classifier, np.stack(film[-_CHUNK:])).scene
        kept.append(seen.background == prompt.scene.background)
        if all(whole[-_CHUNK:]):
            same.append(seen.thing == prompt.scene.thing)
    first = [take[0].seam or 0.0 for take in takes]
    return {
        "joins": len(takes),
        "joins_with_the_thing_whole": len(jumps),
        "true_motion": SPEED,
        "median_jump": _middle(jumps),
        "median_step_elsewhere": _middle(within),
        "share_above_4_px": _share(jump > 4 for jump in jumps),
        "background_in_last_chunk": _share(kept),
        "last_chunks_with_the_thing_whole": len(same),
        "thing_in_last_chunk": _share(same),
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
    classifier = load_classifier(card / "classifier.safetensors")
    asked = fresh_prompts(prompts, things)
    with tempfile.TemporaryDirectory() as scratch:
        texts = ["", *(prompt.text for prompt in asked)]
        model = DemoModel(folder, texts, Path(scratch))
        return {
            "prompts": prompts,
            "things": things,
            "weights": weights_of(folder),
            **{
                f"{n} frames": score_prompts(model, classifier, asked, n)
                | score_true(model, classifier, asked, n)
                for n in lengths
            },
            "continuation": score_continuation(model, classifier, _crossing(asked)[:continued]),
        }


def weights_of(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file of weights: scores are those of these weights only."""
    files = sorted(folder.rglob("*.safetensors"))
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
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
    result[TOGETHER] = _share(
        (s.thing, s.background, s.movement) == (t.thing, t.background, t.movement) for s, t in pairs
    )
    return result


def _squares(one: Pixels, other: Pixels) -> float:
    """Mean squared difference of frames, in levels of 255."""
    return float(np.square(one.astype(np.float32) - other).mean())


def _decibels(squares: Sequence[float]) -> float:
    return round(10 * float(np.log10(255**2 / np.mean(squares))), 2)


def _share(answers: Iterable[bool]) -> float | None:
    given = list(answers)
    return round(float(np.mean(given)), 3) if given else None


def _middle(values: Sequence[float]) -> float | None:
    return round(float(np.median(values)), 2) if values else None


def write(folder: Path, found: Mapping[str, Any]) -> None:
    """As `card/scorecard.json`, and into the folder's README.md if there is one.

    Raises ValueError if that one has no place for the scores.
    """
    readme = folder / "README.md"
    if readme.exists():
        readme.write_text(with_scores(readme.read_text(encoding="utf-8"), found), encoding="utf-8")
    (folder / "card" / "scorecard.json").write_text(json.dumps(found, indent=1) + "\n")


def parser() -> argparse.ArgumentParser:
    """Of the command."""
    result = argparse.ArgumentParser(prog="python -m pipelines.training.scorecard")
    result.add_argument("checkpoint", type=Path, help="folder of the model, with its card/")
    result.add_argument("--prompts", type=int, default=PROMPTS, help=f"at least 3; {PROMPTS}")
    result.add_argument(
        "--continued", type=int, default=CONTINUED, help=f"films of {CHUNKS} chunks; {CONTINUED}"
    )
    result.add_argument(
        "--lengths", type=int, nargs="+", default=list(LENGTHS), help="frames a clip; 17 33"
    )
    result.add_argument(
        "--write", action="store_true", help="into card/scorecard.json and the model card"
    )
    return result


if __name__ == "__main__":
    told = parser().parse_args()
    readme = told.checkpoint / "README.md"
    if told.write and readme.exists():
        try:
            check_place(readme.read_text(encoding="utf-8"))
        except ValueError as error:
            parser().error(f"{readme}: {error}")
    scores = scorecard(
        told.checkpoint, prompts=told.prompts, continued=told.continued, lengths=told.lengths
    )
    print(json.dumps(scores, indent=1))
    if told.write:
        write(told.checkpoint, scores)
