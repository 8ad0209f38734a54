"""Intervals for shares, means and ratios. All are two-sided, at a given confidence."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from pipelines.schema.frozen import Frozen


class Interval(Frozen):
    """An estimate and its interval. None as an end means: without a limit on that side."""

    value: float
    low: float | None
    high: float | None
    n: int
    """Videos, or pairs of videos, on which it rests."""


def wilson(successes: int, n: int, confidence: float) -> Interval | None:
    """Wilson's score interval of a share; None if `n` is 0.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22
    (1927), 209-212. 27 of 30 gives 0.744 to 0.965 at 95 %.
    """
    if n == 0:
        return None
    found = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return Interval(value=successes / n, low=float(found.low), high=float(found.high), n=n)


def successes_needed(successes: int, n: int, share: float, confidence: float) -> int:
    """How many further videos without a failure bring the lower end to `share`, which is below 1.

    0 if it is there already.
    """
    more = 0
    while True:
        found = wilson(successes + more, n + more, confidence)
        if found and found.low is not None and found.low >= share:
            return more
        more += 1


def mean_interval(values: Sequence[float], confidence: float) -> Interval | None:
    """Student's t interval of a mean; None for no values, without limits for a single one.

    Values that are all the same give an interval of no width: gates say how many values they want.
    """
    if not values:
        return None
    array = np.asarray(values, float)
    mean, n = float(array.mean()), len(array)
    if n == 1:
        return Interval(value=mean, low=None, high=None, n=1)
    half = _quantile(confidence, n - 1) * float(array.std(ddof=1)) / math.sqrt(n)
    return Interval(value=mean, low=mean - half, high=mean + half, n=n)


def ratio_interval(
    ours: Sequence[float], theirs: Sequence[float], confidence: float
) -> Interval | None:
    """Interval of mean(ours) / mean(theirs) for pairs of videos of the same prompt and seed.

    Fieller's interval for paired values (E. C. Fieller, "Some problems in interval estimation",
    JRSS B 16 (1954), 175-185). Without limits if there is one pair, or if the mean of `theirs`
    cannot be told from 0. None without pairs, or if that mean is not above 0.
    """
    if len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} and {len(theirs)} values are no pairs")
    if not ours or np.mean(theirs) <= 0:
        return None
    a, b, n = np.asarray(ours, float), np.asarray(theirs, float), len(ours)
    ratio = float(a.mean() / b.mean())
    if n == 1:
        return Interval(value=ratio, low=None, high=None, n=1)
    covariance = np.cov(a, b) / n
    t2 = _quantile(confidence, n - 1) ** 2
    square = float(b.mean() ** 2 - t2 * covariance[1, 1])
    middle = float(a.mean() * b.mean() - t2 * covariance[0, 1])
    rest = float(a.mean() ** 2 - t2 * covariance[0, 0])
    if square <= 0:
        return Interval(value=ratio, low=None, high=None, n=n)
    root = math.sqrt(max(middle**2 - square * rest, 0.0))
    return Interval(value=ratio, low=(middle - root) / square, high=(middle + root) / square, n=n)


def _quantile(confidence: float, freedom: int) -> float:
    return float(stats.t.ppf(0.5 + confidence / 2, freedom))
