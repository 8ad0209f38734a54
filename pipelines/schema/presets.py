"""Presets: size, frames, steps and guidance under a name, and the limits around them."""

import math
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

FPS = 16
"""Frames a second that Wan 2.1 was trained at (model card of Wan2.1-T2V-1.3B)."""

MAX_FRAMES = 80
"""Longest chunk in frames; Wan's own limit is 81 (5 s)."""

FADE = 8
"""Frames of a crossfade: half a second. Chunks under 17 frames dissolve in half of theirs."""

MAX_EXTENSIONS = 5
"""Chunks that go on from one another before a fresh one follows by a cut: colours and shapes
drift a little each time."""


Aspect = Literal["preset", "landscape", "portrait", "square"]
_SIDE = 16


class Size(NamedTuple):
    """Width and height in pixels; both multiples of 16 (VAE 8x, patch 2x)."""

    width: int
    height: int

    @classmethod
    def parse(cls, text: str) -> "Size":
        """`"832*480"` → Size(832, 480). Raises ValueError on anything else."""
        width, height = text.split("*")
        return cls(int(width), int(height))

    def __str__(self) -> str:
        return f"{self.width}*{self.height}"

    def scaled(self, factor: int) -> "Size":
        return Size(self.width * factor, self.height * factor)

    def shaped(self, aspect: Aspect) -> "Size":
        """About as many pixels in another shape; a square becomes 3:2 or 2:3."""
        long, short = max(self), min(self)
        if aspect == "square":
            side = math.isqrt(long * short) // _SIDE * _SIDE
            return Size(side, side)
        if long == short:
            long = short * 3 // 2 // _SIDE * _SIDE
        return {"landscape": Size(long, short), "portrait": Size(short, long)}.get(aspect, self)

    @property
    def megapixels(self) -> float:
        return self.width * self.height / 1e6


SIZES = (
    "64*64",
    "128*128",
    "416*240",
    "240*416",
    "832*480",
    "480*832",
    "1280*720",
    "720*1280",
    "1024*1024",
)
"""Sizes a brief may ask for instead of its preset's. The first four suit the demo models."""


class Preset(BaseModel):
    """What an editor picks by name. `frames` is the chunk: its length in frames (4k+1)."""

    model_config = ConfigDict(frozen=True)

    name: str
    model_set: str
    size: Size
    frames: int
    steps: int
    guidance: float
    continued_guidance: float
    """Guidance of chunks that go on. The demo model needs none, the frame it is given says what
    is shown, and at 4 it carries the shape 1.7 px too far at every join (measured)."""
    flow_shift: float
    """Timestep shift of the scheduler: 3.0 at 480p, 5.0 at 720p (diffusers' Wan guide)."""

    @property
    def conditioning(self) -> Literal["first-frame", "vace"]:
        """How the set's models go on from a chunk: Wan 2.1's text-to-video cannot, its VACE
        sibling can."""
        return "first-frame" if self.model_set == "demo" else "vace"

    @property
    def overlap(self) -> int:
        """Raw frames that a continued chunk is given and repeats: 4k+1, as Wan packs them."""
        return 1 if self.conditioning == "first-frame" else 5

    @property
    def is_still(self) -> bool:
        return self.frames == 1


def _preset(
    name: str,
    size: str,
    frames: int,
    steps: int,
    guidance: float,
    flow_shift: float,
    model_set: str = "studio",
    continued_guidance: float | None = None,
) -> Preset:
    return Preset(
        name=name,
        model_set=model_set,
        size=Size.parse(size),
        frames=frames,
        steps=steps,
        guidance=guidance,
        continued_guidance=guidance if continued_guidance is None else continued_guidance,
        flow_shift=flow_shift,
    )


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        _preset("demo", "64*64", 33, 8, 4.0, 3.0, model_set="demo", continued_guidance=1.0),
        _preset("image_fast", "832*480", 1, 8, 6.0, 3.0),
        _preset("image_high", "1280*720", 1, 20, 7.5, 5.0),
        _preset("video_fast", "832*480", 17, 12, 6.0, 3.0),
        _preset("video_high", "1280*720", 33, 25, 7.5, 5.0),
    )
}


def fade_of(frames: int) -> int:
    """Frames that two chunks of `frames` frames share in a crossfade."""
    return min(FADE, (frames - 1) // 2)


def is_chunk_length(frames: int) -> bool:
    """Wan's VAE packs 4 frames into one latent after the first: lengths are 4k+1."""
    return 1 <= frames <= MAX_FRAMES and frames % 4 == 1
