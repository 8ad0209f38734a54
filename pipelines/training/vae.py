"""Training of the demo model's VAE: the decoder draws latents, the encoder reads them.

The latents are computed from the scene (`layout`), so both are trained apart, with the arithmetic
of `training.codec`. The encoder comes last: it is trained on true frames, and on frames that the
finished decoder drew.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from pipelines.training.codec import decode, encode, encode_clip, new_vae
from pipelines.training.dataset import Around, Painted, load_painted, some_latents
from pipelines.training.layout import CHANNELS, DETAIL, GROUP, MASK, PLACE
from pipelines.training.loop import descend, set_rate, wait_for
from pipelines.training.motion import optimizers_for_kernels, train_motion
from pipelines.training.setup import Recipe

WIDTHS, BLOCKS = (1, 2, 2), 1
_JERK_WEIGHT = 3.0
_EDGE_WEIGHT = 0.5
AROUND = 7
"""Cells of the side of the squares around things."""
_RIM = 4
"""Pixels at the rim of such a square that see less than they would in a whole frame."""
_NOISE = 0.15
"""Most noise on the latents that the decoder is trained on, in their deviations."""
_SINGLE = 0.7
"""Share of the sharpening steps on single frames, the first ones of clips. The four frames of a
group look nearly alike, so the same number of frames from different clips shows more. The other
steps draw groups of four, which teach where things are in each frame."""
_AGAIN_WEIGHT = 2.0
_HIDDEN = 0.9
"""How much less a mistake about the place counts where the thing hides it."""


def vae_of(recipe: Recipe) -> Any:
    """Untrained."""
    torch.manual_seed(1)
    vae = new_vae(*recipe.size.vae, channels=CHANNELS, widths=WIDTHS, blocks=BLOCKS)
    with torch.no_grad():  # the encoder's spread is not trained: next to none
        vae.quant_conv.weight[CHANNELS:] = 0
        vae.quant_conv.bias[CHANNELS:] = -12
    return vae.to(recipe.device)


def train_vae(recipe: Recipe) -> None:
    """Train it, or finish what the folder holds."""
    pool, held = load_painted(recipe), load_painted(recipe, held=True)
    vae = vae_of(recipe)
    _measure_latents(vae, some_latents(recipe))
    parts = nn.ModuleList([vae.decoder, vae.post_quant_conv])
    _train(recipe, "decoder", vae, parts, pool, held)
    train_motion(recipe, vae, pool)
    _train(recipe, "sharpen", vae, parts, pool, held)
    parts.requires_grad_(False)
    _train(recipe, "encoder", vae, nn.ModuleList([vae.encoder, vae.quant_conv]), pool, held)


def scaled_vae(recipe: Recipe) -> Any:
    """Untrained, but with the latents' statistics."""
    vae = vae_of(recipe)
    _measure_latents(vae, some_latents(recipe))
    return vae


def finished_vae(recipe: Recipe) -> Any:
    """From the folder's states; waits until another process has trained them."""
    vae = scaled_vae(recipe)
    decoder = nn.ModuleList([vae.decoder, vae.post_quant_conv])
    decoder.load_state_dict(wait_for(recipe.folder, "sharpen")["parts"])
    encoder = nn.ModuleList([vae.encoder, vae.quant_conv])
    encoder.load_state_dict(wait_for(recipe.folder, "encoder")["parts"])
    return vae.eval().requires_grad_(False)


