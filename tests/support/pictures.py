"""Synthetic frames with real structure, and ways to look at finished videos."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from pipelines.backends.base import Frame
from pipelines.media.codec import clip_writer
from pipelines.media.ffmpeg import Ffmpeg
from pipelines.schema.sizes import Size


def moving_frames(size: Size, count: int, seed: int = 0) -> Iterator[Frame]:
    """Coloured blocks that drift to the right, with an edge in every direction."""
    rng = np.random.default_rng(seed)
    blocks = (rng.random((size.height // 8, size.width // 8, 3)) * 255).astype(np.uint8)
    picture = np.kron(blocks, np.ones((8, 8, 1), np.uint8))
    for index in range(count):
        yield np.roll(picture, 2 * index, axis=1)


def numbered_frames(size: Size, count: int, first: int = 0) -> Iterator[Frame]:
    """Grey frames that carry their number as 12 black and white stripes."""
    for number in range(first, first + count):
        frame = np.full((size.height, size.width, 3), 128, np.uint8)
        stripes = np.array_split(np.arange(size.width), 12)
        for bit, columns in enumerate(stripes):
            frame[8:-8, columns] = 235 if number >> bit & 1 else 16
        yield frame


def read_number(frame: Frame) -> int:
    """The number that `numbered_frames` wrote, through any amount of compression."""
    stripes = np.array_split(frame[8:-8].mean(axis=(0, 2)), 12)
    return sum(1 << bit for bit, stripe in enumerate(stripes) if stripe.mean() > 128)


def write_clip(
    tool: Ffmpeg,
    path: Path,
    frames: Iterator[Frame],
    size: Size,
    count: int,
    crf: int = 12,
    fps: int = 16,
) -> Path:
    with clip_writer(tool, path, size, count, fps=fps, crf=crf, speed="veryfast") as write:
        for frame in frames:
            write(frame)
    return path


def decode(path: Path) -> list[Frame]:
    """All frames of a file as RGB, by PyAV and not by our own code."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def timestamps(path: Path) -> list[float]:
    """Presentation times in seconds, in the order of decoding."""
    with av.open(str(path)) as container:
        return [float(frame.time or 0) for frame in container.decode(video=0)]
