"""How long the units of work take on one machine with one backend, as its recent runs show.

An estimate takes the median of the recent runs: one that was slow because something else kept the
machine busy does not move it. How far the runs lie apart gives the range.

Most work has a part that does not grow with it: a program is started, a file is stored. Where runs
had different amounts of work, both parts are taken from them.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import sqrt
from statistics import median, quantiles
from typing import Literal

from pydantic import BaseModel, ConfigDict

from pipelines.schema.sizes import Size

RateName = Literal["shot", "fixed", "chunk", "stitch", "upscale", "upload", "rest"]
_ANY_SIZE: frozenset[RateName] = frozenset({"shot", "fixed", "rest"})
"""Work that does not depend on the size of the picture."""
_EACH, _ALL = 9, 63
"""Most samples that are kept for a size, and in all, of each kind of work."""
_UNSURE, _HARDLY, _SURE = 2.0, 1.5, 1.25
"""The range is at least the median divided and multiplied by this: without a run, with one or two,
with more. Even equal runs do not promise that the next one takes the same time."""
_INSTANT = 1e-9
"""Seconds, for work that took none: ratios need more than 0."""
_APART = 1.25
"""Two amounts of work that differ by less say nothing about the part that does not grow."""
_FEW, _ENOUGH = 3, 5
"""Runs from which on the median is taken for sure, and from which on the fastest and the slowest
tenth are left out of the range."""


class Sample(BaseModel):
    """What one run took for each unit of work."""

    model_config = ConfigDict(frozen=True)

    size: str
    """Of its chunks, as `Size` writes it."""
    value: float
    """Seconds for each unit."""
    units: float = 1.0
    """How many units it did. Versions up to 0.6.0 did not keep it."""

    @property
    def seconds(self) -> float:
        return self.value * self.units


class Spread(BaseModel):
    """Seconds for some work: the usual ones, and between which most runs lie."""

    model_config = ConfigDict(frozen=True)

    low: float
    usual: float
    high: float
    runs: int = 0
    """How many runs it is taken from; 0: nothing was measured."""
    same_size: bool = False
    """Whether they had the size that was asked about."""


class Rates(BaseModel):
    """Seconds for each unit of work. The plain figures hold until there are runs."""

    model_config = ConfigDict(frozen=True)

    shot: float
    """For each shot that the language model writes."""
    chunk: float
    """For each unit of the backend's work, including both guidance passes and decoding."""
    upscale: float
    """For each source megapixel x frame."""
    fixed: float
    """Once in a run, for the stage that encodes the texts. Before anything was measured it stands
    for loading all models and for moving files too."""
    basis: str
    """Where the plain figures come from."""
    stitch: float = 0.0
    """For each megapixel x frame of the finished video."""
    upload: float = 0.0
    """Likewise."""
    rest: float = 0.0
    """Once in a run, for what belongs to no stage."""
    recent: Mapping[RateName, tuple[Sample, ...]] = {}
    """What the latest runs took, the newest last."""

    def spread(self, name: RateName, size: Size, units: float = 1.0) -> Spread:
        """What so many units of that work take, as the recent runs with that size show, or all
        recent runs if none had it."""
        samples = self.recent.get(name, ())
        own = [item for item in samples if _is_of(item, name, size)]
        counted = own or [*samples]
        plain = float(getattr(self, name))
        if not counted:
            usual = plain * units
            return Spread(low=usual / _UNSURE, usual=usual, high=usual * _UNSURE)
        once, each = _line(counted, plain)
        usual = once + each * units
        # How far the runs lie from what would have been expected of them.
        low, high = _most_of([item.seconds / (once + each * item.units) for item in counted])
        least = _SURE if own and len(counted) >= _FEW else _HARDLY
        return Spread(
            low=usual * min(low, 1 / least),
            usual=usual,
            high=usual * max(high, least),
            runs=len(counted),
            same_size=bool(own),
        )

    def learned(
        self,
        values: Mapping[RateName, float],
        size: Size,
        units: Mapping[RateName, float] | None = None,
    ) -> "Rates":
        """The rates with one more run, which took these seconds for each unit of work. `units` is
        how many it did of each; 1 where it says nothing."""
        recent, counts = dict(self.recent), units or {}
        for name, value in values.items():
            sample = Sample(size=str(size), value=value, units=counts.get(name, 1.0))
            recent[name] = _kept((*recent.get(name, ()), sample))
        return self.model_copy(update={"recent": recent})

    def measured(self, name: RateName, value: float, basis: str) -> "Rates":
        """The rates after somebody measured one kind of work; runs before that do not count."""
        recent = {kind: samples for kind, samples in self.recent.items() if kind != name}
        return self.model_copy(update={name: value, "basis": basis, "recent": recent})


def _is_of(sample: Sample, name: RateName, size: Size) -> bool:
    return name in _ANY_SIZE or sample.size == str(size)


def _line(samples: Sequence[Sample], plain: float) -> tuple[float, float]:
    """Seconds once and for each unit of work, by the median of the slopes between the samples
    (Theil and Sen), which a single slow run does not move.

    The slope is at least half of what the largest works took for each unit: short runs would else
    promise that long ones take no longer. Samples that are alike in their work say nothing of
    the slope. Where they took longer than the `plain` figure, nobody knows whether each unit did or
    something was done once; the geometric mean is at most as wrong as the root of either.
    """
    by_work = sorted(samples, key=lambda item: item.units)
    slopes = [
        (more.seconds - less.seconds) / (more.units - less.units)
        for less, more in combinations(by_work, 2)
        if more.units > _APART * less.units
    ]
    if slopes:
        most = by_work[-1].units / _APART
        steady = median(item.value for item in by_work if item.units >= most)
        each = max(min(median(slopes), steady), steady / 2, _INSTANT)
    else:
        value = max(median(item.value for item in samples), _INSTANT)
        each = sqrt(plain * value) if 0 < plain < value else value
    return max(median(item.seconds - each * item.units for item in samples), 0.0), each


def _most_of(values: list[float]) -> tuple[float, float]:
    """Between which the values lie; of many, without the fastest and the slowest tenth."""
    if len(values) < _ENOUGH:
        return min(values), max(values)
    tenths = quantiles(values, n=10, method="inclusive")
    return tenths[0], tenths[-1]


def _kept(samples: tuple[Sample, ...]) -> tuple[Sample, ...]:
    """The newest samples, of each size _EACH at most and _ALL in all."""
    counts: dict[str, int] = {}
    kept: list[Sample] = []
    for sample in reversed(samples):
        counts[sample.size] = counts.get(sample.size, 0) + 1
        if counts[sample.size] <= _EACH and len(kept) < _ALL:
            kept.append(sample)
    return tuple(reversed(kept))
