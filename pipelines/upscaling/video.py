"""Upscales one segment of the stitched film into a clip."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pipelines.media.codec import clip_writer, read_frames
from pipelines.media.ffmpeg import Ffmpeg
from pipelines.schema.sizes import Size
from pipelines.upscaling.network import RealEsrgan

FINAL_CRF = 16
"""Constant rate factor of finished frames; 17-18 is called visually lossless by x264's guide."""
FINAL_SPEED = "veryfast"
"""x264 preset. At this rate factor, slower presets save little size and take longer than the
network."""


@dataclass(frozen=True)
class SegmentSource:
    """Frames `start` to `start + frames` of a film, beginning at a keyframe."""

    film: Path
    size: Size
    fps: int
    start: int
    frames: int


def upscale_segment(
    tool: Ffmpeg,
    network: RealEsrgan,
    source: SegmentSource,
    factor: int,
    path: Path,
    report: Callable[[int], None],
) -> None:
    """Write the upscaled segment to `path`. Memory does not depend on its length.

    `report` receives the number of finished frames. Raises MediaError if the film ends early or the
    clip is not as planned, UpscaleError if memory runs out even with the smallest tiles; and as
    `Ffmpeg.run`. Then there is no file.
    """
    large = source.size.scaled(factor)
    taken = read_frames(
        tool, source.film, source.size, fps=source.fps, start=source.start, frames=source.frames
    )
    written = clip_writer(
        tool, path, large, source.frames, fps=source.fps, crf=FINAL_CRF, speed=FINAL_SPEED
    )
    with closing(taken) as frames, written as write:
        for done, frame in enumerate(network.upscale(frames, factor), start=1):
            write(frame)
            report(done)
