"""How an LTX-2 clip is made within the memory that the device has.

The numbers are estimates from shapes, see `definitions`; none was measured on a device.
"""

from dataclasses import dataclass
from typing import Literal

from pipelines.schema.request import ClipRequest
from pipelines.schema.sizes import Size

Mode = Literal["resident", "tiled-decode", "stream"]
"""`resident`      all models stay on the device, and all pixels are decoded at once
`tiled-decode`  overlapping tiles of 512*512: about a third of the workspace at 1280*704
`stream`        besides, the transformer is in the host's memory but for a few of its blocks"""
WORKSPACE = 6_000_000_000
"""Bytes for the work itself, with a decode in tiles."""
_WHOLE = 3
"""Times as much for the largest clip, decoded at once."""
_LARGEST = Size(1280, 704).megapixels * 121
_STREAMED_BLOCKS = 3
"""Blocks on the device at once: one at work, one coming, one not yet gone."""


@dataclass(frozen=True)
class Footprint:
    """Bytes of the weights on the device."""

    transformer: int
    block: int
    """One of its blocks."""
    beside: int
    """What stays on the device beside it."""

    def held(self, mode: Mode) -> int:
        """Of them, what is on the device in `mode`."""
        streamed = _STREAMED_BLOCKS * self.block
        return self.beside + (streamed if mode == "stream" else self.transformer)

    def peak(self, mode: Mode, request: ClipRequest) -> int:
        """Largest amount on the device while `request` is made in `mode`."""
        work = WORKSPACE
        if mode == "resident":
            share = request.size.megapixels * request.frames / _LARGEST
            work = max(work, round(_WHOLE * WORKSPACE * share))
        return self.held(mode) + work

    def mode_for(self, request: ClipRequest, budget: int) -> Mode:
        """The fastest mode that fits `budget` bytes, which count what the models hold; if none
        does, the last."""
        modes: tuple[Mode, ...] = ("resident", "tiled-decode")
        return next((mode for mode in modes if self.peak(mode, request) <= budget), "stream")
