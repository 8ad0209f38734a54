"""From decoded tensors to 8-bit frames, and the check that they are numbers at all."""

from collections.abc import Iterator

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


def to_frames(video: torch.Tensor) -> Iterator[Frame]:
    """Yield the frames of `video` (1 x 3 x F x H x W in -1…1) as RGB, rounded to 8 bits.

    Raises BadFramesError if any value is NaN or infinite.
    """
    check_finite(video, "frames")
    for index in range(video.shape[2]):
        frame = (video[0, :, index].float().clamp(-1, 1) + 1) * 127.5
        yield frame.round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
