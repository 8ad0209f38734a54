"""The scorecard's eyes: a small classifier of true clips, trained apart from the model.

It sees pairs of frames two apart, so that the way of a camera can be told from one pair, at five
instants of a clip. It says thing, colour, movement and background, and where the thing is in
every frame. The movement is told from how place and radius change, and from what all pairs have in
common: a head that got the features of every instant by themselves learnt nothing of it in 400
steps. True clips are blurred and noised in its training: what it is asked about later comes out of
a VAE.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from pipelines.training.codec import to_tensor
from pipelines.training.dataset import PAINTED_FRAMES, Painted
from pipelines.training.loop import descend, remember_rates, set_rate, wait_for
from pipelines.training.places import SIDE
from pipelines.training.setup import Recipe
from pipelines.training.text import CLASSES, labels_of
from pipelines.training.world import Pixels, Scene, path_of

INSTANTS = 5
_APART = 2
_BATCH = 24
_RATE = 2e-3
_WIDTH = 64
_USUAL_CHANGE = 8.0
"""Pixels of way from instant to instant, for inputs of about 1."""
Floats = npt.NDArray[np.float32]


class Classifier(nn.Module):
    """0.2 million parameters."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 6
        for width, stride in ((32, 2), (48, 2), (_WIDTH, 2), (_WIDTH, 1), (_WIDTH, 1)):
            layers += [nn.Conv2d(channels, width, 3, stride, 1), nn.GroupNorm(8, width), nn.SiLU()]
            channels = width
        self.trunk = nn.Sequential(*layers)
        self.place = nn.Conv2d(_WIDTH, 1, 1)
        self.offset = nn.Conv2d(_WIDTH, 3, 1)
        pooled = 3 * _WIDTH
        self.heads = nn.ModuleDict(
            {
                name: nn.Linear(pooled, len(values) - 1)
                for name, values in zip(Scene._fields, CLASSES, strict=True)
                if name not in {"movement", "colour"}
            }
        )
        self.heads["colour"] = nn.Linear(pooled, len(CLASSES[1]))
        changes = 3 * (INSTANTS - 1)
        self.movement = nn.Sequential(
            nn.Linear(pooled + changes, 96), nn.SiLU(), nn.Linear(96, len(CLASSES[2]) - 1)
        )

    def look(self, pairs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features (N x 3·_WIDTH) and x, y, radius in pixels (N x 3) of N x 6 x SIDE x SIDE."""
        maps = self.trunk(pairs)
        share = self.place(maps).flatten(2).softmax(-1)
        there = (maps.flatten(2) * share).sum(-1)
        features = torch.cat([maps.mean((2, 3)), maps.amax((2, 3)), there], dim=1)
        step = SIDE / maps.shape[-1]
        grid = (torch.arange(maps.shape[-1], device=maps.device) + 0.5) * step
        down, across = torch.meshgrid(grid, grid, indexing="ij")
        centre = torch.stack([across.flatten(), down.flatten()]).unsqueeze(0)
        offset = self.offset(maps).flatten(2)
        spot = ((centre + step * offset[:, :2]) * share).sum(-1)
        radius = 20 + 8 * (offset[:, 2:] * share).sum(-1)
        return features, torch.cat([spot, radius], dim=1)

    def forward(self, clips: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Logits in the order of Scene and tracks (B x INSTANTS x 3) of B x INSTANTS x 6 x …"""
        features, tracks = self.look(clips.flatten(0, 1))
        features = features.unflatten(0, (-1, INSTANTS))
        tracks = tracks.unflatten(0, (-1, INSTANTS))
        mean = features.mean(1)
        logits = {name: head(mean) for name, head in self.heads.items()}
        changes = (tracks[:, 1:] - tracks[:, :1]).flatten(1) / _USUAL_CHANGE
        logits["movement"] = self.movement(torch.cat([mean, changes], dim=1))
        return [logits[name] for name in Scene._fields], tracks


@dataclass(frozen=True)
class Answer:
    """What was seen, and where the thing was."""

    scene: Scene
    path: Floats
    """F x 3 (x, y, radius in pixels); of the last two frames the one before is repeated."""


def instants(frames: torch.Tensor) -> torch.Tensor:
    """INSTANTS pairs of F x 3 x SIDE x SIDE frames, F at least 7: INSTANTS x 6 x SIDE x SIDE."""
    return torch.stack([torch.cat([frames[i], frames[i + _APART]]) for i in _times(len(frames))])


def windows(frames: int) -> list[slice]:
    """Parts of PAINTED_FRAMES that together hold all of a longer clip.

    The classifier has seen no longer clips: at five instants of 33 frames a thing that moves up and
    down looks as if it stood still, or grew.
    """
    count = max(1, -(-(frames - 1) // (PAINTED_FRAMES - 1)))
    free = max(0, frames - PAINTED_FRAMES)
    starts = [round(free * index / max(1, count - 1)) for index in range(count)]
    return [slice(start, start + PAINTED_FRAMES) for start in starts]


def _times(frames: int) -> list[int]:
    """The first frames of the pairs."""
    last = frames - 1 - _APART
    return [round(last * index / (INSTANTS - 1)) for index in range(INSTANTS)]


@torch.no_grad()
def classify(classifier: Classifier, frames: Pixels) -> Answer:
    """Look at F x SIDE x SIDE x 3 frames; what the windows of a longer clip say counts together."""
    pixels = to_tensor(frames)
    logits, _ = classifier(torch.stack([instants(pixels[part]) for part in windows(len(frames))]))
    values = [int(part.log_softmax(-1).sum(0).argmax()) for part in logits]
    # The class "not named" is a value of colour alone: a thing's own colours.
    named = [
        CLASSES[index][value if index == 1 else value + 1] for index, value in enumerate(values)
    ]
    _, path = classifier.look(torch.cat([pixels[:-_APART], pixels[_APART:]], dim=1))
    return Answer(Scene(*named), np.concatenate([path.numpy(), *[path[-1:].numpy()] * _APART]))


def train_classifier(recipe: Recipe, pool: Painted, held: Painted) -> None:
    """Train it, or finish what the folder holds. `held` has clips to check it."""
    torch.manual_seed(4)
    classifier = Classifier().to(recipe.device)
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=_RATE, weight_decay=0.01)
    remember_rates([optimizer])
    training = recipe.training("classifier", {"classifier": classifier}, [optimizer])
    labels, paths = _truth(pool, recipe.device)

    def do_step(step: int, rng: np.random.Generator) -> dict[str, Any]:
        set_rate([optimizer], training.rate(step))
        count = recipe.batch_of(_BATCH)
        picks = torch.from_numpy(rng.integers(len(pool.clips), size=count)).to(recipe.device)
        seen = _spoiled(_pairs(pool.frames[picks]), rng)
        with recipe.cast():
            logits, tracks = classifier(seen)
        loss = _loss(logits, tracks.float(), labels[picks], paths[picks])
        descend(loss, classifier.parameters(), [optimizer])
        return {"loss": loss.detach()}

    def validate() -> dict[str, float]:
        return accuracy(classifier, held, recipe.device)

    training.run(do_step, every=recipe.every, validate=validate)


def trained_classifier(recipe: Recipe) -> Classifier:
    """From the folder's state; waits until another process has trained it."""
    classifier = Classifier()
    classifier.load_state_dict(wait_for(recipe.folder, "classifier")["classifier"])
    return classifier.eval().requires_grad_(False)


def _truth(pool: Painted, device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels (N x attributes) and the way of the thing at the instants (N x INSTANTS x 3)."""
    labels = torch.tensor([labels_of(clip.scene) for clip in pool.clips])
    times = _times(PAINTED_FRAMES)
    paths = np.stack([path_of(clip, PAINTED_FRAMES)[times] for clip in pool.clips])
    return labels.to(device), torch.from_numpy(paths).to(device)


def _pairs(frames: torch.Tensor) -> torch.Tensor:
    """INSTANTS pairs of N x F x SIDE x SIDE x 3 frames in 0…255: N x INSTANTS x 6 x SIDE x SIDE."""
    times = torch.tensor(_times(frames.shape[1]), device=frames.device)
    both = torch.stack([frames[:, times], frames[:, times + _APART]], dim=2)
    return both.permute(0, 1, 2, 5, 3, 4).flatten(2, 3).float() / 127.5 - 1


def _spoiled(seen: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Blurred by up to 3 pixels and noised, as a VAE and a young model do."""
    if rng.random() < 0.6:
        side = int(rng.integers(SIDE // 3, SIDE))
        small = functional.interpolate(seen.flatten(0, 1), size=side, mode="area")
        seen = functional.interpolate(small, size=SIDE, mode="bilinear").view_as(seen)
    return seen + float(rng.uniform(0, 0.15)) * torch.randn_like(seen)


def _loss(
    logits: list[torch.Tensor], tracks: torch.Tensor, labels: torch.Tensor, paths: torch.Tensor
) -> torch.Tensor:
    loss = torch.zeros((), device=tracks.device)
    for index, part in enumerate(logits):
        wanted = labels[:, index] - (0 if index == 1 else 1)
        loss = loss + functional.cross_entropy(part.float(), wanted)
    inside = ((paths[..., :2] > 0) & (paths[..., :2] < SIDE)).all(-1)
    return loss + 0.1 * (tracks - paths).abs().mean(-1)[inside].mean()


@torch.no_grad()
def accuracy(classifier: Classifier, held: Painted, device: Any) -> dict[str, float]:
    """Shares of right answers and the mean error of the place in pixels, on unseen true clips."""
    labels, paths = _truth(held, device)
    right, errors = [], []
    for start in range(0, len(held.clips), 50):
        part = slice(start, start + 50)
        logits, tracks = classifier(_pairs(held.frames[part]))
        guesses = [answers.argmax(-1) + (index != 1) for index, answers in enumerate(logits)]
        right.append(torch.stack(guesses, 1) == labels[part])
        inside = ((paths[part][..., :2] > 0) & (paths[part][..., :2] < SIDE)).all(-1)
        errors.append((tracks - paths[part])[..., :2].norm(dim=-1)[inside])
    shares = torch.cat(right).float().mean(0)
    return {
        **{name: round(float(shares[i]), 4) for i, name in enumerate(Scene._fields)},
        "pixels_off": round(float(torch.cat(errors).mean()), 3),
    }


def save_classifier(classifier: Classifier, path: Path) -> None:
    """In fp16, with the checkpoint."""
    save_file({k: v.half().cpu().contiguous() for k, v in classifier.state_dict().items()}, path)


def load_classifier(path: Path) -> Classifier:
    """As saved, in fp32 on the CPU."""
    classifier = Classifier()
    classifier.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    return classifier.eval().requires_grad_(False)
