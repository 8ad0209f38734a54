"""How long, how much memory, how much disk: said before the run, corrected by every run."""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from pipelines.planning.plan import frames_of, timeline
from pipelines.schema.brief import Brief
from pipelines.schema.manifest import Film
from pipelines.schema.plan import Estimate

_SMOOTHING = 0.5
"""Weight of the newest run in the remembered rates."""
_PROCESS_BYTES = 1_000_000_000
"""Resident size with torch and diffusers imported and nothing loaded (measured, CPU)."""
_CHUNK_BYTES, _FINAL_BYTES = 0.5, 0.25
"""Bytes a pixel of H.264 at our rate factors; noise, the worst case, was measured."""
_COPIES = 3
"""A file is in scratch, in the store and, while it is being uploaded, in between."""


class Rates(BaseModel):
    """Seconds of work, each in the unit that it grows with."""

    model_config = ConfigDict(frozen=True)

    shot: float
    """For each shot written by the language model."""
    chunk: float
    """For each megapixel x frame x step, both guidance passes and decoding included."""
    upscale: float
    """For each source megapixel x frame."""
    fixed: float
    """For loading models and moving files."""
    basis: str


DEFAULT_RATES = {
    "cpu": Rates(
        shot=1.0,
        chunk=0.35,
        upscale=10.0,
        fixed=10.0,
        basis="demo models on a 2-core machine; not yet measured here",
    ),
    "cuda": Rates(
        shot=1.5,
        chunk=0.1,
        upscale=0.6,
        fixed=60.0,
        basis="published: 832*480, 81 frames, 50 steps in 162 s on an RTX 5090; "
        "not yet measured here",
    ),
}


@dataclass(frozen=True)
class Footprint:
    """Bytes on disk of each model's weights, and the VAE's decode workspace a pixel."""

    writer: int
    encoder: int
    denoiser: int
    upscaler: int
    decode_bytes_a_pixel: int


def estimate(brief: Brief, rates: Rates, footprint: Footprint) -> Estimate:
    """What the whole brief costs if nothing of it exists yet."""
    preset = brief.resolved_preset()
    slots, frames = timeline(brief), frames_of(brief)
    pixels = preset.size.width * preset.size.height
    work = preset.size.megapixels * preset.frames * len(slots)
    seconds = rates.fixed + rates.chunk * work * preset.steps
    if brief.enhance:
        seconds += rates.shot * sum(slot.join != "continue" for slot in slots)
    if brief.upscale > 1:
        seconds += rates.upscale * preset.size.megapixels * frames
    stages = (
        footprint.writer if brief.enhance else 0,
        footprint.encoder,
        footprint.denoiser + footprint.decode_bytes_a_pixel * pixels,
        footprint.upscaler if brief.upscale > 1 else 0,
    )
    final = pixels * brief.upscale**2 * frames * _FINAL_BYTES if brief.upscale > 1 else 0
    tails = 3 * pixels * preset.overlap * len(slots)
    disk = _COPIES * (pixels * frames * _CHUNK_BYTES + tails + final)
    return Estimate(
        seconds=round(seconds, 1),
        peak_memory_bytes=_PROCESS_BYTES + max(stages),
        disk_bytes=int(disk),
        basis=rates.basis,
    )


def learn(rates: Rates, film: Film) -> Rates:
    """The rates after one more run; only what that run really made changes them."""
    size = film.plan.size
    chunks = {chunk.spec.digest: chunk.spec for chunk in film.plan.chunks}
    work = sum(
        size.megapixels * chunks[record.digest].frames * chunks[record.digest].steps
        for record in film.chunks
        if record.made
    )
    enlarged = sum(size.megapixels * item.frames for item in film.segments if item.made)
    written = film.storyboard.written
    learned = {
        "shot": _blend(rates.shot, _enhance_seconds(film), written),
        "chunk": _blend(rates.chunk, sum(r.seconds for r in film.chunks if r.made), work),
        "upscale": _blend(rates.upscale, sum(r.seconds for r in film.segments if r.made), enlarged),
    }
    if not (work or enlarged or written):
        return rates
    return rates.model_copy(update={**learned, "basis": "measured on this machine"})


def _blend(old: float, seconds: float, work: float) -> float:
    return old if not work else (1 - _SMOOTHING) * old + _SMOOTHING * seconds / work


def _enhance_seconds(film: Film) -> float:
    return sum(stage.seconds for stage in film.stages if stage.stage == "enhance")
