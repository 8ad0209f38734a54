"""What the judgements look at: frames shrunk to a few thousand pixels, and how they change."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from pipelines.media.codec import Frame

Floats = npt.NDArray[np.float32]

_SIDE = 64
"""Pixels of the shorter side at most: flicker, freezes and jumps are seen at this size, and
grain and compression noise are averaged away."""
_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""BT.709."""


def shrink(frame: Frame) -> Floats:
    """Block averages in 0…255, h x w x 3, with the shorter side at most _SIDE pixels."""
    block = -(-min(frame.shape[:2]) // _SIDE)
    height, width = (side // block * block for side in frame.shape[:2])
    blocks = frame[:height, :width].reshape(height // block, block, width // block, block, 3)
    return np.asarray(blocks.mean(axis=(1, 3)), np.float32)


def shrink_all(frames: Iterable[Frame]) -> Floats:
    """F x h x w x 3."""
    return np.stack([shrink(frame) for frame in frames])


def luma(small: Floats) -> Floats:
    """Brightness of shrunk frames, 0…255: one axis less."""
    return np.asarray(small @ _LUMA, np.float32)


def colour_steps(small: Floats) -> Floats:
    """Distance in RGB between the mean colours of each frame and the next: F - 1 values."""
    means = small.mean(axis=(1, 2))
    return np.asarray(np.linalg.norm(np.diff(means, axis=0), axis=-1), np.float32)


def structure_steps(small: Floats) -> Floats:
    """Mean change of brightness of a pixel from each frame to the next: F - 1 values."""
    changes = np.abs(np.diff(luma(small), axis=0))
    return np.asarray(changes.mean(axis=(1, 2)), np.float32)


def motion_steps(small: Floats) -> Floats:
    """How far each frame is from where the two before it were heading (their straight
    continuation), as mean change of brightness of a pixel: F - 1 values, the first 0."""
    bright = luma(small)
    wrong = np.abs(bright[2:] - 2 * bright[1:-1] + bright[:-2]).mean(axis=(1, 2))
    return np.concatenate([np.zeros(min(1, len(bright) - 1)), wrong]).astype(np.float32)
