"""Prepares chunks for joining: crossfades are rendered, everything else is copied.

Only the frames of a crossfade are encoded again, for one pair of chunks at a time. One filter over
all chunks would hold all of them in memory.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pipelines.errors import MediaError
from pipelines.media.codec import clip_writer, mp4_options, read_frames
from pipelines.media.ffmpeg import Ffmpeg, forced_input
from pipelines.media.frame import mix
from pipelines.media.probe import probe, verify_clip
from pipelines.schema.sizes import Size

CHUNK_CRF = 12
"""Better quality than the finished film's, because upscaling makes every artefact visible."""
CHUNK_SPEED = "medium"


@dataclass(frozen=True)
class ChunkClip:
    """A chunk's silent clip and its place in the film, in frames."""

    path: Path
    frames: int
    """Frames of the clip. Those after `blend + frame_count` are not used; only the last chunk of a
    film may have such frames."""
    blend: int
    """Its first frames, which are blended with the last ones of the previous chunk. The frame after
    them must be a keyframe."""
    frame_count: int
    """Frames by which the chunk makes the film longer."""


def pieces_of(
    tool: Ffmpeg, chunks: Sequence[ChunkClip], size: Size, fps: int, folder: Path
) -> list[Path]:
    """Clips that give the film when they are joined in order. Clips without a crossfade are
    unchanged.

    The last piece may hold more frames than the film needs. Raises MediaError if a clip cannot be
    read or cut as planned; and as `Ffmpeg.run`.
    """
    pieces: list[Path] = []
    following = [chunk.blend for chunk in chunks[1:]] + [0]
    for index, (chunk, ahead) in enumerate(zip(chunks, following, strict=True)):
        clip = chunk.path
        if chunk.blend:
            fade = folder / f"fade_{index + 1:04d}.mp4"
            crossfade(tool, chunks[index - 1], chunk, fade, size, fps)
            pieces.append(fade)
        body = chunk.frame_count - ahead
        last = index + 1 == len(chunks)
        if chunk.blend or (not last and body < chunk.frames):
            part = folder / f"body_{index + 1:04d}.mp4"
            copy_part(tool, clip, part, size, fps=fps, start=chunk.blend, frames=body)
            clip = part
        pieces.append(clip)
    return pieces


def crossfade(
    tool: Ffmpeg, before: ChunkClip, after: ChunkClip, path: Path, size: Size, fps: int
) -> None:
    """Write the crossfade from the last frames of `before` to the first `after.blend` of `after`.

    Raises MediaError if a clip ends early or the file is not as planned; and as `Ffmpeg.run`.
    """
    blend = after.blend
    ending = read_frames(tool, before.path, size, fps=fps, frames=before.frames)
    beginning = read_frames(tool, after.path, size, fps=fps, frames=blend)
    writer = clip_writer(tool, path, size, blend, fps=fps, crf=CHUNK_CRF, speed=CHUNK_SPEED)
    with closing(ending), closing(beginning), writer as write:
        last = islice(ending, before.frames - blend, None)
        for index, (old, new) in enumerate(zip(last, beginning, strict=True), start=1):
            write(mix(old, new, index / (blend + 1)))


def copy_part(
    tool: Ffmpeg, clip: Path, path: Path, size: Size, *, fps: int, start: int, frames: int
) -> None:
    """Write `frames` frames of `clip` to `path`, from the keyframe `start` on, without encoding.

    Raises MediaError if `start` is no keyframe or the part is not exact; and as `Ffmpeg.run`.
    """
    if start not in probe(clip).keyframes:
        raise MediaError(f"{clip.name} cannot be cut before frame {start}, which is no keyframe")
    source = forced_input(clip, ss=f"{start / fps:.6f}")
    copied = {"c": "copy", "map": "0:v:0", "frames:v": frames, "avoid_negative_ts": "make_zero"}
    tool.run(source.output(str(path.resolve()), **copied, **mp4_options(fps)))
    verify_clip(path, frames=frames, size=size, fps=fps, decode=True)
