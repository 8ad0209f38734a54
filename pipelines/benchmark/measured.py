"""What comparisons have measured of each preset: for whoever chooses a preset, such as the router.

It lies in the bucket as `benchmarks/latest/measured.json`. Every report replaces the entries of its
own presets and keeps the others.
"""

from collections.abc import Mapping

from pipelines.schema.frozen import Frozen
from pipelines.schema.money import Money

FILE = "measured.json"
PEOPLE = "people, blind pairs, 1 to 5"
"""Scorer of the mean rating by people."""


class Quality(Frozen):
    """One figure about the quality of a preset's videos."""

    name: str
    """What it says, such as `mean rating`."""
    value: float
    low: float | None
    high: float | None
    n: int
    """Videos on which it rests."""
    scorer: str
    """Who measured it. Values of different scorers cannot be compared."""


class Measured(Frozen):
    """What the newest comparison with a preset measured."""

    preset: str
    benchmark: str
    """Name of the comparison."""
    date: str
    """UTC, ISO 8601, of its report."""
    videos: int
    """Videos that were asked for."""
    success: float
    """Share of them that was made."""
    seconds_per_second: float | None
    """Wall seconds for each second of video, mean; None if it was not measured."""
    device: str
    """`cuda`, `cpu` or `remote`: the seconds hold there only."""
    price_per_second: Money | None
    """Price of each second of video, mean; None if nobody knows it."""
    gpu_bytes: int
    qualities: tuple[Quality, ...]

    @property
    def rating(self) -> Quality | None:
        """The mean rating by people, if there is one."""
        return next((item for item in self.qualities if item.scorer == PEOPLE), None)


class MeasuredPresets(Frozen):
    """The newest values of all presets that were ever compared."""

    presets: Mapping[str, Measured] = {}

    def with_newer(self, found: Mapping[str, Measured]) -> "MeasuredPresets":
        """A copy where `found` replaces what is older."""
        newer = {
            name: item
            for name, item in found.items()
            if name not in self.presets or self.presets[name].date <= item.date
        }
        return MeasuredPresets(presets=dict(self.presets) | newer)