def scales_of(vae: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of the latents, CHANNELS x 1 x 1."""
    mean, deviation = vae.config.latents_mean, vae.config.latents_std
    device = vae.quant_conv.weight.device
    return (
        torch.tensor(mean, device=device).view(-1, 1, 1),
        torch.tensor(deviation, device=device).view(-1, 1, 1),
    )


def _train(
    recipe: Recipe, stage: str, vae: Any, parts: nn.Module, pool: Painted, held: Painted
) -> None:
    optimizers = optimizers_for_kernels(parts)
    training = recipe.training(stage, {"parts": parts}, optimizers)
    size = recipe.size
    scales = scales_of(vae)

    def losses(rng: np.random.Generator) -> Iterator[tuple[float, torch.Tensor, torch.Tensor]]:
        """Shares, losses, and what is wrong in the pixels."""
        if stage == "sharpen":
            group = 1 if rng.random() < _SINGLE else GROUP
            part = pool.around(rng, 2 * size.vae_batch * GROUP // group, AROUND, group)
            yield 1.0, *_sharpening_loss(vae, part, scales)
            return
        loss_of = _drawing_loss if stage == "decoder" else _reading_loss
        for frames, latents in pool.crops(rng, size.vae_batch, size.crop, size.groups):
            share = frames.shape[1] / (1 + GROUP)
            yield share, *loss_of(vae, frames, latents, scales, size.groups)

    def do_step(step: int, rng: np.random.Generator) -> dict[str, Any]:
        set_rate(optimizers, training.rate(step))
        loss = torch.zeros((), device=recipe.device)
        error = torch.zeros((), device=recipe.device)
        with recipe.cast():
            for share, part, wrong in losses(rng):
                loss = loss + share * part
                error = error + share * wrong.detach().pow(2).mean()
        descend(loss, parts.parameters(), optimizers)
        return {"loss": loss.detach(), "error": error}

    training.run(do_step, every=recipe.every, validate=lambda: _check(vae, held, stage))


def _drawing_loss(
    vae: Any,
    frames: torch.Tensor,
    latents: torch.Tensor,
    scales: tuple[torch.Tensor, torch.Tensor],
    groups: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss and what is wrong in the pixels."""
    wrong = decode(vae, _noisy(latents, scales), frames.shape[1]).float() - frames
    return _pixel_loss(wrong, groups), wrong


def _noisy(latents: torch.Tensor, scales: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """As the transformer makes them: never exact."""
    level = _NOISE * torch.rand(len(latents), 1, 1, 1, device=latents.device)
    return latents + level * scales[1] * torch.randn_like(latents)


def _sharpening_loss(
    vae: Any, part: Around, scales: tuple[torch.Tensor, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss and what is wrong in the pixels around the thing, less the rim of the square where
    it is not the rim of the frame."""
    noisy = _noisy(part.latents, scales)
    drawn = decode(vae, noisy, part.frames.shape[1], part.cut).float()
    seen = part.seen(_RIM)
    wrong = (drawn - part.frames) * seen
    return _pixel_loss(wrong, 1, seen) / seen.mean(), wrong


def _pixel_loss(wrong: torch.Tensor, groups: int, seen: torch.Tensor | None = None) -> torch.Tensor:
    """Of N x F x 3 x H x W: levels, edges, and how frames differ, over `groups` in a row too.

    Where `seen` (N x 1 x 1 x H x W) is 0, `wrong` is 0 and nothing counts.
    """
    loss = wrong.abs().mean() + 2 * wrong.pow(2).mean()
    for axis in (-1, -2):
        edges = wrong.diff(dim=axis).abs()
        if seen is not None:
            edges = edges * (seen.diff(dim=axis) == 0)
        loss = loss + _EDGE_WEIGHT * edges.mean()
    if wrong.shape[1] > 1:  # else things move in steps of four frames
        row = wrong.unflatten(0, (-1, groups)).flatten(1, 2)
        loss = loss + _JERK_WEIGHT * row.diff(dim=1).abs().mean()
    return loss


def _reading_loss(
    vae: Any,
    frames: torch.Tensor,
    latents: torch.Tensor,
    scales: tuple[torch.Tensor, torch.Tensor],
    groups: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss and what is wrong in the pixels after the decoder has drawn what was read.

    The second half of the frames is drawn by the decoder, because a chunk that goes on from another
    one is given a frame that was drawn: the last one of four.
    """
    half, group = len(frames) // 2, frames.shape[1]
    with torch.no_grad():
        drawn = decode(vae, _noisy(latents[half:], scales), group).float().clamp(-1, 1)
    shown = torch.cat([frames[:half], drawn])
    mean, _ = encode(vae, shown)
    apart = (mean.float() - latents) / scales[1]
    weight = torch.ones_like(apart)
    hidden = 1 - _HIDDEN * latents[:, MASK : MASK + 1].clamp(0, 1)
    weight[:, PLACE], weight[:, DETAIL] = hidden, hidden
    wrong = decode(vae, mean, group).float() - shown
    loss = (
        weight * functional.smooth_l1_loss(apart, torch.zeros_like(apart), reduction="none")
    ).mean()
    loss = loss + _pixel_loss(wrong, groups)
    if group > 1:
        last = drawn[:, -1:]
        again = decode(vae, encode(vae, last)[0], 1).float() - last
        loss = loss + _AGAIN_WEIGHT * _pixel_loss(again, 1)
    return loss, wrong


@torch.no_grad()
def _check(vae: Any, held: Painted, stage: str) -> dict[str, float]:
    """PSNR in dB of whole frames of 20 clips: of true latents, or of those that were read."""
    errors = []
    for index in range(min(20, len(held.frames))):
        frames = held.frames[index].permute(0, 3, 1, 2).float() / 127.5 - 1
        if stage != "encoder":
            again = _decode_clip(vae, held.latents[index].float())
        else:
            again = _decode_clip(vae, encode_clip(vae, frames).transpose(0, 1))
        errors.append(float((again - frames).pow(2).mean()))
    return {"psnr": round(-10 * float(np.log10(np.mean(errors) / 4)), 2)}


def _decode_clip(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """L x CHANNELS x h x w to F x 3 x H x W in -1…1."""
    first = decode(vae, latents[:1], 1)[0]
    return torch.cat([first, decode(vae, latents[1:], GROUP).flatten(0, 1)]).clamp(-1, 1)


@torch.no_grad()
def seen_again(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """First latent frames (N x CHANNELS x h x w) as they are after they were drawn and read: what
    a chunk that continues another one is given."""
    again = []
    for part in latents.split(500):
        mean, _ = encode(vae, decode(vae, part.float(), 1).clamp(-1, 1))
        again.append(mean.to(latents.dtype))
    return torch.cat(again)


def _measure_latents(vae: Any, latents: torch.Tensor) -> None:
    """Mean and deviation of each channel, which the pipelines scale by, go into the config."""
    some = latents.float().transpose(0, 2).flatten(1)
    vae.register_to_config(
        latents_mean=[round(value, 5) for value in some.mean(1).tolist()],
        latents_std=[round(value, 5) for value in some.std(1).tolist()],
    )
