"""From the vocoder's samples to the sound of a clip."""

import torch

from pipelines.backends.base import Sound
from pipelines.backends.frames import check_finite
from pipelines.errors import BadFramesError

_TOLERANCE = 0.1
"""Seconds by which the model's sound may differ from the picture. It is 30 to 45 ms shorter: its
latents have 40 ms each and the first one makes a quarter of the others."""


def as_long_as_the_picture(samples: torch.Tensor, rate: int, frames: int, fps: int) -> Sound:
    """`samples` (channels x samples, any dtype) as exactly `frames` / `fps` seconds, the end
    filled with silence.

    Raises BadFramesError if a value is not finite, or the length is off by more than 0.1 s.
    """
    check_finite(samples, "sound samples")
    wanted, found = round(frames * rate / fps), samples.shape[-1]
    if abs(wanted - found) > _TOLERANCE * rate:
        raise BadFramesError(
            f"the model made {found / rate:.2f} s of sound for {frames / fps:.2f} s of picture, "
            f"more than {_TOLERANCE} s apart; the clip was thrown away; install the diffusers "
            "version that constraints.txt pins"
        )
    exact = torch.zeros(wanted, samples.shape[0])
    kept = samples[:, :wanted].float().clamp(-1, 1).cpu().T
    exact[: kept.shape[0]] = kept
    return Sound(exact.numpy(), rate)
