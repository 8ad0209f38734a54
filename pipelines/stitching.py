"""Joining alike clips by copying packets: exact, and 40 MB for any number of clips."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import ffmpeg

from pipelines.errors import MediaError
from pipelines.media.codec import MUX
from pipelines.media.ffmpeg import Ffmpeg
from pipelines.media.probe import probe, verify_clip
from pipelines.schema.manifest import Clip
from pipelines.schema.presets import FPS, Size


def stitch(tool: Ffmpeg, clips: Sequence[Path], path: Path, *, frames: int) -> Clip:
    """Join `clips` in order into `path`; the last one is trimmed so that `frames` remain.

    Raises MediaError if the clips differ in what makes them joinable, if they hold too few
    frames or more than the last clip could lose, or if the result is not exact.
    """
    probes = [probe(clip) for clip in clips]
    for clip, found in zip(clips, probes, strict=True):
        if found.signature != probes[0].signature:
            raise MediaError(
                f"{clip.name} cannot be joined to {clips[0].name}: {found.signature} differs "
                f"from {probes[0].signature}"
            )
    available = sum(found.frames for found in probes)
    if not available - probes[-1].frames < frames <= available:
        raise MediaError(f"{frames} frames are planned, the {len(clips)} clips hold {available}")
    signature = probes[0].signature
    part = path.with_suffix(".part")
    try:
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            playlist = _playlist(Path(folder), clips, [found.frames for found in probes])
            source = ffmpeg.input(str(playlist), f="concat", safe=1, protocol_whitelist="file,pipe")
            copied = {"c": "copy", "map": "0:v:0", "frames:v": frames}
            tool.run(source.output(str(part.resolve()), **copied, **MUX))
        size = Size(signature.width, signature.height)
        joined = verify_clip(part, frames=frames, size=size, fps=FPS, decode=False)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return joined


def _playlist(folder: Path, clips: Sequence[Path], lengths: Sequence[int]) -> Path:
    """A list of generated names only: foreign text in it could name other protocols."""
    lines = ["ffconcat version 1.0"]
    for index, (clip, length) in enumerate(zip(clips, lengths, strict=True)):
        name = f"clip_{index:04d}.mp4"
        os.link(clip, folder / name)
        lines += [f"file {name}", f"duration {length / FPS:.6f}"]
    playlist = folder / "playlist.ffconcat"
    playlist.write_text("\n".join(lines) + "\n", encoding="ascii")
    return playlist
