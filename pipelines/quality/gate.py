"""The quality gate: finds black, frozen, flickering and non-finite chunks on the CPU.

A chunk that fails is made again with another seed, and the best take is kept. The gate finds
technical faults; it does not judge taste.
"""

from collections.abc import Sequence

import numpy as np

from pipelines.backends.base import Frame
from pipelines.documents.manifest import Fault, Take
from pipelines.quality.features import Floats, measure

MAX_RETRIES = 2
BLACK = 8.0
"""Of 255. A frame is black if its brightest pixel is darker. Highlights of a night scene are far
brighter."""
MAX_BLACK_SHARE = 0.25
"""Share of a chunk's frames. A short fade to black may be intended."""
FROZEN = 0.02
"""Mean change of a pixel from frame to frame, in levels of 255. Wan's grain alone changes more than
0.1; only repeated frames are below."""
MAX_FROZEN_SHARE = 0.5
MAX_FLICKER = 5.0
"""Levels of 255 by which the brightness of the whole frame alternates from frame to frame."""


def judge(frames: Sequence[Frame], seed: int) -> Take:
    """Measure a finished take. If it passes, its `faults` are empty."""
    brightness, steps = measure(frames)
    black = float((brightness.brightest < BLACK).mean())
    frozen = float((steps.structure < FROZEN).mean()) if len(frames) > 1 else 0.0
    flicker = flicker_of(brightness.mean)
    faults: list[Fault] = []
    if black > MAX_BLACK_SHARE:
        faults.append("black")
    if frozen > MAX_FROZEN_SHARE:
        faults.append("frozen")
    if flicker > MAX_FLICKER:
        faults.append("flicker")
    return Take(
        seed=seed,
        faults=tuple(faults),
        black=round(black, 4),
        frozen=round(frozen, 4),
        flicker=round(flicker, 3),
    )


def non_finite(seed: int) -> Take:
    """The record of a take that ended in NaN or infinity, which has no frames to measure."""
    return Take(seed=seed, faults=("non-finite",), black=1.0, frozen=1.0, flicker=0.0)


def rank(take: Take) -> tuple[int, float, float, float]:
    """Sort key of a take; smaller is better. Unusable takes come last; then the number of faults
    counts, then their size."""
    unusable = 2 if "non-finite" in take.faults else int(take.black == 1.0)
    seam = take.seam or 0.0
    return (
        unusable,
        len(take.faults),
        take.black + take.frozen + 1 - MAX_FLICKER / max(take.flicker, MAX_FLICKER),
        seam,
    )


def flicker_of(brightness: Floats) -> float:
    """Median difference between the brightness of a frame and the mean of its two neighbours."""
    if len(brightness) < 3:
        return 0.0
    middle = (brightness[:-2] + brightness[2:]) / 2
    return float(np.median(np.abs(brightness[1:-1] - middle)))
