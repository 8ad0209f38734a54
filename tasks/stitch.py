"""Stitching as a stage: the chunks' clips, or the upscaled segments, into one film."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prefect import task

from pipelines.joining import pieces_of, score_joins
from pipelines.progress import Progress
from pipelines.schema.manifest import ChunkRecord, JoinRecord
from pipelines.schema.plan import Plan
from pipelines.stitching import stitch
from tasks.knobs import STAGE
from tasks.progress import report
from tasks.room import LocalClip, Room


@dataclass(frozen=True)
class JoinedFilm:
    """The stitched film in this run's scratch folder, and how well its chunks meet."""

    path: Path
    joins: tuple[JoinRecord, ...]


@task(name="join", **STAGE)
def join_chunks(plan: Plan, chunks: Sequence[LocalClip], room: Room) -> JoinedFilm:
    """The film at its first size, and a figure for each of its joins."""
    with room.ledger.measure("stitch"):
        report(Progress("stitch", 0, 1, f"joining {len(chunks)} clips"))
        pieces = pieces_of(room.tool, plan, [clip.path for clip in chunks], room.folder)
        path = room.folder / "film.mp4"
        stitch(room.tool, pieces, path, frames=plan.frames)
        records = [clip.record for clip in chunks if isinstance(clip.record, ChunkRecord)]
        joins = score_joins(room.tool, plan, path, records)
        report(Progress("stitch", 1, 1, "joined"))
        return JoinedFilm(path, joins)


@task(name="stitch", task_run_name="stitch-{name}", **STAGE)
def stitch_film(plan: Plan, clips: Sequence[LocalClip], name: str, room: Room) -> Path:
    """Join upscaled segments into `name`.mp4 with exactly the planned frames."""
    with room.ledger.measure("stitch"):
        report(Progress("stitch", 0, 1, f"joining {len(clips)} clips"))
        path = room.folder / f"{name}.mp4"
        stitch(room.tool, [clip.path for clip in clips], path, frames=plan.frames)
        report(Progress("stitch", 1, 1, "joined"))
        return path
