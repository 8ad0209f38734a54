"""Training of the VAE for the illustrated world, with the arithmetic of `training.codec`."""

from typing import Any

import numpy as np
import torch
from torch import nn

from pipelines.training.codec import decode, encode, encode_clip, new_vae, to_tensor
from pipelines.training.illustrated.dataset import paint
from pipelines.training.illustrated.places import SIDE
from pipelines.training.illustrated.setup import Recipe
from pipelines.training.illustrated.world import Clip, Pixels, path_of, random_clip, random_scene
from pipelines.training.loop import Training, generator, remember_rates, set_rate

BATCH = 10
CROP = 48
RATE = 2e-3
_GROUP = 4
FRAMES = 1 + 2 * _GROUP
_KL_WEIGHT = 1e-5
_JERK_WEIGHT = 2.0
_AROUND = 0.7
"""Share of the crops that lie around the thing; the rest lie anywhere."""


class Pool:
    """Painted clips of at least 9 frames, from which crops are drawn."""

    def __init__(
        self, recipe: Recipe, name: str, count: int, frames: int = FRAMES, *, every: bool = False
    ) -> None:
        """`every` combination, or those that are not held out."""
        rng = generator(f"illustrated-{name}", 0)
        held_out = None if every else False
        scenes = [random_scene(rng, recipe.things, held_out=held_out) for _ in range(count)]
        self.clips: list[Clip] = [
            random_clip(rng, scene, anywhere=bool(rng.random() < 0.5)) for scene in scenes
        ]
        self.frames: list[Pixels] = list(paint(self.clips, frames, recipe.processes))

    def crops(self, rng: np.random.Generator, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """count x 1 and 2·count x 4 frames of CROP pixels."""
        ones, fours = [], []
        for _ in range(count):
            index = int(rng.integers(len(self.clips)))
            begin = int(rng.integers(len(self.frames[index]) - FRAMES + 1))
            x, y, _ = path_of(self.clips[index], len(self.frames[index]))[begin]
            if rng.random() < _AROUND:
                corner = np.array([y, x]) - CROP / 2 + rng.uniform(-CROP / 2, CROP / 2, 2)
            else:
                corner = rng.uniform(0, SIDE - CROP, 2)
            top, left = np.clip(corner, 0, SIDE - CROP).astype(int)
            cut = self.frames[index][begin : begin + FRAMES, top : top + CROP, left : left + CROP]
            crop = to_tensor(np.ascontiguousarray(cut))
            ones.append(crop[:1])
            fours.append(crop[1:].unflatten(0, (-1, _GROUP)))
        return torch.stack(ones), torch.cat(fours)


def train_vae(recipe: Recipe, pool: Pool, held: Pool) -> Any:
    """Train it, or finish or load what the folder holds; the latent statistics are in its config.

    `held` has clips that were not trained on.
    """
    torch.manual_seed(1)
    vae = new_vae(*recipe.size.vae).to(recipe.device)
    _train(recipe, "vae", vae, vae, pool, held)
    _measure_latents(recipe, vae, held)
    # The decoder alone, which leaves the latents as they are, also on how frames differ: without
    # it things move in steps of four frames.
    parts = nn.ModuleList([vae.decoder, vae.post_quant_conv])
    _train(recipe, "decoder", vae, parts, pool, held)
    return vae.eval().requires_grad_(False)


def _train(recipe: Recipe, stage: str, vae: Any, parts: Any, pool: Pool, held: Pool) -> None:
    optimizer = torch.optim.AdamW(parts.parameters(), lr=RATE, weight_decay=0.0)
    remember_rates([optimizer])
    state = {"parts": parts, "optimizer": optimizer}
    minutes = recipe.minutes_of(stage)
    training = Training(stage, recipe.folder, recipe.steps, state, minutes=minutes)
    batch = recipe.batch_of(BATCH)
    whole = stage == "vae"

    def do_step(step: int, rng: np.random.Generator) -> dict[str, float]:
        set_rate([optimizer], training.rate(step))
        loss = torch.zeros((), device=recipe.device)
        jerk = torch.zeros((), device=recipe.device)
        error = 0.0
        for group in pool.crops(rng, batch):
            frames = group.to(recipe.device)
            share = frames.shape[1] / (1 + _GROUP)
            with recipe.cast():
                with torch.set_grad_enabled(whole):
                    mean, spread = encode(vae, frames)
                latents = mean + torch.randn_like(mean) * (0.5 * spread).exp()
                wrong = decode(vae, latents, frames.shape[1]).float() - frames
            loss = loss + share * (wrong.abs().mean() + 2 * wrong.pow(2).mean())
            if whole:
                mean, spread = mean.float(), spread.float()
                kl = 0.5 * (mean.pow(2) + spread.exp() - 1 - spread).sum((1, 2, 3)).mean()
                loss = loss + share * _KL_WEIGHT * kl
            elif frames.shape[1] > 1:  # two groups in a row of each clip
                jerk = wrong.unflatten(0, (batch, -1)).flatten(1, 2).diff(dim=1).abs().mean()
            error += share * wrong.detach().pow(2).mean().item()
        optimizer.zero_grad()
        (loss + _JERK_WEIGHT * jerk).backward()
        nn.utils.clip_grad_norm_(parts.parameters(), 1.0)
        optimizer.step()
        return {"loss": loss.item(), "psnr_crops": -10 * float(np.log10(error / 4))}

    training.run(do_step, every=200, validate=lambda: {"psnr": ceiling(recipe, vae, held)})


@torch.no_grad()
def through(recipe: Recipe, vae: Any, frames: Pixels) -> torch.Tensor:
    """4k + 1 frames encoded and decoded: F x 3 x H x W in -1…1, on the CPU."""
    latents = encode_clip(vae, to_tensor(frames).to(recipe.device)).transpose(0, 1)
    first = decode(vae, latents[:1], 1)[0]
    rest = decode(vae, latents[1:], _GROUP).flatten(0, 1)
    return torch.cat([first, rest]).clamp(-1, 1).cpu()


def ceiling(recipe: Recipe, vae: Any, held: Pool) -> float:
    """PSNR in dB of whole frames of 20 clips."""
    pairs = [(through(recipe, vae, f), to_tensor(f)) for f in held.frames[:20]]
    errors = [float((again - frames).pow(2).mean()) for again, frames in pairs]
    return round(-10 * float(np.log10(np.mean(errors) / 4)), 2)


@torch.no_grad()
def _measure_latents(recipe: Recipe, vae: Any, held: Pool) -> None:
    """Mean and deviation of each channel, which the pipelines scale by, go into the config."""
    latents = torch.cat(
        [encode_clip(vae, to_tensor(f).to(recipe.device)) for f in held.frames], dim=1
    )
    mean, deviation = latents.mean((1, 2, 3)), latents.std((1, 2, 3))
    vae.register_to_config(
        latents_mean=[round(value, 5) for value in mean.tolist()],
        latents_std=[round(value, 5) for value in deviation.tolist()],
    )
