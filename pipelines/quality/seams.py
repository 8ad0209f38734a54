"""The seam score: how much more a join jumps than the film moves anyway.

Colour, structure and motion each give a ratio: the step at the join over the median step
inside the chunks on both sides. 1 is a join that nobody sees; a hard cut to another picture
has 10 or more. The score is the largest of the three.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from pipelines.media.codec import Frame
from pipelines.quality.features import Floats, Steps, measure
from pipelines.schema.manifest import Seam

RETRY_SEAM = 3.0
"""From here a continued join is made again: of the demo model's first takes 29 in 100 lie above,
of unrelated chunks 98 (`make scorecard`)."""
MAX_SEAM = 4.0
"""From here even the best take is hidden by a dissolve."""

_FLOOR = {"colour": 1.5, "structure": 0.5, "motion": 0.5}
"""Least step, in levels of 255, that a join is measured against: nobody sees one of that size,
and in a still scene the median is nothing."""


def seam_between(before: Sequence[Frame], after: Sequence[Frame]) -> Seam:
    """The join of two runs of frames that follow each other."""
    last = len(before) - 1
    return seams_in([*before, *after], [(last, last)])[0]


def seams_in(frames: Iterable[Frame], joins: Sequence[tuple[int, int]]) -> list[Seam]:
    """A figure for each join of a film.

    A join is (first, last) step between frames, counted from 0; a crossfade has several. The
    medians are those of all steps of the film that belong to no join; the step after a join
    still shows it in the motion and is left out there as well.
    """
    _, steps = measure(frames)
    usual = np.ones(len(steps.colour), bool)
    for first, last in joins:
        usual[first : last + 2] = False
    ratios = [
        _ratios(values, _FLOOR[name], usual, joins)
        for name, values in zip(Steps._fields, steps, strict=True)
    ]
    return [
        Seam(
            colour=colour, structure=structure, motion=motion, score=max(colour, structure, motion)
        )
        for colour, structure, motion in zip(*ratios, strict=True)
    ]


def _ratios(
    steps: Floats, floor: float, usual: npt.NDArray[np.bool_], joins: Sequence[tuple[int, int]]
) -> list[float]:
    median = float(np.median(steps[usual])) if usual.any() else 0.0
    return [
        round(float(steps[first : last + 1].max()) / max(median, floor), 2) for first, last in joins
    ]
