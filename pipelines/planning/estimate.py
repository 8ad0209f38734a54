"""Estimates time, memory and disk space before a run. Every run improves the next estimate."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from pipelines.backends.base import BackendDefinition, VideoBackend
from pipelines.documents.brief import Brief
from pipelines.documents.manifest import Film
from pipelines.planning.plan import timeline
from pipelines.schema.plan import Estimate
from pipelines.schema.request import ClipRequest

_SMOOTHING = 0.5
"""Weight of the newest run in the remembered rates."""
_PROCESS_BYTES = 1_000_000_000
"""Resident size with torch and diffusers imported and no model loaded (measured, CPU)."""
_CHUNK_BYTES, _FINAL_BYTES = 0.5, 0.25
"""Bytes of H.264 for each pixel at our rate factors, measured with noise, which is the worst
case."""
_COPIES = 3
"""A file is in the scratch folder, in the store and, during its upload, on the way between them."""


class Rates(BaseModel):
    """Seconds for each unit of work."""

    model_config = ConfigDict(frozen=True)

    shot: float
    """For each shot that the language model writes."""
    chunk: float
    """For each unit of the backend's work, including both guidance passes and decoding."""
    upscale: float
    """For each source megapixel x frame."""
    fixed: float
    """For loading models and moving files, once in a run."""
    basis: str


_COMMON = {
    "cpu": {"shot": 1.0, "upscale": 10.0, "fixed": 10.0},
    "cuda": {"shot": 1.5, "upscale": 0.6, "fixed": 60.0},
    "remote": {"shot": 1.0, "upscale": 10.0, "fixed": 10.0},
}


def default_rates(backend: BackendDefinition, device: str) -> Rates:
    """Rates before anything was measured. `device` is `cpu`, `cuda` or `remote`."""
    return Rates(chunk=backend.rates.get(device, 1.0), basis=backend.basis, **_COMMON[device])


@dataclass(frozen=True)
class Footprint:
    """Bytes on disk of the models besides the backend's."""

    enhancer: int
    upscaler: int


def estimate(brief: Brief, backend: VideoBackend, rates: Rates, footprint: Footprint) -> Estimate:
    """The cost of the whole brief if nothing of it exists yet. Raises BriefError as `timeline`."""
    preset, slots = brief.resolved_preset(), timeline(brief)
    frames = sum(slot.frame_count for slot in slots)
    pixels = preset.size.width * preset.size.height
    effort = backend.effort(_requests(brief))
    seconds = rates.fixed + rates.chunk * effort.work
    if brief.enhance:
        seconds += rates.shot * sum(slot.transition != "continue" for slot in slots)
    if brief.upscale > 1:
        seconds += rates.upscale * preset.size.megapixels * frames
    stages = (
        footprint.enhancer if brief.enhance else 0,
        effort.memory_bytes,
        footprint.upscaler if brief.upscale > 1 else 0,
    )
    final = pixels * brief.upscale**2 * frames * _FINAL_BYTES if brief.upscale > 1 else 0
    overlaps = 3 * pixels * brief.backend.capabilities.overlap * len(slots)
    disk = _COPIES * (pixels * frames * _CHUNK_BYTES + overlaps + final)
    return Estimate(
        seconds=round(seconds, 1),
        peak_memory_bytes=_PROCESS_BYTES + max(stages),
        disk_bytes=int(disk),
        basis=rates.basis,
    )


def _requests(brief: Brief) -> Sequence[ClipRequest]:
    """The requests of a brief without words, seeds and inputs, which do not change the cost."""
    preset = brief.resolved_preset()
    return [
        ClipRequest(
            prompt="",
            negative="",
            size=preset.size,
            fps=brief.backend.capabilities.fps,
            frames=slot.frames,
            seed=0,
            options=preset.options.identity(),
        )
        for slot in timeline(brief)
    ]


def learn(rates: Rates, film: Film, backend: VideoBackend) -> Rates:
    """The rates after one more run. Only work that the run really did changes them."""
    size = film.plan.size
    requests = {chunk.digest: chunk.request for chunk in film.plan.chunks}
    made = [record for record in film.chunks if record.made]
    work = backend.effort([requests[record.digest] for record in made]).work if made else 0.0
    enlarged = sum(size.megapixels * item.frames for item in film.segments if item.made)
    written = film.storyboard.written
    learned = {
        "shot": _blend(rates.shot, _enhance_seconds(film), written),
        "chunk": _blend(rates.chunk, sum(record.seconds for record in made), work),
        "upscale": _blend(rates.upscale, sum(r.seconds for r in film.segments if r.made), enlarged),
    }
    if not (work or enlarged or written):
        return rates
    return rates.model_copy(update={**learned, "basis": "measured on this machine"})


def _blend(old: float, seconds: float, work: float) -> float:
    return old if not work else (1 - _SMOOTHING) * old + _SMOOTHING * seconds / work


def _enhance_seconds(film: Film) -> float:
    return sum(stage.seconds for stage in film.stages if stage.stage == "enhance")
