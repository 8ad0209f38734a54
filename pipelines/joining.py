"""Preparing chunks for the stitch: crossfades are rendered, everything else is copied.

Only the frames of a crossfade are encoded again, pair by pair; one filter over all chunks
would hold them all in memory.
"""

from collections.abc import Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

from pipelines.errors import MediaError
from pipelines.generation.continuing import mix
from pipelines.media.codec import MUX, clip_writer, read_frames
from pipelines.media.ffmpeg import Ffmpeg, forced_input
from pipelines.media.probe import probe, verify_clip
from pipelines.quality.seams import seams_in
from pipelines.schema.manifest import ChunkRecord, JoinRecord
from pipelines.schema.plan import Plan
from pipelines.schema.presets import FPS, Size

CHUNK_CRF = 12
"""Finer than the final film's: the upscaler sees every artefact that is left here."""
CHUNK_SPEED = "medium"


def pieces_of(tool: Ffmpeg, plan: Plan, clips: Sequence[Path], folder: Path) -> list[Path]:
    """Clips that, joined in order, are the film; those without a crossfade are used as they are.

    The last piece may hold more frames than the film needs. Raises MediaError.
    """
    pieces: list[Path] = []
    for index, (chunk, clip) in enumerate(zip(plan.chunks, clips, strict=True)):
        whole = plan.span_of(chunk).frames
        if chunk.blend:
            before = plan.chunks[index - 1]
            fade = folder / f"fade_{chunk.number:04d}.mp4"
            lengths = (before.spec.new_frames, chunk.blend)
            crossfade(tool, clips[index - 1], clip, fade, plan.size, *lengths)
            pieces.append(fade)
        body = whole - chunk.blend
        last = index + 1 == len(clips)
        if chunk.blend or (not last and body < chunk.spec.new_frames):
            part = folder / f"body_{chunk.number:04d}.mp4"
            copy_part(tool, clip, part, plan.size, start=chunk.blend, frames=body)
            clip = part
        pieces.append(clip)
    return pieces


def crossfade(
    tool: Ffmpeg, before: Path, after: Path, path: Path, size: Size, length: int, blend: int
) -> None:
    """The last `blend` of `before`'s `length` frames dissolving into the first of `after`."""
    with (
        closing(read_frames(tool, before, size, frames=length)) as old_frames,
        closing(read_frames(tool, after, size, frames=blend)) as beginning,
        clip_writer(tool, path, size, blend, crf=CHUNK_CRF, speed=CHUNK_SPEED) as write,
    ):
        ending = islice(old_frames, length - blend, None)
        for index, (old, new) in enumerate(zip(ending, beginning, strict=True), start=1):
            write(mix(old, new, index / (blend + 1)))


def copy_part(tool: Ffmpeg, clip: Path, path: Path, size: Size, *, start: int, frames: int) -> None:
    """`frames` frames of `clip` from frame `start` on, a keyframe's, without encoding again.

    Raises MediaError if they do not come out exactly.
    """
    if start not in probe(clip).keyframes:
        raise MediaError(f"{clip.name} cannot be cut before frame {start}, which is no keyframe")
    source = forced_input(clip, ss=f"{start / FPS:.6f}")
    copied = {"c": "copy", "map": "0:v:0", "frames:v": frames, "avoid_negative_ts": "make_zero"}
    tool.run(source.output(str(path.resolve()), **copied, **MUX))
    verify_clip(path, frames=frames, size=size, fps=FPS, decode=True)


def score_joins(
    tool: Ffmpeg, plan: Plan, film: Path, records: Sequence[ChunkRecord]
) -> tuple[JoinRecord, ...]:
    """A figure for each join of the stitched film, before it is enlarged."""
    if len(plan.chunks) < 2:
        return ()
    later = plan.chunks[1:]
    starts = [plan.span_of(chunk).start for chunk in later]
    steps = [
        (start - 1, start - 1 + chunk.blend) for start, chunk in zip(starts, later, strict=True)
    ]
    with closing(read_frames(tool, film, plan.size, frames=plan.frames)) as frames:
        seams = list(seams_in(frames, steps))
    return tuple(
        JoinRecord(
            number=chunk.number - 1,
            frame=start,
            asked=chunk.join,
            made=record.join,
            retries=len(record.takes) - 1,
            seam=seam,
        )
        for chunk, start, record, seam in zip(later, starts, records[1:], seams, strict=True)
    )
