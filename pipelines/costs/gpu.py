"""The price of GPU time of our own: electricity and depreciation, by the operator's figures."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from pipelines.costs.entries import GpuUse
from pipelines.schema.frozen import Frozen
from pipelines.schema.money import Money
from pipelines.schema.stages import Stage

_HOUR = Decimal(3600)
_LOCAL_STAGES: frozenset[Stage] = frozenset({"enhance", "upscale"})
"""Stages that use our GPU also when a service makes the clips. `encode` and `chunks` are then time
of waiting for the service; stitching and uploading use the CPU."""
Figure = Annotated[Decimal, Field(ge=0)]


class GpuRates(Frozen):
    """What the GPU costs. Zeros mean unknown, and then GPU time costs nothing in the ledger."""

    currency: str = "USD"
    watts: Figure = Decimal(0)
    """Power of the GPU, or of the whole machine, while it works."""
    kwh_price: Figure = Decimal(0)
    card_price: Figure = Decimal(0)
    """Price of the card, less what it brings at its end."""
    card_hours: Figure = Decimal(0)
    """Hours of work over which that price is spread."""
    hour_price: Figure = Decimal(0)
    """A rented GPU, in place of all the others."""

    @property
    def are_known(self) -> bool:
        """Whether an hour has a price."""
        return self.electricity_hour + self.depreciation_hour > 0

    @property
    def electricity_hour(self) -> Decimal:
        """For an hour of work."""
        return self.watts / 1000 * self.kwh_price

    @property
    def depreciation_hour(self) -> Decimal:
        """For an hour of work; the whole price of a rented GPU."""
        worn = self.card_price / self.card_hours if self.card_hours else Decimal(0)
        return worn + self.hour_price

    def cost(self, seconds: Decimal) -> GpuUse:
        """Price of `seconds` of GPU time. Both parts are rounded to a millionth."""
        hours = seconds / _HOUR
        return GpuUse(
            seconds=seconds,
            electricity=Money.of(self.electricity_hour * hours, self.currency),
            depreciation=Money.of(self.depreciation_hour * hours, self.currency),
            formula=self.formula,
        )

    @property
    def formula(self) -> str:
        """The calculation in words."""
        if self.hour_price:
            return f"{self.hour_price} {self.currency} an hour"
        return (
            f"{self.watts} W x {self.kwh_price} {self.currency}/kWh + {self.card_price} "
            f"{self.currency} / {self.card_hours} h"
        )


def price_of(use: GpuUse) -> Money:
    """Both parts together."""
    return use.electricity + use.depreciation


def gpu_seconds(
    stages: Iterable[tuple[Stage, float]], device: str, location: Literal["device", "remote"]
) -> Decimal:
    """Seconds for which a run uses our GPU, to a millisecond.

    `stages` are pairs of a stage and its seconds, `device` is `cuda`, `cpu` or `remote`, and
    `location` says where the clips are made. A run that makes its clips here has the GPU for all
    its stages, because no other run may use it meanwhile.
    """
    if device != "cuda":
        return Decimal(0)
    used = (s for stage, s in stages if location == "device" or stage in _LOCAL_STAGES)
    return Decimal(str(round(sum(used), 3)))
