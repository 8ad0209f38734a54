"""The stitch stage: joins the chunks' clips, or the upscaled segments, and adds the sound."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prefect import task

from pipelines.chunks.files import ChunkFiles
from pipelines.documents.manifest import ChunkRecord, TransitionRecord
from pipelines.media.sound import ChunkSound, add_sound, film_sound, read_sound
from pipelines.progress import Progress
from pipelines.quality.transitions import score_transitions
from pipelines.schema.plan import Plan
from pipelines.stitching.concat import stitch
from pipelines.stitching.pieces import ChunkClip, pieces_of
from tasks.context import LocalClip, RunContext
from tasks.options import STAGE
from tasks.progress import report


@dataclass(frozen=True)
class JoinedFilm:
    """The stitched film in this run's scratch folder, and the scores of its transitions."""

    path: Path
    transitions: tuple[TransitionRecord, ...]


@task(name="join", **STAGE)
def join_chunks(plan: Plan, chunks: Sequence[LocalClip], context: RunContext) -> JoinedFilm:
    """Join the chunks to a silent film at the size before upscaling, and score its transitions.

    Raises MediaError if the clips cannot be joined, or the film is not exactly as planned.
    """
    with context.costs.measure("stitch"):
        report(Progress("stitch", 0, 1, f"joining {len(chunks)} clips"))
        clips = [
            ChunkClip(clip.path, chunk.request.new_frames, chunk.blend, chunk.frame_count)
            for chunk, clip in zip(plan.chunks, chunks, strict=True)
        ]
        pieces = pieces_of(context.tool, clips, plan.size, plan.fps, context.folder)
        path = context.folder / "film.mp4"
        stitch(context.tool, pieces, path, frames=plan.frames, fps=plan.fps)
        records = [clip.record for clip in chunks if isinstance(clip.record, ChunkRecord)]
        transitions = score_transitions(context.tool, plan, path, records)
        report(Progress("stitch", 1, 1, "joined"))
        return JoinedFilm(path, transitions)


@task(name="stitch", task_run_name="stitch-{name}", **STAGE)
def stitch_film(plan: Plan, clips: Sequence[LocalClip], name: str, context: RunContext) -> Path:
    """Join the upscaled segments into `name`.mp4.

    Raises MediaError if they cannot be joined, or the film does not have exactly the planned
    frames.
    """
    with context.costs.measure("stitch"):
        report(Progress("stitch", 0, 1, f"joining {len(clips)} clips"))
        path = context.folder / f"{name}.mp4"
        paths = [clip.path for clip in clips]
        stitch(context.tool, paths, path, frames=plan.frames, fps=plan.fps)
        report(Progress("stitch", 1, 1, "joined"))
        return path


@task(name="sound", **STAGE)
def add_film_sound(
    plan: Plan, chunks: Sequence[LocalClip], film: Path, context: RunContext
) -> Path:
    """The film with the sound of its chunks if the backend makes sound, else the film unchanged.

    Raises MediaError if the sound of a chunk is damaged or too short, or ffmpeg fails.
    """
    if not context.backend.definition.capabilities.audio:
        return film
    with context.costs.measure("stitch"):
        report(Progress("stitch", 0, 1, "adding the sound"))
        sounds = [
            ChunkSound(read_sound(ChunkFiles(clip.path).sound), chunk.blend, chunk.frame_count)
            for chunk, clip in zip(plan.chunks, chunks, strict=True)
        ]
        path = film.with_name(f"{film.stem}_sound.mp4")
        add_sound(context.tool, film, film_sound(sounds, plan.fps), path)
        report(Progress("stitch", 1, 1, "sound added"))
        return path
