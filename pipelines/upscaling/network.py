"""A Real-ESRGAN network for frames: whole frames, or tiles that give the same picture.

On a CPU, single frames with channels-last memory are fastest, and batches are slower; on a GPU it
is the reverse. bfloat16 about doubles the speed of a CPU that supports it, and changes values by up
to 4/255.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import torch
from torch.nn import functional

from pipelines.backends.base import Frame
from pipelines.backends.memory import free_memory, is_out_of_memory
from pipelines.errors import UpscaleError, WeightsError
from pipelines.schema.sizes import Size

if TYPE_CHECKING:
    from spandrel import ImageModelDescriptor

APPROXIMATE_PAD = 48
"""Pixels around a tile of RRDBNet. Its receptive field (about 348 pixels) is too large for a tile;
with this pad the result is within 2/255."""
_TILES = (512, 256, 128)
"""Sides of tiles that are tried in this order when a whole frame does not fit into memory."""


_LARGE_PIXEL = 2 * 64
"""Values of an enlarged pixel at the peak: two tensors of RRDBNet's 64 channels."""


@dataclass(frozen=True)
class UpscaleOptions:
    """How frames go through the network. `tile` 0 means whole frames."""

    dtype: torch.dtype = torch.float32
    channels_last: bool = True
    batch: int = 1
    tile: int = 0


def workspace_bytes(size: Size, batch: int, scale: int, value_bytes: int = 2) -> int:
    """Bytes beside the weights while a network by `scale` enlarges `batch` frames of `size`.

    `value_bytes` is the width of its numbers: 2 for float16, 4 for float32. Peaks of x4plus in
    float16, simulated in GB of live tensors: 832*480 6.5 for 4 frames and 1.6 for one, 1280*720
    15.1 and 3.8. A compact network takes less.
    """
    return size.width * size.height * scale**2 * batch * _LARGE_PIXEL * value_bytes


class RealEsrgan:
    """The network in `weights` (.pth or .safetensors), of any architecture that spandrel knows."""

    def __init__(self, weights: Path, device: torch.device, options: UpscaleOptions) -> None:
        """Loads the weights. Raises WeightsError if they are not a known x2 or x4 network."""
        from spandrel import ImageModelDescriptor, ModelLoader

        try:
            model = ModelLoader().load_from_file(weights)
        except Exception as error:  # spandrel passes on any error of its readers
            raise WeightsError(f"the upscaler in {weights} does not load: {error}") from error
        if not isinstance(model, ImageModelDescriptor) or model.scale not in (2, 4):
            raise WeightsError(f"{weights} is not an upscaler by 2 or 4")
        self.scale: int = model.scale
        self._net = model.model.eval().to(device, options.dtype)
        self._format = torch.channels_last if options.channels_last else torch.contiguous_format
        self._net = self._net.to(memory_format=self._format)
        self._device = device
        self._options = options
        self._tile = options.tile
        self.tile_pad = _reach(model) or APPROXIMATE_PAD

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the network; the object cannot be used after that."""
        del self._net
        free_memory()

    @property
    def memory(self) -> Literal["whole", "tiled"]:
        """Whether frames are processed `whole` or `tiled`."""
        return "tiled" if self._tile else "whole"

    def upscale(self, frames: Iterable[Frame], factor: int) -> Iterator[Frame]:
        """Yield each frame `factor` times as wide and high.

        Raises UpscaleError if not even the smallest tiles fit into memory.
        """
        source = iter(frames)
        while group := list(islice(source, self._options.batch)):
            yield from self._upscale_group(np.stack(group), factor)

    def _upscale_group(self, frames: Frame, factor: int) -> Frame:
        while True:
            try:
                with torch.inference_mode():
                    return self._run(frames, factor)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                smaller = [side for side in _TILES if not self._tile or side < self._tile]
                if not smaller:
                    raise UpscaleError(
                        f"out of memory even with tiles of {self._tile} pixels; "
                        "upscale by less or free memory on the device"
                    ) from error
                self._tile = smaller[0]
                free_memory()

    def _run(self, frames: Frame, factor: int) -> Frame:
        source = torch.from_numpy(frames).to(self._device).permute(0, 3, 1, 2)
        pixels = source.to(self._options.dtype).div_(255).contiguous(memory_format=self._format)
        large = self._tiled(pixels) if self._tile else self._net(pixels)
        if factor != self.scale:
            side = [length * factor for length in frames.shape[1:3]]
            large = functional.interpolate(
                large.float(), size=side, mode="bicubic", antialias=True, align_corners=False
            )
        eight_bit = large.float().clamp_(0, 1).mul_(255).round_().to(torch.uint8)
        return eight_bit.permute(0, 2, 3, 1).contiguous().cpu().numpy()

    def _tiled(self, pixels: torch.Tensor) -> torch.Tensor:
        """Process tiles with `tile_pad` pixels around them, but none beyond the picture's edge.
        There, and only there, the network pads with zeros, as it does for the whole picture."""
        height, width = pixels.shape[2:]
        scale, side, pad = self.scale, self._tile, self.tile_pad
        result = pixels.new_empty(pixels.shape[0], 3, height * scale, width * scale)
        for top in range(0, height, side):
            for left in range(0, width, side):
                bottom, right = min(top + side, height), min(left + side, width)
                above, before = max(top - pad, 0), max(left - pad, 0)
                crop = pixels[:, :, above : bottom + pad, before : right + pad]
                large = self._net(crop.contiguous(memory_format=self._format))
                y, x = (top - above) * scale, (left - before) * scale
                high, wide = (bottom - top) * scale, (right - left) * scale
                result[:, :, top * scale : bottom * scale, left * scale : right * scale] = large[
                    :, :, y : y + high, x : x + wide
                ]
        return result


def _reach(model: "ImageModelDescriptor[torch.nn.Module]") -> int:
    """Pixels around a pixel that a compact network reads: one for each 3x3 convolution.

    0 for RRDBNet, whose tiles cannot be exact.
    """
    if model.architecture.id != "Compact":
        return 0
    return sum(isinstance(layer, torch.nn.Conv2d) for layer in model.model.modules())
