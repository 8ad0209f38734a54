"""How a Wan clip is made within the memory that the device has: decided before it starts.

Running out of memory costs a whole denoising, and some cards have more memory than the budget of
22 GB allows, so the first attempt must already fit.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from pipelines.backends.wan.footprint import Footprint
from pipelines.schema.sizes import Size

Placement = Literal["resident", "offload", "group-offload"]
"""`resident`       all models stay on the device
`offload`        each model is there only while it works; A14B's transformers take turns
`group-offload`  besides, a transformer is there block by block, which its blocks' travel slows"""
Decoding = Literal["whole", "bf16", "tiled"]
"""`whole`  the VAE decodes all pixels at once, in float32
`bf16`   the same in bfloat16: half the memory, other last bits
`tiled`  overlapping tiles in float32: least memory, 20 to 30 % slower"""

_HEADROOM = 1.1
"""For cuDNN's workspace and what the allocator cannot use."""
_ENCODED = 0.74
"""Share of the decoder's bytes that the encoder takes."""
_HALF = 0.54
"""Share of the bytes that decoding in bfloat16 takes."""
_TILE_PIXELS = 256 * 256
"""diffusers' size of a tile."""
_TILED_PIXEL = 25
"""Bytes a pixel and frame while the tiles are assembled: two copies in float32."""
_GROUPS = 3
"""Blocks on the device at once while they travel: before, in, and after their work."""


@dataclass(frozen=True)
class Work:
    """One clip."""

    size: Size
    frames: int
    encodes: bool
    """Whether the VAE encodes given frames, over the whole length."""


@dataclass(frozen=True)
class MemoryPlan:
    """How one clip is made."""

    placement: Placement = "resident"
    decoding: Decoding = "whole"
    tiled_encoding: bool = False
    peak_bytes: int = 0
    """Largest amount on the device at once, as far as it can be said before."""
    denoise_bytes: int = 0
    """The same while given frames are encoded and the clip is denoised."""
    decode_bytes: int = 0
    """The same while the clip is decoded."""

    @property
    def mode(self) -> str:
        """In words, such as `resident`, `tiled-decode` or `offload, bf16-decode`."""
        words: list[str] = [] if self.placement == "resident" else [self.placement]
        words += [] if self.decoding == "whole" else [f"{self.decoding}-decode"]
        words += ["tiled-encode"] if self.tiled_encoding else []
        return ", ".join(words) or "resident"

    def below(self, device: str, *, decoding: bool) -> "MemoryPlan | None":
        """The next plan that takes less where memory ran out; None if there is none."""
        if decoding and self.decoding != "tiled":
            ways = _decodings(device)
            return replace(self, decoding=ways[ways.index(self.decoding) + 1])
        if not decoding and not self.tiled_encoding:
            return replace(self, tiled_encoding=True)
        places = _placements(device)
        rest = places[places.index(self.placement) + 1 :]
        return replace(self, placement=rest[0]) if rest else None


def plan_memory(
    footprint: Footprint,
    work: Work,
    budget: int,
    device: str,
    placement: Placement | None = None,
) -> MemoryPlan:
    """The first plan in order of speed that fits `budget` bytes; the smallest if none does.

    `budget` counts what the models already hold. With `placement`, only that one is considered.
    """
    plan = None
    for plan in _plans(device, placement):
        plan = _priced(footprint, work, plan)
        if plan.peak_bytes <= budget:
            return plan
    assert plan is not None
    return plan


def held_bytes(footprint: Footprint, placement: Placement) -> int:
    """Bytes of weights that stay on the device between two clips."""
    return {
        "resident": sum(footprint.transformers) + footprint.vae,
        "offload": footprint.vae,
        "group-offload": footprint.vae,
    }[placement]


def _plans(device: str, placement: Placement | None) -> Iterator[MemoryPlan]:
    for place in (placement,) if placement else _placements(device):
        for decoding in _decodings(device):
            for tiled in (False, True):
                yield MemoryPlan(place, decoding, tiled)


def _placements(device: str) -> tuple[Placement, ...]:
    return ("resident", "offload", "group-offload") if device == "cuda" else ("resident",)


def _decodings(device: str) -> tuple[Decoding, ...]:
    # CPUs compute convolutions in bfloat16 far slower than in float32.
    return ("whole", "bf16", "tiled") if device == "cuda" else ("whole", "tiled")


def _priced(footprint: Footprint, work: Work, plan: MemoryPlan) -> MemoryPlan:
    """`plan` with the bytes of its phases."""
    transformer = max(footprint.transformers)
    if plan.placement == "resident":
        transformer = sum(footprint.transformers)
    elif plan.placement == "group-offload":
        transformer = transformer * _GROUPS // (footprint.blocks + _GROUPS)
    vae = footprint.vae
    # Offloaded models take turns: the transformer is gone while the VAE works.
    beside = transformer if plan.placement == "resident" else 0
    denoise = transformer + vae + _HEADROOM * _denoising(footprint, work)
    if work.encodes:
        way: Decoding = "tiled" if plan.tiled_encoding else "whole"
        encode = beside + vae + _HEADROOM * _ENCODED * _decoding(footprint, work, way)
        denoise = max(denoise, encode)
    decode = beside + vae + _HEADROOM * _decoding(footprint, work, plan.decoding)
    return replace(
        plan,
        peak_bytes=int(max(denoise, decode)),
        denoise_bytes=int(denoise),
        decode_bytes=int(decode),
    )


def _denoising(footprint: Footprint, work: Work) -> float:
    return footprint.token_bytes * footprint.tokens(work.size, work.frames)


def _decoding(footprint: Footprint, work: Work, way: Decoding) -> float:
    pixels = work.size.width * work.size.height
    a_pixel = footprint.pixel_bytes if work.frames > 1 else footprint.still_pixel_bytes
    if way == "tiled":
        # A clip smaller than a tile is decoded as it is.
        tile = min(_TILE_PIXELS, pixels) * a_pixel
        return tile + _TILED_PIXEL * pixels * work.frames
    return a_pixel * pixels * (_HALF if way == "bf16" else 1)
