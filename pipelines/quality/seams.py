"""The seam score: how much a transition jumps, compared with the usual motion of the film.

Colour, structure and motion each give a ratio: the step at the transition, divided by the median
step inside the chunks. A ratio of 1 is invisible; a hard cut to another picture has 10 or more. The
score is the largest of the three.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from pipelines.backends.base import Frame
from pipelines.documents.manifest import Seam
from pipelines.quality.features import Floats, Steps, measure

RETRY_SEAM = 3.0
"""Above this score a continued chunk is made again. Of the demo model's first takes 35 in 100 lie
above, of unrelated chunks 98 (`make scorecard`)."""
MAX_SEAM = 4.0
"""Above this score even the best take is hidden by a crossfade."""

SMOOTH_SEAM = 1.5
"""Up to this score a transition is called smooth; the usual steps themselves vary as much."""
SCALE = (
    f"Up to {SMOOTH_SEAM:g} a join is smooth, up to {RETRY_SEAM:g} it is hardly seen, up to "
    f"{MAX_SEAM:g} it is visible, and above that it jumps, as a cut to another picture does."
)
"""What `in_words` says, for a page."""
_FLOOR = {"colour": 1.5, "structure": 0.5, "motion": 0.5}
"""Smallest step, in levels of 255, by which a ratio is divided. A step of that size is invisible,
and in a still scene the median is 0."""


def in_words(seam: Seam) -> str:
    """How a transition looks: its score on SCALE."""
    steps = ((SMOOTH_SEAM, "smooth"), (RETRY_SEAM, "hardly seen"), (MAX_SEAM, "visible"))
    return next((words for most, words in steps if seam.score <= most), "a jump")


def seam_between(before: Sequence[Frame], after: Sequence[Frame]) -> Seam:
    """The score of the transition between two sequences of frames."""
    last = len(before) - 1
    return seams_in([*before, *after], [(last, last)])[0]


def seams_in(frames: Iterable[Frame], joins: Sequence[tuple[int, int]]) -> list[Seam]:
    """The scores of all transitions of a film.

    A transition is given by its first and last step between frames, counted from 0; a crossfade has
    several steps. The medians are those of all steps outside of transitions. The step after a
    transition is left out too, because the transition still affects its motion.
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
