"""How many frames go through the upscaler at once, and in which tiles, from fast to least memory.

Fewer frames at a time give the same picture, but for rounding, so they come before tiles, which are
approximate for a large network.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.schema.sizes import Size

APPROXIMATE_PAD = 48
"""Pixels around a tile of RRDBNet. Its receptive field (about 348 pixels) is too large for a tile;
with this pad the result is within 2/255."""
_TILES = (512, 256, 128)
"""Sides of tiles that are tried in this order when a whole frame does not fit into memory."""
_LARGE_PIXEL = 2 * 64
"""Values of an enlarged pixel at the peak: two tensors of RRDBNet's 64 channels."""
_HEADROOM = 1.1
"""For cuDNN's workspace and what the allocator cannot use."""


@dataclass(frozen=True)
class Way:
    """`batch` frames at once, in tiles of `tile` pixels, or whole if that is 0."""

    batch: int
    tile: int = 0

    def __str__(self) -> str:
        frames = f"{self.batch} frames" if self.batch > 1 else "1 frame"
        return f"{frames} in tiles of {self.tile} pixels" if self.tile else frames

    def workspace(
        self, size: Size, scale: int, value_bytes: int, pad: int = APPROXIMATE_PAD
    ) -> int:
        """Bytes beside the weights for frames of `size`, with headroom. `pad` are the pixels around
        a tile, `value_bytes` the width of the network's numbers."""
        seen = size
        if self.tile:
            side = self.tile + 2 * pad
            seen = Size(min(size.width, side), min(size.height, side))
        return int(_HEADROOM * workspace_bytes(seen, self.batch, scale, value_bytes))


def workspace_bytes(size: Size, batch: int, scale: int, value_bytes: int = 2) -> int:
    """Bytes beside the weights while a network by `scale` enlarges `batch` frames of `size`.

    `value_bytes` is the width of its numbers: 2 for float16, 4 for float32. Peaks of x4plus in
    float16, simulated in GB of live tensors: 832*480 6.5 for 4 frames and 1.6 for one, 1280*720
    15.1 and 3.8. A compact network takes less.
    """
    return size.width * size.height * scale**2 * batch * _LARGE_PIXEL * value_bytes


def ways_for(
    size: Size,
    asked: Way,
    scale: int,
    value_bytes: int,
    pad: int = APPROXIMATE_PAD,
    *,
    free: int,
) -> list[Way]:
    """The ways for frames of `size`, from the first one that fits `free` bytes on: `asked`, then
    half as many frames each time, then single frames in tiles that are smaller than the frame.

    Tiles come first only if they were asked for: `workspace` is an estimate, and they change the
    picture a little. `value_bytes` and `pad` as in `workspace`.
    """
    batches = [Way(count, asked.tile) for count in _halves(asked.batch)]
    fits = (way for way in batches if way.workspace(size, scale, value_bytes, pad) <= free)
    first = next(fits, batches[-1])
    largest = asked.tile or max(size)
    tiles = [Way(1, side) for side in _TILES if side < largest]
    return batches[batches.index(first) :] + tiles


def _halves(batch: int) -> Iterator[int]:
    while batch:
        yield batch
        batch //= 2
