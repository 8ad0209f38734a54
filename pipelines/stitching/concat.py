"""Joins clips of equal encoding by copying packets, exactly, in 40 MB for any number of clips."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import ffmpeg

from pipelines.errors import MediaError
from pipelines.media.codec import mp4_options
from pipelines.media.ffmpeg import Ffmpeg
from pipelines.media.probe import probe, verify_clip
from pipelines.schema.clip import Clip
from pipelines.schema.sizes import Size


def stitch(tool: Ffmpeg, clips: Sequence[Path], path: Path, *, fps: int, frames: int) -> Clip:
    """Join `clips` of `fps` frames a second in order into `path`, without their sound.

    The last clip is trimmed so that `frames` remain. Raises MediaError if the clips differ in their
    encoding, if only some have a sound, if they hold too few frames or more than the last clip can
    lose, or if the result is not exact; and as `Ffmpeg.run`. Then there is no file.
    """
    probes = [probe(clip) for clip in clips]
    for clip, found in zip(clips, probes, strict=True):
        if found.signature != probes[0].signature:
            raise MediaError(
                f"{clip.name} cannot be joined to {clips[0].name}: {found.signature} differs "
                f"from {probes[0].signature}"
            )
        if (found.audio is None) != (probes[0].audio is None):
            silent, heard = sorted((clip, clips[0]), key=lambda one: probe(one).audio is not None)
            raise MediaError(
                f"{silent.name} is silent and {heard.name} has a sound: clips are joined silent, "
                "and the film's sound is added afterwards"
            )
    available = sum(found.frames for found in probes)
    if not available - probes[-1].frames < frames <= available:
        raise MediaError(f"{frames} frames are planned, the {len(clips)} clips hold {available}")
    signature = probes[0].signature
    part = path.with_suffix(".part")
    try:
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            playlist = _playlist(Path(folder), clips, [found.frames for found in probes], fps)
            source = ffmpeg.input(str(playlist), f="concat", safe=1, protocol_whitelist="file,pipe")
            copied = {"c": "copy", "map": "0:v:0", "frames:v": frames}
            tool.run(source.output(str(part.resolve()), **copied, **mp4_options(fps)))
        size = Size(signature.width, signature.height)
        joined = verify_clip(part, frames=frames, size=size, fps=fps, decode=False)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return joined


def _playlist(folder: Path, clips: Sequence[Path], lengths: Sequence[int], fps: int) -> Path:
    """Write a playlist with generated file names only: a foreign name could select another
    protocol."""
    lines = ["ffconcat version 1.0"]
    position = begin = 0
    for index, (clip, length) in enumerate(zip(clips, lengths, strict=True)):
        name = f"clip_{index:04d}.mp4"
        os.link(clip, folder / name)
        # ffmpeg adds these durations up. Each is the difference of two rounded positions, so that
        # their sum is never off by more than half a microsecond.
        position += length
        end = round(position * 1_000_000 / fps)
        # A sound begins before time 0, with the packet that players drop. Without the inpoint,
        # ffmpeg would take that time as the beginning of the clip.
        lines += [f"file {name}", "inpoint 0", f"duration {(end - begin) / 1_000_000:.6f}"]
        begin = end
    playlist = folder / "playlist.ffconcat"
    playlist.write_text("\n".join(lines) + "\n", encoding="ascii")
    return playlist
