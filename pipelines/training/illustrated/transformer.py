"""Training of the transformer for the illustrated world: stills, then clips, then continuation.

Stills come first because they cost a fifth to a ninth of a clip: things, colours and places are
learned on them. One checkpoint serves text-to-video and a given first frame, as before.
"""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from pipelines.backends.wan.negative import NEGATIVE
from pipelines.training.denoiser import (
    Batch,
    Denoiser,
    embed,
    loss_of,
    new_transformer,
    noise_levels,
    optimizers_for,
)
from pipelines.training.illustrated.captions import training_caption
from pipelines.training.illustrated.dataset import Latents
from pipelines.training.illustrated.setup import Recipe
from pipelines.training.loop import Training, generator, remember_rates, set_rate


@dataclass(frozen=True)
class Stage:
    """One training of the transformer."""

    name: str
    rate: float
    """Share of the optimizers' learning rates."""
    stills: float
    """Share of batches of single frames."""
    continued: float
    """Share of batches whose first latent frame is given."""


STAGES = (
    Stage("stills", rate=1.0, stills=0.9, continued=0.03),
    Stage("transformer", rate=0.8, stills=0.1, continued=0.35),
    Stage("continuation", rate=0.4, stills=0.03, continued=0.8),
)
_EMPTY = 0.1
_AVERAGE = 0.998
_BATCHES = {1: 64, 5: 20, 9: 12}
"""Clips of so many latent frames in a batch: about as many tokens each."""


class Sampler:
    """Draws batches of stills and of clips of 17 or 33 frames."""

    def __init__(self, recipe: Recipe, latents: Latents, tokenizer: Any, encoder: Any) -> None:
        self._recipe = recipe
        self._latents = latents
        self._tokenizer = tokenizer
        self._encoder = encoder

    def draw(self, rng: np.random.Generator, stage: Stage) -> Batch:
        """A batch of one kind."""
        kind = rng.random()
        clean = 1 if kind < stage.continued else 0
        if kind > 1 - stage.stills:
            chosen, frames = self._latents.stills, 1
        else:
            chosen, frames = self._latents.clips, 5 if rng.random() < 0.5 else 9
        count = self._recipe.batch_of(_BATCHES[frames])
        if not clean and frames > 1:
            picks = self._latents.centred[rng.integers(len(self._latents.centred), size=count)]
        else:
            picks = rng.integers(len(chosen.scenes), size=count)
        latents = chosen.values[picks, :, :frames].to(self._recipe.device).float()
        captions = [self._caption(chosen.scenes[pick], rng) for pick in picks]
        return Batch(latents, embed(self._encoder, self._tokenizer, captions), clean)

    def _caption(self, scene: Any, rng: np.random.Generator) -> str:
        kind = rng.random()
        if kind < _EMPTY / 2:
            return ""
        if kind < _EMPTY:
            return NEGATIVE
        return training_caption(scene, rng)[0]


def train_transformer(recipe: Recipe, sampler: Sampler, validation: Sampler) -> Any:
    """Train it, or finish or load what the folder holds. Returns the averaged weights."""
    torch.manual_seed(2)
    held = [
        validation.draw(generator("transformer-validation", index), STAGES[1]) for index in range(8)
    ]
    size = recipe.size
    model = new_transformer(size.heads, size.layers, size.feed_forward, size.text)
    model.to(recipe.device)
    for stage in STAGES:
        model = _train_stage(recipe, stage, model, sampler, held)
    return model.eval()


def _train_stage(
    recipe: Recipe, stage: Stage, model: Any, sampler: Sampler, held: list[Batch]
) -> Any:
    """Train `model` through one stage; returns the averaged weights, as a new model."""
    average = copy.deepcopy(model).requires_grad_(False)
    optimizers = optimizers_for(model)
    remember_rates(optimizers)
    state = {"model": model, "average": average}
    state |= {f"optimizer_{i}": optimizer for i, optimizer in enumerate(optimizers)}
    minutes = recipe.minutes_of(stage.name)
    training = Training(stage.name, recipe.folder, recipe.steps, state, minutes=minutes)
    denoiser = Denoiser(model, compiled=recipe.compiled)

    def do_step(step: int, rng: np.random.Generator) -> dict[str, float]:
        set_rate(optimizers, stage.rate * training.rate(step))
        batch = sampler.draw(rng, stage)
        levels = noise_levels(len(batch.latents), rng).to(recipe.device)
        with recipe.cast():
            loss = loss_of(denoiser, batch, levels)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        weight = 1 - min(_AVERAGE, (step + 1) / (step + 10))
        with torch.no_grad():
            for mean, now in zip(average.parameters(), model.parameters(), strict=True):
                mean.lerp_(now, weight)
        kind = "continue" if batch.clean else "text"
        return {"loss": loss.item(), f"loss_{kind}_{batch.latents.shape[2]}": loss.item()}

    def validate() -> dict[str, float]:
        return _validate(recipe, Denoiser(average, compiled=False), held)

    training.run(do_step, every=200, validate=validate)
    return copy.deepcopy(average).requires_grad_(True)


@torch.no_grad()
def _validate(recipe: Recipe, denoiser: Denoiser, held: list[Batch]) -> dict[str, float]:
    """The loss on clips and noise that are the same each time and never trained on."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        rng = generator("transformer-noise", 0)
        losses = []
        for batch in held:
            levels = noise_levels(len(batch.latents), rng).to(recipe.device)
            with recipe.cast():
                losses.append(float(loss_of(denoiser, batch, levels)))
    return {"validation": round(float(np.mean(losses)), 5)}
