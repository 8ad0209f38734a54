"""Amounts of money: exact decimal numbers with a currency."""

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Self

from pydantic import Field

from pipelines.schema.frozen import Frozen

_PLACES = Decimal("0.000001")
"""Amounts are kept to a millionth: tokens and single seconds cost fractions of a cent."""


class Money(Frozen):
    """An amount in one currency. Amounts of different currencies are never added."""

    amount: Decimal = Field(max_digits=18, decimal_places=6)
    currency: str = Field("USD", pattern="^[A-Z]{3}$")
    """ISO 4217."""

    @classmethod
    def of(cls, amount: Decimal | str | int, currency: str = "USD") -> Self:
        """`amount`, rounded to a millionth, half to even."""
        rounded = Decimal(amount).quantize(_PLACES, ROUND_HALF_EVEN)
        return cls(amount=rounded, currency=currency)

    def __add__(self, other: "Money") -> "Money":
        if self.currency != other.currency:
            raise ValueError(f"{self} and {other} have different currencies and cannot be added")
        return Money.of(self.amount + other.amount, self.currency)

    def __mul__(self, factor: Decimal | int) -> "Money":
        return Money.of(self.amount * factor, self.currency)

    def __str__(self) -> str:
        """Rounded to a cent, or with all its places if it is less than a cent."""
        cents = self.amount.quantize(Decimal("0.01"), ROUND_HALF_EVEN)
        exact = self.amount.normalize()
        shown = cents if abs(self.amount) >= Decimal("0.01") or not self.amount else exact
        return f"{shown:f} {self.currency}"


def total(amounts: Iterable[Money], currency: str) -> Money:
    """The sum, zero for none. Raises ValueError if one has another currency."""
    return sum(amounts, Money.of(0, currency))
