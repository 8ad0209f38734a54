"""Upscaling one segment of the stitched film into a clip of its own."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pipelines.media.codec import clip_writer, read_frames
from pipelines.media.ffmpeg import Ffmpeg
from pipelines.schema.presets import Size
from pipelines.upscaling.network import RealEsrgan

FINAL_CRF = 16
"""Constant rate factor of finished frames; 17-18 is called visually lossless by x264's guide."""
FINAL_SPEED = "veryfast"
"""x264 preset: at this rate factor slower ones save some size and cost more than the network."""


@dataclass(frozen=True)
class SegmentSource:
    """Frames `start` to `start + frames` of a film, beginning at a keyframe."""

    film: Path
    size: Size
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
    """Write the upscaled segment to `path`; memory does not depend on its length.

    `report` is told the frames done. Raises MediaError or UpscaleError; then there is no file.
    """
    large = source.size.scaled(factor)
    with (
        closing(
            read_frames(tool, source.film, source.size, start=source.start, frames=source.frames)
        ) as frames,
        clip_writer(tool, path, large, source.frames, crf=FINAL_CRF, speed=FINAL_SPEED) as write,
    ):
        for done, frame in enumerate(network.upscale(frames, factor), start=1):
            write(frame)
            report(done)
