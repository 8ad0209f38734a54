"""Measures what the checks compare: reduced frames, and the change from each frame to the next.

Frames are read one by one and only the last two are held, so that a film of any length can be
measured.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.backends.base import Frame

Floats = npt.NDArray[np.float32]

_SIDE = 64
"""Most pixels of the shorter side. Flicker, freezes and jumps are visible at this size, while grain
and compression noise average out."""
_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Weights of red, green and blue in the brightness, from BT.709."""


class Steps(NamedTuple):
    """Changes from each frame to the next, in levels of 255: F - 1 values each."""

    colour: Floats
    """Distance in RGB between the frames' mean colours."""
    structure: Floats
    """Mean change of a pixel's brightness."""
    motion: Floats
    """Mean difference of a pixel's brightness from the linear extrapolation of the two frames
    before; the first value is 0."""


class Brightness(NamedTuple):
    """Brightness of each reduced frame, 0 to 255."""

    mean: Floats
    brightest: Floats


def measure(frames: Iterable[Frame]) -> tuple[Brightness, Steps]:
    """Measure all frames in one pass, in order."""
    levels: list[tuple[float, float]] = []
    steps: list[tuple[float, float, float]] = []
    colour = bright = heading = None
    for frame in frames:
        small = shrink(frame)
        mean, light = small.mean(axis=(0, 1)), np.asarray(small @ _LUMA, np.float32)
        levels.append((float(light.mean()), float(light.max())))
        if colour is not None and bright is not None:
            forecast = 0.0 if heading is None else _distance(light, heading)
            steps.append((float(np.linalg.norm(mean - colour)), _distance(light, bright), forecast))
            heading = 2 * light - bright
        colour, bright = mean, light
    return (
        Brightness(*np.array(levels, np.float32).reshape(-1, 2).T),
        Steps(*np.array(steps, np.float32).reshape(-1, 3).T),
    )


def shrink(frame: Frame) -> Floats:
    """Averages of square blocks, 0 to 255, h x w x 3. The shorter side has at most _SIDE pixels."""
    block = -(-min(frame.shape[:2]) // _SIDE)
    height, width = (side // block * block for side in frame.shape[:2])
    blocks = frame[:height, :width].reshape(height // block, block, width // block, block, 3)
    return np.asarray(blocks.mean(axis=(1, 3)), np.float32)


def _distance(one: Floats, other: Floats) -> float:
    return float(np.abs(one - other).mean())
