"""Estimates time, memory and disk space before a run. Every run improves the next estimate."""

from collections.abc import Mapping, Sequence

from pipelines.backends.base import BackendDefinition, Effort, VideoBackend
from pipelines.documents.brief import Brief
from pipelines.documents.manifest import Film
from pipelines.planning.disk import disk_of
from pipelines.planning.memory import Footprint, memory_of
from pipelines.planning.plan import Slot, is_enhanced, timeline
from pipelines.planning.rates import RateName, Rates, Spread
from pipelines.schema.plan import Estimate, StageEstimate
from pipelines.schema.request import ClipRequest
from pipelines.schema.sizes import Size
from pipelines.schema.stages import STAGES, Stage

_RATES: Mapping[Stage, RateName] = {
    "enhance": "shot",
    "encode": "fixed",
    "chunks": "chunk",
    "stitch": "stitch",
    "upscale": "upscale",
    "upload": "upload",
}
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
    work = _work(brief, slots, effort)
    spreads = {stage: rates.spread(_RATES[stage], size, work[stage]) for stage in STAGES}
    memory = memory_of(effort, footprint, size)
    disk = disk_of(brief, slots, archive)
    stages = tuple(
        StageEstimate(
            stage=name,
            seconds=round(spreads[name].usual, 1),
            memory_bytes=memory[name].peak,
            parts=memory[name].parts,
            disk_bytes=disk[name],
        )
        for name in STAGES
        if _has_stage(brief, name)
    )
    parts = [spreads[item.stage] for item in stages] + [rates.spread("rest", size)]
    return Estimate(
        seconds=round(sum(item.usual for item in parts), 1),
        low_seconds=round(sum(item.low for item in parts), 1),
        high_seconds=round(sum(item.high for item in parts), 1),
        peak_memory_bytes=max(item.memory_bytes for item in stages),
        disk_bytes=sum(item.disk_bytes for item in stages),
        price=effort.price,
        basis=_basis(rates, spreads["chunks"], size),
        stages=stages,
    )


def _has_stage(brief: Brief, stage: Stage) -> bool:
    if stage == "enhance":
        return is_enhanced(brief)
    if stage == "stitch":
        return not brief.resolved_preset().is_still
    return stage != "upscale" or brief.upscale > 1


def _basis(rates: Rates, chunks: Spread, size: Size) -> str:
    """Where the seconds come from. The chunks decide it, because they take most of a run."""
    if not chunks.runs:
        return rates.basis
    runs = "run" if chunks.runs == 1 else "runs"
    sizes = f"at {size.width}x{size.height}" if chunks.same_size else "of other sizes"
    return f"median of {chunks.runs} recent {runs} {sizes} on this machine"


def _work(brief: Brief, slots: Sequence[Slot], effort: Effort) -> dict[Stage, float]:
    """How many units of its work each stage has."""
    source = brief.resolved_preset().size.megapixels * sum(slot.frame_count for slot in slots)
    finished = source * brief.upscale**2
    return {
        "enhance": sum(slot.transition != "continue" for slot in slots),
        "encode": 1.0,
        "chunks": effort.work,
        "stitch": finished,
        "upscale": source,
        "upload": finished,
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


def learn(rates: Rates, film: Film, backend: VideoBackend, elapsed: float = 0.0) -> Rates:
    """The rates after one more run, which took `elapsed` seconds in all (0: not known). Only work
    that the run really did changes them."""
    size = film.plan.size
    requests = {chunk.digest: chunk.request for chunk in film.plan.chunks}
    made = [record for record in film.chunks if record.made]
    work = backend.effort([requests[record.digest] for record in made]).work if made else 0.0
    enlarged = sum(size.megapixels * item.frames for item in film.segments if item.made)
    written = film.storyboard.written
    if not (work or enlarged or written):
        return rates
    is_picture = film.plan.kind == "image"  # it is not joined, and its upload says nothing of films
    finished = 0.0 if is_picture else film.plan.final_size.megapixels * film.plan.frames
    done: dict[RateName, tuple[float, float]] = {
        "shot": (_seconds_of(film, "enhance"), written),
        "fixed": (_seconds_of(film, "encode"), 1 if work else 0),
        "chunk": (sum(record.seconds for record in made), work),
        "stitch": (_seconds_of(film, "stitch"), finished),
        "upscale": (sum(r.seconds for r in film.segments if r.made), enlarged),
        "upload": (_seconds_of(film, "upload"), finished),
    }
    if work and elapsed:  # a run that found its chunks reads them instead, which is no usual rest
        done["rest"] = (max(elapsed - sum(item.seconds for item in film.stages), 0.0), 1)
    values = {name: seconds / units for name, (seconds, units) in done.items() if units}
    return rates.learned(values, size, {name: float(units) for name, (_, units) in done.items()})


def _seconds_of(film: Film, stage: Stage) -> float:
    return sum(item.seconds for item in film.stages if item.stage == stage)
