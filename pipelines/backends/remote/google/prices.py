"""Prices of Google's video models, with their date and source.

An entry of the backends file may have prices of its own; these are the defaults.
"""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from pipelines.backends.remote.google.sizes import Resolution
from pipelines.schema.frozen import Frozen
from pipelines.schema.money import Money

_MILLION = Decimal(1_000_000)


class TokenPrices(Frozen):
    """Prices for a million tokens."""

    video: Decimal = Field(ge=0)
    """Of the clip, with its sound."""
    text: Decimal = Field(Decimal(0), ge=0)
    """Of what the model thinks and writes."""
    input: Decimal = Field(Decimal(0), ge=0)
    """Of the prompt and the pictures."""


class Prices(Frozen):
    """What a model costs."""

    as_of: date
    source: str = Field(min_length=1)
    """Where the numbers were read: an address, or “our contract”."""
    currency: str = Field("USD", pattern="^[A-Z]{3}$")
    per_second: Mapping[Resolution, Annotated[Decimal, Field(gt=0)]] = Field(min_length=1)
    """For a second of video with sound."""
    per_million_tokens: TokenPrices | None = None
    """If it is set, a job is settled from the tokens in the answer; else from its seconds."""
    margin: Decimal = Field(Decimal("0.1"), ge=0, le=1)
    """Share by which a reservation is above `per_second` where tokens are settled: thoughts,
    prompt and pictures are counted only in the answer."""

    def most(self, seconds: int, resolution: Resolution) -> Money:
        """The most that a clip of `seconds` costs: what is reserved for it."""
        amount = self.per_second[resolution] * seconds
        if self.per_million_tokens:
            amount *= 1 + self.margin
        return Money.of(amount, self.currency)

    def of_seconds(self, seconds: int, resolution: Resolution) -> Money:
        """The price of a clip by the list."""
        return Money.of(self.per_second[resolution] * seconds, self.currency)

    def of_tokens(self, usage: Mapping[str, float]) -> Money | None:
        """The price of the tokens `video_tokens`, `text_tokens` and `input_tokens`; None if no
        price for them is set or none were counted."""
        prices = self.per_million_tokens
        if prices is None or not any(usage.get(name) for name in USAGE):
            return None
        amount = sum(
            (
                Decimal(int(usage.get(name, 0))) * price / _MILLION
                for name, price in zip(
                    USAGE, (prices.video, prices.text, prices.input), strict=True
                )
            ),
            Decimal(0),
        )
        return Money.of(amount, self.currency)

    @property
    def nothing(self) -> Money:
        """Zero."""
        return Money.of(0, self.currency)


USAGE = ("video_tokens", "text_tokens", "input_tokens")
"""Names in `JobStatus.usage`."""

OMNI: Mapping[str, Prices] = {
    "gemini-omni-1.2-flash": Prices(
        as_of=date(2026, 11, 6),
        source="inference.sh/apps/google/gemini-omni-1-2-flash, which passes Google's prices on: "
        "$0.0232, 0.0695 and 0.1043 a second, $1.50 and $9.00 for a million input and thinking "
        "tokens. $12 for a million video tokens follows from 5,792 tokens a second at 720p",
        per_second={
            "360p": Decimal("0.0232"),
            "720p": Decimal("0.0695"),
            "1080p": Decimal("0.1043"),
        },
        per_million_tokens=TokenPrices(video=Decimal(12), text=Decimal(9), input=Decimal("1.5")),
    ),
    "gemini-omni-1.1-flash": Prices(
        as_of=date(2026, 9, 18),
        source="wavespeed.ai and runware.ai, which pass Google's prices on: $0.03, 0.10 and 0.15 a "
        "second; $17.50, 9.00 and 1.50 for a million video, text and input tokens",
        per_second={
            "360p": Decimal("0.03"),
            "720p": Decimal("0.10"),
            "1080p": Decimal("0.15"),
        },
        per_million_tokens=TokenPrices(
            video=Decimal("17.5"), text=Decimal(9), input=Decimal("1.5")
        ),
    ),
}
"""By model."""

_VEO_SOURCE = "cloud.google.com/vertex-ai/generative-ai/pricing as reported in May 2026, with sound"
VEO: Mapping[str, Prices] = {
    "veo-3.1-generate-001": Prices(
        as_of=date(2026, 5, 1),
        source=_VEO_SOURCE,
        per_second={"720p": Decimal("0.40"), "1080p": Decimal("0.40")},
    ),
    "veo-3.1-fast-generate-001": Prices(
        as_of=date(2026, 5, 1),
        source=_VEO_SOURCE,
        per_second={"720p": Decimal("0.10"), "1080p": Decimal("0.12")},
    ),
    "veo-3.1-lite-generate-001": Prices(
        as_of=date(2026, 5, 1),
        source=_VEO_SOURCE,
        per_second={"720p": Decimal("0.05"), "1080p": Decimal("0.08")},
    ),
}
"""By model."""


def check_prices(prices: Prices, resolutions: tuple[Resolution, ...], model: str) -> None:
    """Raises ValueError if a resolution has no price."""
    missing = [item for item in resolutions if item not in prices.per_second]
    if missing:
        raise ValueError(
            f"prices.per_second: {model} is offered with {', '.join(missing)}, for which no price "
            "is set; add it, or leave the resolution out of `resolutions`"
        )
