"""Teaches the decoder where things are in each of the four frames of a latent frame.

On pixels alone it learned to draw all four alike: after 5,500 steps they differed by 2 of 255. How
far a thing has moved in a frame is its speed times the frame's time. As long as the decoder uses
neither of the two, the gradient of each is zero. So what the decoder knows of the cells after each
of its two splits in time is taught directly: for each half it must be what the same decoder knows
when the latents say that the thing is where it is in that half.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from pipelines.training.codec import first_level, next_level, split
from pipelines.training.dataset import PAINTED_FRAMES, Painted
from pipelines.training.layout import CAMERA, GROUP, GROWTH, MASK, WAY, lay_out_at
from pipelines.training.loop import descend, generator, remember_rates, set_rate, wait_for
from pipelines.training.muon import Muon
from pipelines.training.setup import Recipe

RATE = 2e-3
_BATCH = 12
_HALVES, _QUARTERS = (-1.0, 1.0), (-1.5, -0.5, 0.5, 1.5)
"""Frames from the middle of four to the middle of each half, and of each quarter."""
_CLIPS = 1800
_CHUNK = 60
"""Clips at once where nothing is learned."""
_PROBED = 4
_THING, _ELSEWHERE = 2.3, 0.3
"""Weights of the thing's cells and of the others."""


@dataclass
class Lesson:
    """What goes in, and what must come out of the split."""

    inputs: torch.Tensor
    targets: torch.Tensor
    """N x 2 x channels x h x w."""
    weights: torch.Tensor
    """N x 1 x h x w."""
    draw: Callable[[torch.Tensor], torch.Tensor]
    """The split of some inputs by the decoder that learns."""
    also: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None
    """A further loss, of what was drawn of which inputs."""

    def loss(self, drawn: torch.Tensor, picks: torch.Tensor) -> torch.Tensor:
        """Errors of the mean of two halves and of their difference, each in its own variance: the
        difference would count next to nothing otherwise."""
        wanted, weights = self.targets[picks].float(), self.weights[picks]
        loss = torch.zeros((), device=drawn.device)
        for sign in (1, -1):
            seen = (drawn[:, 0] + sign * drawn[:, 1]) / 2
            true = (wanted[:, 0] + sign * wanted[:, 1]) / 2
            scale = true.var((0, 2, 3)).mean() if sign == 1 else true.pow(2).mean()
            loss = loss + (weights * (seen - true) ** 2).mean() / scale
        return loss + self.also(drawn, picks) if self.also else loss


def train_motion(recipe: Recipe, vae: Any, pool: Painted) -> None:
    """Both splits, or finish or load what the folder holds. The vae has the trained decoder."""
    teacher = copy.deepcopy(vae).requires_grad_(False)
    nn.ModuleList([teacher.decoder, teacher.post_quant_conv]).load_state_dict(
        wait_for(recipe.folder, "decoder")["parts"]
    )
    for block in teacher.decoder.up_blocks[:2]:
        _same_halves(block.upsamplers[0].time_conv)
    latents = cache(partial(_displaced, pool, recipe.device))
    blocks = vae.decoder.up_blocks
    first = [vae.post_quant_conv, vae.decoder.conv_in, vae.decoder.mid_block, blocks[0].resnets]
    first.append(blocks[0].upsamplers[0].time_conv)
    channels = blocks[0].upsamplers[0].resample[1].in_channels
    torch.manual_seed(5)  # a resumed training begins with the same probe
    probe = nn.Conv2d(channels, _PROBED, 1).to(recipe.device)
    lesson = partial(_halves, vae, teacher, latents, probe)
    _learn(recipe, "halves", [*first, probe], lesson)
    second = [
        blocks[0].upsamplers[0].resample,
        blocks[1].resnets,
        blocks[1].upsamplers[0].time_conv,
    ]
    _learn(recipe, "quarters", second, partial(_quarters, vae, teacher, latents))


def optimizers_for_kernels(parts: nn.Module) -> list[torch.optim.Optimizer]:
    """Muon for the kernels: 18.4 dB after 200 steps of the decoder, where AdamW had 15.8."""
    kernels = [p for p in parts.parameters() if p.ndim >= 4 and min(p.shape[:2]) > 1]
    chosen = {id(p) for p in kernels}
    others = [p for p in parts.parameters() if id(p) not in chosen]
    optimizers: list[torch.optim.Optimizer] = [
        Muon(kernels, lr=RATE),
        torch.optim.AdamW(others, lr=RATE, betas=(0.9, 0.98), weight_decay=0.0),
    ]
    remember_rates(optimizers)
    return optimizers


