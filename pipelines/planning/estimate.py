"""Estimates time, memory and disk space before a run. Every run improves the next estimate."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from pipelines.backends.base import BackendDefinition, Effort, VideoBackend
from pipelines.documents.brief import Brief
from pipelines.documents.manifest import Film
from pipelines.planning.disk import disk_of
from pipelines.planning.memory import Footprint, memory_of
from pipelines.planning.plan import Slot, is_enhanced, timeline
from pipelines.schema.plan import Estimate, StageEstimate
from pipelines.schema.request import ClipRequest
from pipelines.schema.stages import STAGES, Stage

_SMOOTHING = 0.5
"""Weight of the newest run in the remembered rates."""


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
    """Once in a run, for the stage that encodes the texts. Before anything was measured it stands
    for loading all models and for moving files too."""
    basis: str
    stitch: float = 0.0
    """For each megapixel x frame of the finished video."""
    upload: float = 0.0
    """Likewise."""


_COMMON = {
    "cpu": {"shot": 1.0, "upscale": 10.0, "fixed": 10.0},
    "cuda": {"shot": 1.5, "upscale": 0.6, "fixed": 60.0},
    "remote": {"shot": 1.0, "upscale": 10.0, "fixed": 10.0},
}


def default_rates(backend: BackendDefinition, device: str) -> Rates:
    """Rates before anything was measured. `device` is `cpu`, `cuda` or `remote`."""
    return Rates(chunk=backend.rates.get(device, 1.0), basis=backend.basis, **_COMMON[device])


def estimate(
    brief: Brief, backend: VideoBackend, rates: Rates, footprint: Footprint, archive: int = 0
) -> Estimate:
    """The cost of the whole brief if nothing of it exists yet, on the host of `backend`.

    `archive` is the size in bytes of the archive that the brief names. Raises BriefError as
    `timeline`.
    """
    slots, size = timeline(brief), brief.resolved_preset().size
    effort = backend.effort(_requests(brief))
    seconds = _seconds(brief, slots, rates, effort)
    memory = memory_of(effort, footprint, size)
    disk = disk_of(brief, slots, archive)
    stages = tuple(
        StageEstimate(
            stage=name,
            seconds=round(seconds[name], 1),
            memory_bytes=memory[name].peak,
            parts=memory[name].parts,
            disk_bytes=disk[name],
        )
        for name in STAGES
        if _has_stage(brief, name)
    )
    return Estimate(
        seconds=round(sum(seconds[item.stage] for item in stages), 1),
        peak_memory_bytes=max(item.memory_bytes for item in stages),
        disk_bytes=sum(item.disk_bytes for item in stages),
        price=effort.price,
        basis=rates.basis,
        stages=stages,
    )


def _has_stage(brief: Brief, stage: Stage) -> bool:
    if stage == "enhance":
        return is_enhanced(brief)
    return stage != "upscale" or brief.upscale > 1


def _seconds(
    brief: Brief, slots: Sequence[Slot], rates: Rates, effort: Effort
) -> dict[Stage, float]:
    source = brief.resolved_preset().size.megapixels * sum(slot.frame_count for slot in slots)
    finished = source * brief.upscale**2
    return {
        "enhance": rates.shot * sum(slot.transition != "continue" for slot in slots),
        "encode": rates.fixed,
        "chunks": rates.chunk * effort.work,
        "stitch": rates.stitch * finished,
        "upscale": rates.upscale * source,
        "upload": rates.upload * finished,
    }


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
    if not (work or enlarged or written):
        return rates
    finished = film.plan.final_size.megapixels * film.plan.frames
    learned = {
        "shot": _blend(rates.shot, _seconds_of(film, "enhance"), written),
        "fixed": _blend(rates.fixed, _seconds_of(film, "encode"), 1 if work else 0),
        "chunk": _blend(rates.chunk, sum(record.seconds for record in made), work),
        "stitch": _blend(rates.stitch, _seconds_of(film, "stitch"), finished),
        "upscale": _blend(rates.upscale, sum(r.seconds for r in film.segments if r.made), enlarged),
        "upload": _blend(rates.upload, _seconds_of(film, "upload"), finished),
    }
    return rates.model_copy(update={**learned, "basis": "measured on this machine"})


def _blend(old: float, seconds: float, work: float) -> float:
    """The new rate; the first measured one counts fully where there was none."""
    if not work:
        return old
    measured = seconds / work
    return (1 - _SMOOTHING) * old + _SMOOTHING * measured if old else measured


def _seconds_of(film: Film, stage: Stage) -> float:
    return sum(item.seconds for item in film.stages if item.stage == stage)
