"""The whole training of the next demo model: every stage from its file if it is there."""

import dataclasses
import json
import shutil
from pathlib import Path

import torch

from pipelines.training.assemble import save_checkpoint
from pipelines.training.illustrated.classifier import FRAMES, save_eye, train_classifier
from pipelines.training.illustrated.dataset import encode_dataset
from pipelines.training.illustrated.setup import SIZES, Recipe
from pipelines.training.illustrated.text import train_text
from pipelines.training.illustrated.things import THINGS
from pipelines.training.illustrated.transformer import Sampler, train_transformer
from pipelines.training.illustrated.vae import Pool, train_vae

LEAST_THINGS = 3
_HELD = 200


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
    others are asked for, or more things than are drawn.
    """
    on = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    cuda = on.type == "cuda"
    count = things or (len(THINGS) if cuda else 24)
    told = {
        "things": count,
        "size": size or ("large" if cuda else "small"),
        "data": data,
    }
    if not LEAST_THINGS <= count <= len(THINGS):
        raise ValueError(f"{count} things: from {LEAST_THINGS} to {len(THINGS)} can be trained on")
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
        vae_clips=max(64, round(whole.vae_clips * data)),
    )
    return Recipe(folder, count, part, minutes or (7 if cuda else 90), on, processes, steps)


def train(recipe: Recipe) -> Path:
    """Classifier, text encoder, VAE, latents, transformer; returns the checkpoint's folder."""
    count, fewer = recipe.size.vae_clips, min(_HELD, recipe.size.vae_clips)
    # The judge, and it alone, sees the combinations that are held out: else a wrong answer about
    # one of them could be its own.
    eye = train_classifier(recipe, Pool(recipe, "classifier-held", fewer, FRAMES, every=True))
    tokenizer, encoder = train_text(recipe)
    vae = train_vae(recipe, Pool(recipe, "vae", count), Pool(recipe, "vae-held", fewer))
    latents = encode_dataset(recipe, vae, "training")
    unseen = encode_dataset(recipe, vae, "validation", 0.05)
    transformer = train_transformer(
        recipe,
        Sampler(recipe, latents, tokenizer, encoder),
        Sampler(recipe, unseen, tokenizer, encoder),
    )
    target = recipe.folder / "checkpoint"
    parts = (part.to("cpu") for part in (encoder, vae, transformer))
    save_checkpoint(target, tokenizer, *parts)
    card = target / "card"
    card.mkdir(exist_ok=True)
    for log in [*recipe.folder.glob("*.jsonl"), recipe.folder / "recipe.json"]:
        shutil.copy(log, card)
    save_eye(eye, card / "eye.safetensors")
    print(f"written to {target}")
    return target
