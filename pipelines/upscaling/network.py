"""A Real-ESRGAN network for frames: whole frames, or tiles that give the same picture.

On a CPU, single frames with channels-last memory are fastest, and batches are slower; on a GPU it
is the reverse. bfloat16 about doubles the speed of a CPU that supports it, and changes values by up
to 4/255.
"""

import copy
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch.nn import functional

from pipelines.backends.base import Frame
from pipelines.backends.memory import free_memory, run_with_less
from pipelines.errors import GenerationError, UpscaleError, WeightsError
from pipelines.schema.sizes import Size
from pipelines.upscaling.ladder import APPROXIMATE_PAD, Way, ways_for

if TYPE_CHECKING:
    from spandrel import ImageModelDescriptor

_ADVICE = "upscale by less, or free memory on the device"
_log = logging.getLogger("reelwright.upscale")


@dataclass(frozen=True)
class UpscaleOptions:
    """How frames go through the network: the most frames at once, and the side of a tile, where 0
    means whole frames. With little memory it takes fewer frames and smaller tiles."""

    dtype: torch.dtype = torch.float32
    channels_last: bool = True
    batch: int = 1
    tile: int = 0


def _any_amount() -> int:
    return sys.maxsize


class RealEsrgan:
    """The network in `weights` (.pth or .safetensors), of any architecture that spandrel knows."""

    def __init__(
        self,
        weights: Path,
        device: torch.device,
        options: UpscaleOptions,
        free_bytes: Callable[[], int] = _any_amount,
    ) -> None:
        """Loads the weights. `free_bytes` says how much memory can be had on `device`.

        Raises WeightsError if they are not a known x2 or x4 network.
        """
        from spandrel import ImageModelDescriptor, ModelLoader

        try:
            model = ModelLoader().load_from_file(weights)
        except Exception as error:  # spandrel passes on any error of its readers
            raise WeightsError(f"the upscaler in {weights} does not load: {error}") from error
        if not isinstance(model, ImageModelDescriptor) or model.scale not in (2, 4):
            raise WeightsError(f"{weights} is not an upscaler by 2 or 4")
        self.scale: int = model.scale
        self._format = torch.channels_last if options.channels_last else torch.contiguous_format
        self._net = self._placed(model.model.eval(), device, options.dtype)
        self._wide: Any = None
        """The same network in the numbers of `_wider`, once a group of frames needed it."""
        self._device = device
        self._options = options
        self._free_bytes = free_bytes
        self._ways = [Way(options.batch, options.tile)]
        """How the frames of the present call are made, and after it what takes less."""
        self._remade = 0
        self.tile_pad = _reach(model) or APPROXIMATE_PAD

    def _placed(self, net: Any, device: torch.device, dtype: torch.dtype) -> Any:
        return net.to(device, dtype).to(memory_format=self._format)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the network; the object cannot be used after that."""
        del self._net, self._wide
        free_memory()

    @property
    def memory(self) -> str:
        """How the last call of `upscale` went: `whole` frames or `tiled`, and how many frames were
        made again in which numbers, such as `whole, 4 frames in bfloat16`."""
        words = ["tiled" if self._ways[0].tile else "whole"]
        if self._remade:
            frames = "1 frame" if self._remade == 1 else f"{self._remade} frames"
            words.append(f"{frames} in {_name(self._wider)}")
        return ", ".join(words)

    def upscale(self, frames: Iterable[Frame], factor: int) -> Iterator[Frame]:
        """Yield each frame `factor` times as wide and high, in order.

        How many are made at once is decided here by the free memory, and again when memory runs
        out; the next call decides anew. Raises UpscaleError if not even the smallest tiles fit into
        memory, or if a frame is not finite.
        """
        source = iter(frames)
        waiting = list(islice(source, 1))
        self._remade = 0
        if waiting:
            height, width = waiting[0].shape[:2]
            self._ways = self._plan(Size(width, height))
        while waiting:
            waiting += islice(source, max(0, self._ways[0].batch - len(waiting)))
            made = self._with_less_if_needed(waiting, factor)
            yield from made
            # Fewer than were waiting if memory ran out; the others come next.
            waiting = waiting[len(made) :] or list(islice(source, 1))

    def _plan(self, size: Size) -> list[Way]:
        """The ways for frames of `size` from the first one on that fits the free memory."""
        options = self._options
        asked, width = Way(options.batch, options.tile), options.dtype.itemsize
        return ways_for(size, asked, self.scale, width, self.tile_pad, free=self._free_bytes())

    def _with_less_if_needed(self, waiting: list[Frame], factor: int) -> Frame:
        """The first of the frames that are `waiting`, as many as memory allows."""

        def work() -> Frame:
            return self._finite(np.stack(waiting[: self._ways[0].batch]), factor)

        def step_down() -> bool:
            if len(self._ways) == 1:
                return False
            _log.info("memory ran out with %s, next: %s", *self._ways[:2])
            self._ways = self._ways[1:]
            return True

        try:
            return run_with_less(work, step_down, _ADVICE)
        except GenerationError as error:
            raise UpscaleError(str(error)) from error.__cause__

    def _finite(self, frames: Frame, factor: int) -> Frame:
        """The enlarged frames, made again in wider numbers if one overflowed.

        Raises UpscaleError if it is not finite in them either.
        """
        found = self._run(self._net, self._options.dtype, frames, factor)
        wider = self._wider
        if found is None and wider != self._options.dtype:
            if self._wide is None:
                # A copy: the way there and back would change the weights of the other frames.
                self._wide = self._placed(copy.deepcopy(self._net), self._device, wider)
            found = self._run(self._wide, wider, frames, factor)
            self._remade += len(frames)
        if found is None:
            raise UpscaleError(
                f"the upscaler made NaN or infinite numbers in {_name(wider)} too, and the frames "
                "were thrown away; the weights are as they were installed, so look at the device "
                "and its driver, or make the video without upscaling"
            )
        return found

    @property
    def _wider(self) -> torch.dtype:
        """Numbers for frames that overflow: bfloat16 has the range of float32 and takes half of the
        memory, but only newer cards compute in it."""
        if self._options.dtype != torch.float16:
            return torch.float32
        fast = self._device.type == "cuda" and torch.cuda.is_bf16_supported(
            including_emulation=False
        )
        return torch.bfloat16 if fast else torch.float32

    def _run(self, net: Any, dtype: torch.dtype, frames: Frame, factor: int) -> Frame | None:
        """The enlarged frames; None if a number is not finite."""
        with torch.inference_mode():
            source = torch.from_numpy(frames).to(self._device).permute(0, 3, 1, 2)
            pixels = source.to(dtype).div_(255).contiguous(memory_format=self._format)
            large = self._tiled(net, pixels) if self._ways[0].tile else net(pixels)
            if not bool(torch.isfinite(large).all()):
                return None
            if factor != self.scale:
                side = [length * factor for length in frames.shape[1:3]]
                large = functional.interpolate(
                    large.float(), size=side, mode="bicubic", antialias=True, align_corners=False
                )
            eight_bit = large.float().clamp_(0, 1).mul_(255).round_().to(torch.uint8)
            return eight_bit.permute(0, 2, 3, 1).contiguous().cpu().numpy()

    def _tiled(self, net: Any, pixels: torch.Tensor) -> torch.Tensor:
        """Process tiles with `tile_pad` pixels around them, but none beyond the picture's edge.
        There, and only there, the network pads with zeros, as it does for the whole picture."""
        height, width = pixels.shape[2:]
        scale, side, pad = self.scale, self._ways[0].tile, self.tile_pad
        result = pixels.new_empty(pixels.shape[0], 3, height * scale, width * scale)
        for top in range(0, height, side):
            for left in range(0, width, side):
                bottom, right = min(top + side, height), min(left + side, width)
                above, before = max(top - pad, 0), max(left - pad, 0)
                crop = pixels[:, :, above : bottom + pad, before : right + pad]
                large = net(crop.contiguous(memory_format=self._format))
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


def _name(dtype: torch.dtype) -> str:
    """As the settings write it, such as `float16`."""
    return str(dtype).removeprefix("torch.")
