"""The seam score: how much more a join jumps than the film moves anyway.

Colour, structure and motion each give a ratio: the step at the join over the median step
inside the chunks on both sides. 1 is a join that nobody sees; a hard cut to another picture
has 10 or more. The score is the largest of the three.
"""

from collections.abc import Callable, Sequence

import numpy as np

from pipelines.media.codec import Frame
from pipelines.quality.features import (
    Floats,
    colour_steps,
    motion_steps,
    shrink_all,
    structure_steps,
)
from pipelines.schema.manifest import Seam

MAX_SEAM = 4.0
"""From here a continued join is made again: well-continued joins of the demo model stay
below 3, joins of unrelated clips lie above 6 (`make scorecard` prints both)."""

_MEASURES: tuple[tuple[Callable[[Floats], Floats], float], ...] = (
    (colour_steps, 1.5),
    (structure_steps, 0.5),
    (motion_steps, 0.5),
)
"""Each with the least it is measured against (levels of 255): nobody sees a step of that
size, and in a still scene the median is nothing."""


def seam_between(before: Sequence[Frame], after: Sequence[Frame]) -> Seam:
    """The join of two runs of frames that follow each other, with at least 2 frames in all."""
    return seams_in(shrink_all([*before, *after]), [(len(before) - 1, len(before) - 1)])[0]


def seams_in(small: Floats, joins: Sequence[tuple[int, int]]) -> list[Seam]:
    """A figure for each join of a film of shrunk frames.

    A join is (first, last) step between frames, counted from 0; a crossfade has several. The
    medians are those of all steps of the film that belong to no join; the step after a join
    still shows it in the motion and is left out there as well.
    """
    usual = np.ones(len(small) - 1, bool)
    for first, last in joins:
        usual[first : last + 2] = False
    ratios = [_ratios(measure(small), floor, usual, joins) for measure, floor in _MEASURES]
    return [
        Seam(
            colour=colour, structure=structure, motion=motion, score=max(colour, structure, motion)
        )
        for colour, structure, motion in zip(*ratios, strict=True)
    ]


def _ratios(
    steps: Floats,
    floor: float,
    usual: np.ndarray[tuple[int], np.dtype[np.bool_]],
    joins: Sequence[tuple[int, int]],
) -> list[float]:
    median = float(np.median(steps[usual])) if usual.any() else 0.0
    return [
        round(float(steps[first : last + 1].max()) / max(median, floor), 2) for first, last in joins
    ]
