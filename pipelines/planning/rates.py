"""How long the units of work take on one machine with one backend, as its recent runs show.

An estimate takes the median of the recent runs: one that was slow because something else kept the
machine busy does not move it. How far the runs lie apart gives the range.
"""

from collections.abc import Mapping
from statistics import median, quantiles
from typing import Literal

from pydantic import BaseModel, ConfigDict

from pipelines.schema.sizes import Size

RateName = Literal["shot", "fixed", "chunk", "stitch", "upscale", "upload"]
_ANY_SIZE: frozenset[RateName] = frozenset({"shot", "fixed"})
"""Work that does not depend on the size of the picture."""
_EACH, _ALL = 9, 63
"""Most samples that are kept for a size, and in all, of each kind of work."""
_UNSURE, _HARDLY, _SURE = 2.0, 1.5, 1.25
"""The range is at least the median divided and multiplied by this: without a run, with one or two,
with more. Even equal runs do not promise that the next one takes the same time."""
_FEW, _ENOUGH = 3, 5
"""Runs from which on the median is taken for sure, and from which on the fastest and the slowest
tenth are left out of the range."""


class Sample(BaseModel):
    """What one run took for each unit of work."""

    model_config = ConfigDict(frozen=True)

    size: str
    """Of its chunks, as `Size` writes it."""
    value: float
    """Seconds."""


class Spread(BaseModel):
    """Seconds for each unit of work: the usual ones, and between which most runs lie."""

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
    recent: Mapping[RateName, tuple[Sample, ...]] = {}
    """What the latest runs took, the newest last."""

    def spread(self, name: RateName, size: Size) -> Spread:
        """What a unit of that work takes: the median of the recent runs with that size, or of all
        recent runs if none had it."""
        samples = self.recent.get(name, ())
        own = [item.value for item in samples if _is_of(item, name, size)]
        values = own or [item.value for item in samples]
        if not values:
            plain = float(getattr(self, name))
            return Spread(low=plain / _UNSURE, usual=plain, high=plain * _UNSURE)
        usual = median(values)
        least = _SURE if own and len(values) >= _FEW else _HARDLY
        low, high = _most_of(values)
        return Spread(
            low=min(low, usual / least),
            usual=usual,
            high=max(high, usual * least),
            runs=len(values),
            same_size=bool(own),
        )

    def learned(self, values: Mapping[RateName, float], size: Size) -> "Rates":
        """The rates with one more run, which took these seconds for each unit of work."""
        recent = dict(self.recent)
        for name, value in values.items():
            recent[name] = _kept((*recent.get(name, ()), Sample(size=str(size), value=value)))
        return self.model_copy(update={"recent": recent})

    def measured(self, name: RateName, value: float, basis: str) -> "Rates":
        """The rates after somebody measured one kind of work; runs before that do not count."""
        recent = {kind: samples for kind, samples in self.recent.items() if kind != name}
        return self.model_copy(update={name: value, "basis": basis, "recent": recent})


def _is_of(sample: Sample, name: RateName, size: Size) -> bool:
    return name in _ANY_SIZE or sample.size == str(size)


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
