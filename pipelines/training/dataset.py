"""Clips of the world as latents: made once, kept in a file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pipelines.training.codec import encode_clip, to_tensor
from pipelines.training.loop import generator
from pipelines.training.world import SIDE, Clip, Scene, Track, random_scene, random_track, render

FRAMES = 33
CLIPS = 9000
STILLS = 1500
_CENTRED = 0.65


@dataclass
class Encoded:
    """Scaled latents in fp16 (N x channels x frames x h x w) and what they show."""

    values: torch.Tensor
    scenes: list[Scene]

    def __len__(self) -> int:
        return len(self.scenes)


@dataclass
class Latents:
    """Everything the transformer is trained on."""

    clips: Encoded
    centred: npt.NDArray[np.int64]
    """Which of the clips cross the middle of the frame; the others start anywhere."""
    stills: Encoded


def encode_dataset(folder: Path, vae: Any, name: str, share: float = 1.0) -> Latents:
    """`share` of CLIPS and STILLS, other ones for every `name`; from the file if it is there."""
    rng = generator(name, 0)
    clips, centred, stills = [], [], []
    for index in range(round(share * CLIPS)):
        scene = random_scene(rng)
        anywhere = rng.random() > _CENTRED
        if not anywhere:
            centred.append(index)
        clips.append(Clip(scene, random_track(rng, scene.direction, anywhere=anywhere)))
    for _ in range(round(share * STILLS)):
        scene = random_scene(rng)
        x, y = SIDE / 2 + rng.uniform(-9, 9, 2)
        radius = random_track(rng, scene.direction, anywhere=True).radius
        stills.append(Clip(scene, Track(float(x), float(y), radius)))
    path = folder / f"{name}.latents.pt"
    if not path.exists():
        part = path.with_suffix(".part")
        values = [_encode(vae, clips, FRAMES), _encode(vae, stills, 1)]
        torch.save(values, part)
        part.replace(path)
    values = torch.load(path, weights_only=True)
    return Latents(
        clips=Encoded(values[0], [clip.scene for clip in clips]),
        centred=np.array(centred),
        stills=Encoded(values[1], [clip.scene for clip in stills]),
    )


@torch.no_grad()
def _encode(vae: Any, clips: list[Clip], frames: int) -> torch.Tensor:
    mean = torch.tensor(vae.config.latents_mean).view(-1, 1, 1, 1)
    deviation = torch.tensor(vae.config.latents_std).view(-1, 1, 1, 1)
    return torch.stack(
        [
            ((encode_clip(vae, to_tensor(render(clip, frames))) - mean) / deviation).half()
            for clip in clips
        ]
    )
