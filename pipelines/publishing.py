"""Builds the manifest of a film. A video is published when its manifest is written, which comes
last."""

import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import metadata

from pipelines.documents.brief import Brief
from pipelines.documents.manifest import Film, Manifest, RunSummary, SegmentRecord
from pipelines.documents.stand_ins import stand_ins
from pipelines.documents.stored_brief import StoredBrief

_SOFTWARE = (
    "reelwright",
    "torch",
    "diffusers",
    "transformers",
    "llama-cpp-python",
    "spandrel",
    "imageio-ffmpeg",
    "prefect",
)


def summary_of(film: Film) -> RunSummary:
    """How much of `film` this run made, and how much it found in the bucket."""
    chunks = sum(record.made for record in film.chunks)
    segments = sum(record.made for record in film.segments)
    return RunSummary(
        chunks_made=chunks,
        chunks_reused=len(film.chunks) - chunks,
        segments_made=segments,
        segments_reused=len(film.segments) - segments,
        seconds=round(sum(stage.seconds for stage in film.stages), 3),
    )


def make_manifest(brief: Brief, film: Film, bucket: str) -> Manifest:
    """The manifest of `film`, created now."""
    objects = [*film.published]
    objects += [item for chunk in film.chunks for item in (chunk.object, *chunk.beside)]
    objects += [segment.object for segment in film.segments]
    return Manifest(
        kind=film.plan.kind,
        content_id=film.plan.content_id,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        address=f"s3://{bucket}/{film.video.key}",
        brief=StoredBrief.of(brief),
        storyboard=film.storyboard,
        plan=film.plan,
        estimate=film.estimate,
        clip=film.clip,
        objects=tuple({item.key: item for item in objects}.values()),
        chunks=film.chunks,
        transitions=film.transitions,
        segments=film.segments,
        models=film.models,
        stages=film.stages,
        software=_software(),
        warnings=tuple(_warnings(film)),
        run=summary_of(film),
        device=film.device,
    )


def _software() -> dict[str, str]:
    return {"python": platform.python_version()} | {
        name: metadata.version(name) for name in _SOFTWARE
    }


def _warnings(film: Film) -> Iterable[str]:
    yield from stand_ins(film.device, film.storyboard)
    for shot in film.storyboard.shots:
        if shot.note:
            yield f"shot {shot.number}: {shot.note}"
    for number, record in enumerate(film.chunks, start=1):
        if record.memory_mode not in ("", "resident"):
            yield f"chunk {number}: memory ran short, made with {record.memory_mode}"
        kept = next(take for take in record.takes if take.seed == record.seed)
        if kept.faults:
            faults = ", ".join(kept.faults)
            yield f"chunk {number}: {faults} in the best of {len(record.takes)} takes"
    for join in film.transitions:
        if join.made != join.asked:
            yield f"join {join.number}: no take went on smoothly, a {join.made} hides it"
    for number, part in enumerate(film.segments, start=1):
        yield from _segment_warnings(number, part)


def _segment_warnings(number: int, part: SegmentRecord) -> Iterable[str]:
    way, _, remade = part.memory_mode.partition(", ")
    if way == "tiled":
        yield f"segment {number}: memory ran short, upscaled in tiles"
    if remade:
        yield f"segment {number}: numbers overflowed in 16 bits, it has {remade}"
