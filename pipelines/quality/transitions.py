"""Scores the transitions of a stitched film."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from pipelines.documents.manifest import ChunkRecord, TransitionRecord
from pipelines.media.codec import read_frames
from pipelines.media.ffmpeg import Ffmpeg
from pipelines.quality.seams import seams_in
from pipelines.schema.plan import Plan


def score_transitions(
    tool: Ffmpeg, plan: Plan, film: Path, records: Sequence[ChunkRecord]
) -> tuple[TransitionRecord, ...]:
    """A record with a score for each transition of the stitched film, before upscaling.

    Raises MediaError if the film ends early; and as `Ffmpeg.run`.
    """
    if len(plan.chunks) < 2:
        return ()
    later = plan.chunks[1:]
    starts = [plan.span_of(chunk).start for chunk in later]
    steps = [
        (start - 1, start - 1 + chunk.blend) for start, chunk in zip(starts, later, strict=True)
    ]
    frames = read_frames(tool, film, plan.size, fps=plan.fps, frames=plan.frames)
    with closing(frames):
        seams = list(seams_in(frames, steps))
    return tuple(
        TransitionRecord(
            number=chunk.number - 1,
            frame=start,
            asked=chunk.transition,
            made=record.transition,
            retries=len(record.takes) - 1,
            seam=seam,
        )
        for chunk, start, record, seam in zip(later, starts, records[1:], seams, strict=True)
    )
