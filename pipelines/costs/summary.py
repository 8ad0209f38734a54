"""Sums of the ledger: by campaign, backend, video or day, and for one video."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, get_args

from pipelines.costs.book import Line
from pipelines.schema.frozen import Frozen
from pipelines.schema.money import Money

By = Literal["campaign", "backend", "video", "day"]
BY: tuple[By, ...] = get_args(By)
GPU = "gpu"
"""Stands for our own GPU where backends are named."""


@dataclass
class Sum:
    """What lines add up to. All amounts are in one currency; `total` has everything that counts."""

    key: str
    jobs: int = 0
    """Jobs of services, those that cost nothing included."""
    billed: Decimal = Decimal(0)
    estimated: Decimal = Decimal(0)
    """Settled by the price list, because the service counted nothing."""
    kept: Decimal = Decimal(0)
    reserved: Decimal = Decimal(0)
    gpu: Decimal = Decimal(0)
    gpu_seconds: Decimal = Decimal(0)
    released: int = field(default=0)
    """Jobs that cost nothing: refused, failed for free, never started."""

    @property
    def total(self) -> Decimal:
        return self.billed + self.estimated + self.kept + self.reserved + self.gpu

    def add(self, line: Line) -> None:
        """Count one line."""
        if line.gpu is not None:
            self.gpu += line.counted
            self.gpu_seconds += line.gpu.seconds
            return
        self.jobs += 1
        if line.state == "released":
            self.released += 1
        elif line.state == "settled" and line.basis == "billed":
            self.billed += line.counted
        elif line.state == "settled":
            self.estimated += line.counted
        elif line.state == "kept":
            self.kept += line.counted
        else:
            self.reserved += line.counted


def backend_of(line: Line) -> str:
    """The backend, or `gpu` for GPU time of our own."""
    return GPU if line.gpu is not None else line.backend


def key_of(line: Line, by: By) -> str:
    """What `line` belongs to; empty if it belongs to no campaign, or to no video yet."""
    if by == "campaign":
        return line.spender.campaign
    if by == "video":
        return line.spender.video
    return line.day if by == "day" else backend_of(line)


def sums_of(lines: Iterable[Line], by: By) -> tuple[Sum, ...]:
    """A sum for each key; days in order, otherwise the largest first."""
    found: dict[str, Sum] = {}
    for line in lines:
        key = key_of(line, by)
        found.setdefault(key, Sum(key)).add(line)
    if by == "day":
        return tuple(sorted(found.values(), key=lambda item: item.key))
    return tuple(sorted(found.values(), key=lambda item: (-item.total, item.key)))


def sum_of(lines: Iterable[Line]) -> Sum:
    """One sum of all lines."""
    found = Sum("total")
    for line in lines:
        found.add(line)
    return found


class VideoCost(Frozen):
    """What one backend, or our own GPU, cost for a video."""

    backend: str
    """`gpu` for our own GPU."""
    jobs: int
    price: Money
    basis: Literal["billed", "estimated"]
    """`billed` if a service counted all of it."""
    gpu_seconds: float = 0.0


class VideoCosts(Frozen):
    """What a video cost until it was published, failed jobs included."""

    total: Money
    parts: tuple[VideoCost, ...]


def video_costs(lines: Sequence[Line], content_id: str, run: str) -> VideoCosts | None:
    """The costs of a video over all runs that made it, and of its run before it had a content id.

    None if nothing was spent for it that the ledger knows of.
    """
    own = [
        line
        for line in lines
        if line.spender.video == content_id or (not line.spender.video and line.spender.run == run)
    ]
    if not own:
        return None
    currency = own[-1].price.currency
    own = [line for line in own if line.price.currency == currency]
    parts = tuple(_part(item, own, currency) for item in sums_of(own, "backend"))
    total = sum((line.counted for line in own), Decimal(0))
    return VideoCosts(total=Money.of(total, currency), parts=parts)


def _part(item: Sum, lines: Sequence[Line], currency: str) -> VideoCost:
    own = [line for line in lines if backend_of(line) == item.key and line.state != "released"]
    billed = bool(own) and all(line.state == "settled" and line.basis == "billed" for line in own)
    return VideoCost(
        backend=item.key,
        jobs=item.jobs,
        price=Money.of(item.total, currency),
        basis="billed" if billed else "estimated",
        gpu_seconds=float(item.gpu_seconds),
    )
