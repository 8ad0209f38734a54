"""The whole training of the demo model: every stage from its file if it is there."""

import dataclasses
import json
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from pipelines.training.assemble import save_checkpoint
from pipelines.training.classifier import save_classifier, train_classifier, trained_classifier
from pipelines.training.dataset import VALIDATION, draw_everything, load_painted
from pipelines.training.setup import PARTS, SIZES, Recipe
from pipelines.training.text import train_text, trained_text
from pipelines.training.things import THINGS
from pipelines.training.transformer import Words, sampler_of, train_transformer
from pipelines.training.vae import finished_vae, scaled_vae, train_vae

LEAST_THINGS = 3


def recipe_of(
    folder: Path,
    *,
    processes: int,
    device: str | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    things: int | None = None,
    size: str | None = None,
    data: float = 1.0,
) -> Recipe:
    """What is not given depends on whether there is a GPU.

    A folder keeps the things, size and data that it was begun with. Raises ValueError when
    others are asked for, or more things than are drawn, or no minutes.
    """
    on = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    cuda = on.type == "cuda"
    count = (len(THINGS) if cuda else 24) if things is None else things
    told = {
        "things": count,
        "size": size or ("large" if cuda else "small"),
        "data": data,
    }
    if not LEAST_THINGS <= count <= len(THINGS):
        raise ValueError(f"{count} things: from {LEAST_THINGS} to {len(THINGS)} can be trained on")
    if minutes is not None and minutes <= 0:
        raise ValueError(f"{minutes:g} minutes: more than 0 are needed")
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "recipe.json"
    if not kept.exists():
        kept.write_text(json.dumps(told))
    begun = json.loads(kept.read_text())
    if begun != told:
        raise ValueError(
            f"{folder} was begun with {begun}, and {told} is asked for: "
            "give the same options, or another folder"
        )
    whole = SIZES[str(told["size"])]
    part = dataclasses.replace(
        whole,
        clips=max(64, round(whole.clips * data)),
        stills=max(64, round(whole.stills * data)),
        painted=max(64, round(whole.painted * data)),
    )
    time = (7 if cuda else 90) if minutes is None else minutes
    return Recipe(folder, count, part, time, on, processes, steps, mixed=cuda)


def train(recipe: Recipe, parts: Sequence[str] = PARTS) -> Path | None:
    """Data, text encoder, classifier, VAE, transformer; returns the checkpoint's folder.

    With some of the `parts` only those are trained. The data must be drawn before; what another
    process trains is waited for. The checkpoint comes with the transformer.
    """
    if "data" in parts:
        draw_everything(recipe)
    if "text" in parts:
        train_text(recipe)
    if "classifier" in parts:
        train_classifier(recipe, load_painted(recipe), load_painted(recipe, held=True))
    if "vae" in parts:
        train_vae(recipe)
    if "transformer" not in parts:
        return None
    return _finish(recipe)


def _finish(recipe: Recipe) -> Path:
    """Train the transformer and write the checkpoint."""
    tokenizer, encoder = trained_text(recipe)
    words, vae = Words(tokenizer, encoder), scaled_vae(recipe)
    transformer = train_transformer(
        recipe,
        sampler_of(recipe, "training", words, vae),
        sampler_of(recipe, "validation", words, vae, VALIDATION),
        partial(finished_vae, recipe),
    )
    target = recipe.folder / "checkpoint"
    save_checkpoint(target, tokenizer, encoder.cpu(), finished_vae(recipe).cpu(), transformer.cpu())
    card = target / "card"
    card.mkdir(exist_ok=True)
    for log in [*recipe.folder.glob("*.jsonl"), recipe.folder / "recipe.json"]:
        shutil.copy(log, card)
    save_classifier(trained_classifier(recipe), card / "classifier.safetensors")
    print(f"written to {target}")
    return target
