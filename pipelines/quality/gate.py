"""The quality gate: black, frozen, flickering and non-finite chunks are found on the CPU.

A chunk that fails is made again with another seed; of all takes the best is kept. The gate
finds broken film, it is no judge of taste.
"""

from collections.abc import Sequence

import numpy as np

from pipelines.media.codec import Frame
from pipelines.quality.features import Floats, measure
from pipelines.schema.manifest import Fault, Take

MAX_RETRIES = 2
BLACK = 8.0
"""Of 255. A frame whose brightest pixel stays below it is black; a night scene keeps
highlights far above."""
MAX_BLACK_SHARE = 0.25
"""Of a chunk's frames; a short fade to black may be meant."""
FROZEN = 0.02
"""Levels of 255 that a pixel changes on average from frame to frame. Wan's grain alone moves
more than 0.1; only repeated frames stay below."""
MAX_FROZEN_SHARE = 0.5
MAX_FLICKER = 5.0
"""Levels of 255 by which the brightness of the whole frame goes to and fro, frame by frame."""


def judge(frames: Sequence[Frame], seed: int) -> Take:
    """Measure a finished take; its `faults` are empty if it may stand."""
    brightness, steps = measure(frames)
    black = float((brightness.brightest < BLACK).mean())
    frozen = float((steps.structure < FROZEN).mean()) if len(frames) > 1 else 0.0
    flicker = _flicker(brightness.mean)
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
    """The take that ended in NaN or infinity: there are no frames to measure."""
    return Take(seed=seed, faults=("non-finite",), black=1.0, frozen=1.0, flicker=0.0)


def rank(take: Take) -> tuple[int, float, float, float]:
    """Smaller is better: unusable takes last, then by faults, then by how bad they are."""
    unusable = 2 if "non-finite" in take.faults else int(take.black == 1.0)
    seam = take.seam or 0.0
    return (
        unusable,
        len(take.faults),
        take.black + take.frozen + 1 - MAX_FLICKER / max(take.flicker, MAX_FLICKER),
        seam,
    )


def _flicker(brightness: Floats) -> float:
    """Median distance of a frame from the mean of its two neighbours."""
    if len(brightness) < 3:
        return 0.0
    middle = (brightness[:-2] + brightness[2:]) / 2
    return float(np.median(np.abs(brightness[1:-1] - middle)))
