"""From decoded tensors to 8-bit frames, and the check that they are numbers at all."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from pipelines.backends.base import Frame
from pipelines.errors import BadFramesError
from pipelines.schema.sizes import Size


def check_finite(tensor: torch.Tensor, what: str) -> None:
    """Raises BadFramesError if any value is NaN or infinite."""
    if not bool(torch.isfinite(tensor).all()):
        raise BadFramesError(
            f"the chunk's {what} hold NaN or infinite numbers and were thrown away; "
            "try another seed or dtype (REELWRIGHT_DTYPE=float32)"
        )


def check_shape(video: torch.Tensor, size: Size, frames: int) -> None:
    """Raises BadFramesError unless `video` (1 x 3 x F x H x W) is `frames` frames of `size`.

    Pipelines round lengths and sides that they cannot make without saying so.
    """
    found = (video.shape[2], video.shape[4], video.shape[3])
    if found != (frames, size.width, size.height):
        raise BadFramesError(
            f"the model made {found[0]} frames of {found[1]}*{found[2]} instead of {frames} of "
            f"{size}, and they were thrown away; choose a size and a length that it offers"
        )


_GROUP = 128 * 1024 * 1024
"""Bytes of frames that leave the device at once: more than 81 frames of 832*480 have."""


def to_frames(video: torch.Tensor) -> Iterator[Frame]:
    """Yield the frames of `video` (1 x 3 x F x H x W in -1…1) as RGB, rounded to 8 bits.

    They become 8-bit numbers on the device and leave it in groups of up to 128 MiB, each by one
    copy into pinned memory. Raises BadFramesError if any value is NaN or infinite.
    """
    check_finite(video, "frames")
    count, height, width = video.shape[2:]
    at_once = max(1, _GROUP // (3 * height * width))
    for start in range(0, count, at_once):
        yield from _to_host(video[0, :, start : start + at_once])


def _to_host(video: torch.Tensor) -> npt.NDArray[np.uint8]:
    """`video` (3 x F x H x W) as F x H x W x 3 in the host's memory."""
    colours, count, height, width = video.shape
    shape = (count, height, width, colours)
    made = torch.empty(shape, dtype=torch.uint8, device=video.device)
    # Frame by frame, because the numbers in between have four bytes.
    for index in range(count):
        frame = (video[:, index].float().clamp(-1, 1) + 1) * 127.5
        made[index] = frame.round().to(torch.uint8).permute(1, 2, 0)
    if made.device.type == "cpu":
        return made.numpy()
    host = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
    # Blocking: numpy reads the memory as soon as it has the array.
    return host.copy_(made).numpy()
