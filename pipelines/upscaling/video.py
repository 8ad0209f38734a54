"""Upscales one segment of the stitched film, and writes it as a clip.

These are two functions, so that one thread can encode while another one keeps the device busy.
"""

from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pipelines.backends.base import Frame
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


def upscaled_frames(
    tool: Ffmpeg, network: RealEsrgan, source: SegmentSource, factor: int
) -> Generator[Frame, None, None]:
    """Yield the frames of the segment, `factor` times as wide and high.

    A caller that may stop before the end must close the generator. Raises MediaError if the film
    ends early, UpscaleError if memory runs out even with the smallest tiles; and as `Ffmpeg.run`.
    """
    taken = read_frames(
        tool, source.film, source.size, fps=source.fps, start=source.start, frames=source.frames
    )
    with closing(taken) as frames:
        yield from network.upscale(frames, factor)


def write_segment(
    tool: Ffmpeg, frames: Iterable[Frame], source: SegmentSource, factor: int, path: Path
) -> None:
    """Write the upscaled `frames` of the segment to `path`. Memory does not depend on its length.

    Raises MediaError if it is another number of frames or the clip is not as planned; and as
    `Ffmpeg.run`. Then there is no file.
    """
    large = source.size.scaled(factor)
    with clip_writer(
        tool, path, large, source.frames, fps=source.fps, crf=FINAL_CRF, speed=FINAL_SPEED
    ) as write:
        for frame in frames:
            write(frame)
