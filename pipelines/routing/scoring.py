"""The score of an option: quality, price and time, each from 0 to 1, by the policy's weights."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.routing.candidates import Option
from pipelines.routing.measured import Measured
from pipelines.routing.policy import BEST, Choices, Policy
from pipelines.schema.durations import time_words


@dataclass(frozen=True)
class Score:
    """A score, and where it comes from in words."""

    total: float
    reasons: tuple[str, ...]


def score_of(
    option: Option, policy: Policy, choices: Choices, measured: Mapping[str, Measured]
) -> Score:
    """The weighted mean of three scores.

    Quality counts as its share of the best rating. A price, and a time, count as `half / (half +
    x)`: 1 for nothing, one half at the policy's `half`, and never 0. None of them depends on the
    other options, so a preset that comes or goes does not turn the order of the others.
    """
    assert option.forecast is not None
    price = float(option.forecast.price.amount) if option.forecast.price else 0.0
    seconds, half, weights = option.forecast.seconds, policy.half, choices.weights
    rating, source = _quality(option, policy, measured)
    quality = rating / BEST
    cost = float(half.price) / (float(half.price) + price)
    speed = half.seconds / (half.seconds + seconds)
    whole = weights.quality + weights.cost + weights.speed
    weighted = quality * weights.quality + cost * weights.cost + speed * weights.speed
    total = weighted / whole
    paid = str(option.forecast.price) if price else "nothing"
    return Score(
        total,
        (
            f"quality {rating:g} of {BEST:g} ({source})",
            f"score {total:.2f} = {quality:.2f} for quality x {weights.quality:g}, {cost:.2f} for "
            f"paying {paid} x {weights.cost:g}, {speed:.2f} for {time_words(seconds)} x "
            f"{weights.speed:g}, divided by {whole:g}",
        ),
    )


def _quality(option: Option, policy: Policy, measured: Mapping[str, Measured]) -> tuple[float, str]:
    found = measured.get(option.preset.name)
    if found and found.videos >= policy.ratings:
        return found.rating, f"measured: {found.scorer}, {found.videos} videos"
    for name in (option.preset.name, option.preset.backend):
        if name in policy.quality:
            return policy.quality[name], "assumed by the policy"
    return policy.unknown_quality, "assumed by the policy for presets that it does not name"
