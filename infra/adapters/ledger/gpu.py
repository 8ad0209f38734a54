"""Writes what the GPU time of a run costs."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Literal

from infra.adapters.ledger.ledger import add, log_of
from infra.adapters.ledger.rates import rates_of
from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings
from pipelines.costs.book import Book
from pipelines.costs.decisions import check_book
from pipelines.costs.entries import Posting, Spender
from pipelines.costs.gpu import gpu_seconds, price_of
from pipelines.schema.stages import Stage


def record_gpu(
    store: ObjectStore,
    settings: Settings,
    spender: Spender,
    id: str,
    backend: str,
    stages: Iterable[tuple[Stage, float]],
    *,
    device: str,
    location: Literal["device", "remote"],
    reason: str = "",
) -> Decimal:
    """Write the GPU time of one attempt at a run, also of one that failed. Returns its seconds.

    `id` names the attempt; with the same one it is written once. `stages` are pairs of a stage and
    its seconds, `device` is `cuda`, `cpu` or `remote`, `location` says where the clips are made,
    and `reason` says how a failed attempt ended. Nothing is written without a price of GPU time, or
    without GPU time. Raises SettingsError if the prices contradict each other or the month has
    amounts in another currency, StoreError, and CorruptObjectError.
    """
    rates = rates_of(settings)
    seconds = gpu_seconds(stages, device, location)
    if not (seconds and rates.are_known):
        return seconds
    use = rates.cost(seconds)
    posting = Posting(
        id=f"gpu-{id}",
        backend=backend,
        state="settled",
        price=price_of(use),
        reason=reason[:500],
        gpu=use,
    )

    def plan(book: Book, older: Sequence[Book], _: str) -> tuple[Posting, ...]:
        check_book(book, rates.currency)
        known = any(posting.id in found.lines for found in (book, *older))
        return () if known else (posting,)

    add(log_of(store, settings), "gpu", spender, plan, 1)
    return seconds
