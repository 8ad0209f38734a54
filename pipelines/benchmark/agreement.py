"""Krippendorff's alpha: how far several people who rate the same things agree.

Chosen because it takes any number of raters, ratings that are missing, and scores with an order.
1 is perfect agreement, 0 what chance gives, below 0 systematic disagreement. K. Krippendorff,
"Computing Krippendorff's Alpha-Reliability" (2011).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal

Metric = Literal["nominal", "ordinal", "interval"]


def krippendorff_alpha(units: Sequence[Sequence[int]], metric: Metric) -> float | None:
    """Alpha of `units`; each holds the values that different raters gave to one thing.

    Units with fewer than two values say nothing about agreement and are left out. None if no unit
    is left, or if all values are the same, for which alpha is not defined.
    """
    rated = [unit for unit in units if len(unit) > 1]
    coincidences: dict[tuple[int, int], float] = {}
    for unit in rated:
        together = Counter(
            (one, other) for i, one in enumerate(unit) for j, other in enumerate(unit) if i != j
        )
        for pair, count in together.items():
            coincidences[pair] = coincidences.get(pair, 0.0) + count / (len(unit) - 1)
    totals = Counter(value for unit in rated for value in unit)
    if len(totals) < 2:
        return None
    distance = _distance(metric, totals)
    n = sum(totals.values())
    observed = sum(count * distance(*pair) for pair, count in coincidences.items())
    expected = sum(totals[c] * totals[k] * distance(c, k) for c in totals for k in totals)
    return 1 - observed * (n - 1) / expected


def _distance(metric: Metric, totals: Counter[int]) -> Callable[[int, int], float]:
    """Squared difference of two values."""

    def nominal(c: int, k: int) -> float:
        return float(c != k)

    def interval(c: int, k: int) -> float:
        return float((c - k) ** 2)

    def ordinal(c: int, k: int) -> float:
        low, high = min(c, k), max(c, k)
        between = sum(count for value, count in totals.items() if low <= value <= high)
        return (between - (totals[c] + totals[k]) / 2) ** 2

    return {"nominal": nominal, "ordinal": ordinal, "interval": interval}[metric]
