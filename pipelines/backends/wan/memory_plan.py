"""How a Wan clip is made within the memory that the device has: decided before it starts.

Running out of memory costs a whole denoising, and some cards have more memory than the budget of
22 GB allows, so the first attempt must already fit. Each clip is planned afresh from the memory
that can be had now, so that models come back to the device when there is room again.

What a preset did not ask for is done for want of memory only, and the manifest says so (`mode`).
The numbers are those that the preset asks for, whatever the memory: only `decode: bfloat16`, which
is in the identity of its chunks, decodes in 16 bits. What does not fit is decoded while the
transformers are off the device, which gives the same pixels, and then in tiles, which do not: they
lack what lies beyond their edges, in the convolutions and in the attention over the whole frame.
With the demo model's VAE at 416*240 and 9 frames, tiles were 1.58 of 255 off in the mean and 83 at
most (999 of 1,000 values: 27), bfloat16 0.35 and 8 (3).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from pipelines.backends.shortages import Shortages
from pipelines.backends.wan.footprint import Footprint
from pipelines.backends.wan.options import Decode
from pipelines.schema.sizes import Size

Placement = Literal["resident", "offload", "group-offload"]
"""`resident`       all models stay on the device
`offload`        each model is there only while it works; A14B's transformers take turns
`group-offload`  besides, a transformer is there block by block, which its blocks' travel slows"""
PlanPhase = Literal["place", "denoise", "decode"]
"""What was going on when memory ran out: models came to the device, the transformer worked (or
the VAE encoded given frames), or the VAE decoded."""
Decoding = Literal["whole", "alone", "tiled"]
"""`whole`  the VAE decodes all pixels at once, beside the transformers
`alone`  the same while the transformers are in the host's memory: they come back for the next clip
`tiled`  overlapping tiles: least memory, 20 to 30 % slower, other pixels"""

_HEADROOM = 1.1
"""For cuDNN's workspace and what the allocator cannot use."""
_ENCODED = 0.74
"""Share of the decoder's bytes that the encoder takes."""
_HALF = 0.54
"""Share of the bytes that decoding in bfloat16 takes; on an H200 Wan 2.1's took 0.46 to 0.5."""
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
    half: bool = False
    """Whether the VAE decodes in bfloat16, as the preset asks."""
    encodes: bool = True
    """Whether frames are encoded over the whole length, so that tiles there would save memory."""
    place_bytes: int = 0
    """Largest amounts on the device at once, as far as they can be said before: while the models
    come, …"""
    denoise_bytes: int = 0
    """… while given frames are encoded and the clip is denoised, …"""
    decode_bytes: int = 0
    """… and while it is decoded."""

    @property
    def peak_bytes(self) -> int:
        """The largest of them."""
        return max(self.place_bytes, self.denoise_bytes, self.decode_bytes)

    @property
    def mode(self) -> str:
        """What was done for want of memory, such as `alone-decode` or `offload, tiled-decode`;
        `resident` if nothing was."""
        words: list[str] = [] if self.placement == "resident" else [self.placement]
        words += [] if self.decoding == "whole" else [f"{self.decoding}-decode"]
        words += ["tiled-encode"] if self.tiled_encoding else []
        return ", ".join(words) or "resident"

    def below(self, device: str, phase: PlanPhase) -> "MemoryPlan | None":
        """The next plan that takes less in `phase`, where memory ran out; None if there is none."""
        if phase == "decode" and self.decoding != "tiled":
            ways = _decodings(device, self.placement)
            return replace(self, decoding=ways[ways.index(self.decoding) + 1])
        if phase == "denoise" and self.encodes and not self.tiled_encoding:
            return replace(self, tiled_encoding=True)
        places = _placements(device)
        rest = places[places.index(self.placement) + 1 :]
        # The transformers that are elsewhere need not leave for the decoding.
        decoding: Decoding = "whole" if self.decoding == "alone" else self.decoding
        return replace(self, placement=rest[0], decoding=decoding) if rest else None

    def add_to(self, shortages: Shortages, phase: PlanPhase, had: int) -> None:
        """Remember that memory ran out in `phase` while `had` bytes could be had."""
        way, need = self._ways()[phase]
        shortages.add(way, need, had)

    def is_ruled_out(self, shortages: Shortages, have: int) -> bool:
        """Whether memory ran out in one of its phases, with no less of it than now."""
        return any(shortages.rule_out(way, need, have) for way, need in self._ways().values())

    def _ways(self) -> dict[PlanPhase, tuple[tuple[object, ...], int]]:
        """For each phase what memory hangs on, and the bytes that are planned."""
        return {
            "place": (("place", self.placement), self.place_bytes),
            "denoise": (("denoise", self.placement, self.tiled_encoding), self.denoise_bytes),
            "decode": (("decode", self.placement, self.decoding, self.half), self.decode_bytes),
        }


def plan_memory(
    footprint: Footprint,
    work: Work,
    budget: int,
    device: str,
    decode: Decode = "float32",
    shortages: Shortages | None = None,
) -> MemoryPlan:
    """The first plan in order of speed that fits `budget` bytes; the smallest if none does.

    `budget` counts what the models already hold. A plan in which memory ran out before is passed
    over, see `Shortages`.
    """
    plan = None
    for plan in _plans(device, decode, encodes=work.encodes):
        plan = _priced(footprint, work, plan)
        if plan.peak_bytes <= budget and not (shortages and plan.is_ruled_out(shortages, budget)):
            return plan
    assert plan is not None
    return plan


def held_bytes(
    footprint: Footprint, placement: Placement, *, half: bool = False, aside: bool = False
) -> int:
    """Bytes of weights that stay on the device between two clips; `half` if a VAE in bfloat16
    stays beside the one that encodes, `aside` if the transformers left for the decoding."""
    stay = placement == "resident" and not aside
    transformers = sum(footprint.transformers) if stay else 0
    return transformers + footprint.vae + (footprint.vae // 2 if half else 0)


def _plans(device: str, decode: Decode, *, encodes: bool) -> Iterator[MemoryPlan]:
    # CPUs compute convolutions in bfloat16 far slower than in float32.
    half = decode == "bfloat16" and device == "cuda"
    for place in _placements(device):
        for decoding in _decodings(device, place):
            for tiled in (False, True) if encodes else (False,):
                yield MemoryPlan(place, decoding, tiled, half=half, encodes=encodes)


def _placements(device: str) -> tuple[Placement, ...]:
    return ("resident", "offload", "group-offload") if device == "cuda" else ("resident",)


def _decodings(device: str, placement: Placement) -> tuple[Decoding, ...]:
    if device == "cuda" and placement == "resident":
        return ("whole", "alone", "tiled")
    return ("whole", "tiled")


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
    if plan.decoding == "alone":
        beside = 0
    decoding = _HEADROOM * _decoding(footprint, work, plan.decoding)
    decode = beside + vae + (vae // 2 + _HALF * decoding if plan.half else decoding)
    return replace(
        plan,
        place_bytes=held_bytes(footprint, plan.placement),
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
    return a_pixel * pixels
