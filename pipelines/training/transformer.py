"""Training of the transformer for the demo model's world: stills, then clips, then continuation.

Stills come first because they cost a fifth to a ninth of a clip: things, colours and places are
learned on them. One checkpoint serves text-to-video and a given first frame. The last
stage is given first frames that were drawn and read again, as in the product.
"""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from pipelines.backends.wan.negative import NEGATIVE
from pipelines.training.dataset import Latents, load_latents
from pipelines.training.denoiser import (
    Batch,
    Denoiser,
    Texts,
    embed,
    loss_of,
    new_transformer,
    noise_levels,
    optimizers_for,
)
from pipelines.training.layout import CHANNELS
from pipelines.training.loop import descend, generator, set_rate
from pipelines.training.setup import Recipe
from pipelines.training.vae import scales_of, seen_again


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
    Stage("continuation", rate=0.4, stills=0.05, continued=0.6),
)
_EMPTY = 0.1
_AVERAGE = 0.998
_BATCHES = {1: 64, 5: 20, 9: 12}
"""Clips of so many latent frames in a batch: about as many tokens each."""
_EMBEDDED = 512
"""Captions at once."""


class Clips:
    """Latents, scaled as the pipelines scale them, and the embeddings of their captions."""

    def __init__(
        self, latents: Latents, scales: tuple[torch.Tensor, torch.Tensor], words: "Words"
    ) -> None:
        mean, deviation = (part[None, :, None].half() for part in scales)
        self.values = latents.values.sub_(mean).div_(deviation)
        self.firsts = self.values[:, :, 0].clone()
        """What is given of a clip that goes on from a frame: N x CHANNELS x h x w."""
        self.centred = latents.centred
        self.everything = torch.arange(len(self.values), device=self.values.device)
        self.captions = len(latents.captions[0])
        self.texts = words.embedded([text for texts in latents.captions for text in texts])

    def read_again(self, vae: Any) -> None:
        """Put the first frames through decoder and encoder."""
        mean, deviation = scales_of(vae)
        raw = self.firsts.float() * deviation + mean
        self.firsts = ((seen_again(vae, raw) - mean) / deviation).half()


class Words:
    """Embeds captions, all to one length."""

    def __init__(self, tokenizer: Any, encoder: Any) -> None:
        self._tokenizer, self._encoder = tokenizer, encoder

    def embedded(self, captions: list[str]) -> Texts:
        """States (N x tokens x width, fp16) and the attention's bias (N x 1 x 1 x tokens)."""
        starts = range(0, len(captions), _EMBEDDED)
        parts = [
            embed(self._encoder, self._tokenizer, captions[at : at + _EMBEDDED]) for at in starts
        ]
        longest = max(part.states.shape[1] for part in parts)
        states, biases = [], []
        for part in parts:
            missing = longest - part.states.shape[1]
            states.append(functional.pad(part.states.half(), (0, 0, 0, missing)))
            biases.append(functional.pad(part.bias, (0, missing), value=-torch.inf))
        return Texts(torch.cat(states), torch.cat(biases))


class Sampler:
    """Draws batches of stills and of clips of 17 or 33 frames."""

    def __init__(self, recipe: Recipe, clips: Clips, stills: Clips, words: Words) -> None:
        self._recipe = recipe
        self.clips, self.stills = clips, stills
        self._empty = words.embedded(["", NEGATIVE])

    def draw(self, rng: np.random.Generator, stage: Stage) -> Batch:
        """A batch of one kind."""
        kind = rng.random()
        clean = 1 if kind < stage.continued else 0
        if kind > 1 - stage.stills:
            chosen, frames = self.stills, 1
        else:
            chosen, frames = self.clips, 5 if rng.random() < 0.5 else 9
        count = self._recipe.batch_of(_BATCHES[frames])
        pool = chosen.centred if not clean and frames > 1 else chosen.everything
        picks = pool[self._numbers(rng, len(pool), count)]
        latents = chosen.values[picks, :, :frames].float()
        first = chosen.firsts[picks].float()[:, :, None] if clean else None
        return Batch(latents, self._texts(chosen, picks, rng), clean, first)

    def _numbers(self, rng: np.random.Generator, most: int, count: int) -> torch.Tensor:
        return torch.from_numpy(rng.integers(most, size=count)).to(self._recipe.device)

    def _texts(self, chosen: Clips, picks: torch.Tensor, rng: np.random.Generator) -> Texts:
        count = len(picks)
        lines = picks * chosen.captions + self._numbers(rng, chosen.captions, count)
        states, bias = chosen.texts.states[lines].float(), chosen.texts.bias[lines]
        # The first few get no caption or the negative one.
        none = round(_EMPTY * count + rng.random() - 0.5)
        if none:
            empty = self._numbers(rng, 2, none)
            width = max(states.shape[1], self._empty.states.shape[1])
            states = functional.pad(states, (0, 0, 0, width - states.shape[1]))
            bias = functional.pad(bias, (0, width - bias.shape[-1]), value=-torch.inf)
            missing = width - self._empty.states.shape[1]
            states[:none] = functional.pad(self._empty.states[empty].float(), (0, 0, 0, missing))
            bias[:none] = functional.pad(self._empty.bias[empty], (0, missing), value=-torch.inf)
        return Texts(states, bias)


def sampler_of(recipe: Recipe, name: str, words: Words, vae: Any, share: float = 1.0) -> Sampler:
    """Of a set's files."""
    scales = scales_of(vae)
    clips, stills = (
        Clips(load_latents(recipe, name, kind, share), scales, words)
        for kind in ("clips", "stills")
    )
    return Sampler(recipe, clips, stills, words)


def train_transformer(
    recipe: Recipe, sampler: Sampler, validation: Sampler, finished_vae: Any
) -> Any:
    """Train it, or finish or load what the folder holds. Returns the averaged weights.

    `finished_vae()` is asked for before the last stage.
    """
    torch.manual_seed(2)
    held = [
        validation.draw(generator("transformer-validation", index), STAGES[1]) for index in range(8)
    ]
    size = recipe.size
    model = new_transformer(
        size.heads, size.layers, size.feed_forward, size.text, channels=CHANNELS
    )
    model.to(recipe.device)
    for stage in STAGES:
        if stage is STAGES[-1]:
            sampler.clips.read_again(finished_vae())
        model = _train_stage(recipe, stage, model, sampler, held)
    return model.eval()


def _train_stage(
    recipe: Recipe, stage: Stage, model: Any, sampler: Sampler, held: list[Batch]
) -> Any:
    """Train `model` through one stage; returns the averaged weights, as a new model."""
    average = copy.deepcopy(model).requires_grad_(False)
    optimizers = optimizers_for(model)
    training = recipe.training(stage.name, {"model": model, "average": average}, optimizers)
    denoiser = Denoiser(model, compiled=recipe.compiled)

    def do_step(step: int, rng: np.random.Generator) -> dict[str, Any]:
        set_rate(optimizers, stage.rate * training.rate(step))
        batch = sampler.draw(rng, stage)
        levels = noise_levels(len(batch.latents), rng).to(recipe.device)
        with recipe.cast():
            loss = loss_of(denoiser, batch, levels)
        descend(loss, model.parameters(), optimizers)
        weight = 1 - min(_AVERAGE, (step + 1) / (step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), weight)
        kind = "continue" if batch.clean else "text"
        return {"loss": loss.detach(), f"loss_{kind}_{batch.latents.shape[2]}": loss.detach()}

    def validate() -> dict[str, float]:
        return _validate(recipe, Denoiser(average, compiled=False), held)

    training.run(do_step, every=recipe.every, validate=validate)
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
