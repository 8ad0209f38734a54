"""Caps on what may be spent, from the operator's settings or YAML file.

```yaml
video: 1.50
campaign: 50
campaigns:
  spring: 120
day: 10
month: 100
count_gpu: false
```
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal, get_args

from pydantic import Field

from pipelines.costs.book import Book, Line, lines_of
from pipelines.costs.entries import Spender
from pipelines.errors import BudgetError, SettingsError
from pipelines.schema.frozen import Frozen
from pipelines.schema.money import Money
from pipelines.yaml_files import read_yaml

CapName = Literal["video", "campaign", "day", "month"]
CAPS: tuple[CapName, ...] = get_args(CapName)
Amount = Annotated[Decimal, Field(ge=0, max_digits=18, decimal_places=6)]


class Caps(Frozen):
    """The most that may be spent; None: no cap. All amounts are in the studio's currency."""

    video: Amount | None = None
    """For one run, and for one video over all runs that make it."""
    campaign: Amount | None = None
    """For each campaign, from its first video on."""
    campaigns: Mapping[str, Amount] = {}
    """For the campaigns that are named here, in place of `campaign`."""
    day: Amount | None = None
    month: Amount | None = None
    count_gpu: bool = False
    """Whether GPU time of our own counts too. Otherwise only what services charge."""

    def of_campaign(self, name: str) -> Decimal | None:
        """The cap of one campaign. Videos of no campaign have none."""
        return self.campaigns.get(name, self.campaign) if name else None


def parse_caps(text: str, source: str, otherwise: Caps) -> Caps:
    """The caps of a YAML text. What it does not say is as in `otherwise`.

    Raises SettingsError with source, line, value and rule.
    """
    found = read_yaml(text, source, Caps)
    return otherwise.model_copy(
        update={name: getattr(found, name) for name in found.model_fields_set}
    )


def check_currency(price: Money, currency: str, where: str) -> None:
    """Raises SettingsError if `price`, which stands in `where`, has another currency than the
    studio."""
    if price.currency != currency:
        raise SettingsError(
            f"{where}: the price {price} is not in the studio's currency {currency}; amounts of "
            "different currencies are never added: write the price in that currency, or set "
            f"REELWRIGHT_COSTS_CURRENCY={price.currency}"
        )


@dataclass(frozen=True)
class Limit:
    """One cap with what counts towards it already."""

    name: CapName
    subject: str
    """Such as `campaign 'spring'` or `month 2026-11`."""
    cap: Decimal
    spent: Decimal
    """What is settled or kept."""
    reserved: Decimal

    @property
    def left(self) -> Decimal:
        """What may still be reserved; never negative."""
        return max(self.cap - self.spent - self.reserved, Decimal(0))


def limits(
    caps: Caps, spender: Spender, day: str, book: Book, older: Sequence[Book], currency: str
) -> Iterator[Limit]:
    """The caps that hold for `spender` on `day` in the month of `book`.

    `older` are the books before, which the caps of a campaign and of a video count too; months in
    another `currency` are left out.
    """
    present = [line for line in book.lines.values() if caps.count_gpu or line.gpu is None]
    before = [
        line
        for line in lines_of(older)
        if (caps.count_gpu or line.gpu is None) and line.price.currency == currency
    ]
    if caps.video is not None:
        own = [line for line in before + present if _same_video(line.spender, spender)]
        yield _limit("video", "this video", caps.video, own)
    cap = caps.of_campaign(spender.campaign)
    if cap is not None:
        name = spender.campaign
        own = [line for line in before + present if line.spender.campaign == name]
        yield _limit("campaign", f"campaign {name!r}", cap, own)
    if caps.day is not None:
        own = [line for line in present if line.day == day]
        yield _limit("day", f"day {day}", caps.day, own)
    if caps.month is not None:
        yield _limit("month", f"month {book.month}", caps.month, present)


def _same_video(one: Spender, other: Spender) -> bool:
    return one.run == other.run or (one.video != "" and one.video == other.video)


def _limit(name: CapName, subject: str, cap: Decimal, lines: Sequence[Line]) -> Limit:
    reserved = sum((line.counted for line in lines if line.is_open), Decimal(0))
    total = sum((line.counted for line in lines), Decimal(0))
    return Limit(name, subject, cap, total - reserved, reserved)


_REMEDIES: dict[CapName, str] = {
    "video": "make a shorter or cheaper video",
    "campaign": "make a shorter or cheaper video, or one of another campaign",
    "day": "try again tomorrow, or make a cheaper video",
    "month": "try again next month, or make a cheaper video",
}


def check_limit(
    limit: Limit, asked: Decimal, currency: str, total: Money, approved: Money | None = None
) -> None:
    """Raises BudgetError if `asked` does not fit under the cap.

    `total` is what the run would have spent then. `approved` is the smaller sum for which a person
    waived the cap; None if nobody did.
    """
    if asked <= limit.left:
        return
    spent, reserved, wanted, cap, left = (
        Money.of(amount, currency)
        for amount in (limit.spent, limit.reserved, asked, limit.cap, limit.left)
    )
    above = f" (a person approved {approved} for this run, not {total})" if approved else ""
    raise BudgetError(
        f"the cap of {cap} for {limit.subject} does not allow this: {spent} are spent, {reserved} "
        f"are reserved, {wanted} are asked for, and {left} are left{above}; no job was "
        "submitted. "
        f"{_REMEDIES[limit.name].capitalize()}, or let the operator raise the cap `{limit.name}`",
        cap=limit.name,
        total=total,
    )