def _same_halves(layer: nn.Conv3d) -> None:
    """Both halves get the mean of what they have: a teacher moves nothing by itself."""
    with torch.no_grad():
        for part in (layer.weight, layer.bias):
            assert part is not None
            part.copy_(torch.cat([part.unflatten(0, (2, -1)).mean(0)] * 2))


def _displaced(pool: Painted, device: torch.device) -> dict[float, torch.Tensor]:
    """Latents of four frames each, by how far from their middle things are."""
    rng = generator("motion", 0)
    times = (0.0, *_HALVES, *_QUARTERS)
    groups = (PAINTED_FRAMES - 1) // GROUP
    rows = [
        lay_out_at(pool.clips[pick], PAINTED_FRAMES, int(rng.integers(1, groups + 1)), times)
        for pick in pool.trained[:_CLIPS].tolist()
    ]
    stacked = torch.from_numpy(np.stack(rows).astype(np.float16)).to(device)
    return {time: stacked[:, index] for index, time in enumerate(times)}


def _weights(latents: torch.Tensor, scale: int) -> torch.Tensor:
    mask = latents[:, MASK : MASK + 1].float()
    return _ELSEWHERE + (_THING - _ELSEWHERE) * functional.interpolate(mask, scale_factor=scale)


@torch.no_grad()
def _in_parts(work: Callable[[torch.Tensor], torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
    return torch.cat([work(part.float()).half() for part in inputs.split(_CHUNK)])


def _halves(
    vae: Any, teacher: Any, latents: Callable[[], dict[float, torch.Tensor]], probe: nn.Module
) -> Lesson:
    """Of four frames' latents, the first level where things are in each half.

    A single frame, which is not split, must be drawn as before; and the ways must still be read off
    each half (by `probe`), for the second split needs them.
    """
    whole = latents()[0.0]
    targets = [
        _in_parts(lambda x: split(teacher, 0, first_level(teacher, x))[:, 0], latents()[time])
        for time in _HALVES
    ]
    still, ways = whole.clone(), torch.cat([whole[:, WAY], whole[:, (GROWTH, CAMERA)]], dim=1)
    still[:, WAY], still[:, GROWTH], still[:, CAMERA] = 0, 0, 0
    before = _in_parts(lambda x: first_level(teacher, x), still)
    usual = before.float().var((0, 2, 3)).mean()

    def also(drawn: torch.Tensor, picks: torch.Tensor) -> torch.Tensor:
        again = first_level(vae, still[picks].float())
        kept = (again.float() - before[picks].float()).pow(2).mean() / usual
        return kept + 0.5 * (probe(drawn[:, 0]) - ways[picks].float()).pow(2).mean()

    return Lesson(
        whole,
        torch.stack(targets, dim=1),
        _weights(whole, 1),
        lambda x: split(vae, 0, first_level(vae, x)),
        also,
    )


def _quarters(vae: Any, teacher: Any, latents: Callable[[], dict[float, torch.Tensor]]) -> Lesson:
    """The halves as the decoder has learned them; the second level where things are in each
    quarter."""

    def level(x: torch.Tensor) -> torch.Tensor:
        half = split(teacher, 0, first_level(teacher, x))[:, 0]
        return split(teacher, 1, next_level(teacher, 1, half))[:, 0]

    halves = _in_parts(lambda x: split(vae, 0, first_level(vae, x)), latents()[0.0])
    quarters = torch.stack([_in_parts(level, latents()[time]) for time in _QUARTERS], dim=1)
    return Lesson(
        halves.flatten(0, 1),
        quarters.unflatten(1, (2, 2)).flatten(0, 1),
        _weights(latents()[0.0], 2).repeat_interleave(2, dim=0),
        lambda x: split(vae, 1, next_level(vae, 1, x)),
    )


def _learn(
    recipe: Recipe, stage: str, parts: Sequence[nn.Module], make: Callable[[], Lesson]
) -> None:
    modules = nn.ModuleList(parts).requires_grad_(True)
    optimizers = optimizers_for_kernels(modules)
    training = recipe.training(stage, {"parts": modules}, optimizers)
    if training.is_finished:
        return
    lesson = make()

    def do_step(step: int, rng: np.random.Generator) -> dict[str, Any]:
        set_rate(optimizers, training.rate(step))
        numbers = rng.integers(len(lesson.inputs), size=recipe.batch_of(_BATCH))
        picks = torch.from_numpy(numbers).to(lesson.inputs.device)
        with recipe.cast():
            drawn = lesson.draw(lesson.inputs[picks].float())
        loss = lesson.loss(drawn.float(), picks)
        descend(loss, modules.parameters(), optimizers)
        return {"loss": loss.detach()}

    training.run(do_step, every=recipe.every)
