"""Decides what is written to the ledger. Each decision may be repeated: then nothing is written."""

from collections.abc import Sequence
from decimal import Decimal

from pipelines.backends.remote.access import Charge
from pipelines.costs.book import Book, Line, lines_of
from pipelines.costs.caps import Caps, check_currency, check_limit, limits
from pipelines.costs.entries import Basis, Posting, Spender, State
from pipelines.errors import SettingsError
from pipelines.schema.money import Money


def reservations(
    charges: Sequence[Charge],
    book: Book,
    older: Sequence[Book],
    spender: Spender,
    caps: Caps,
    currency: str,
    day: str,
) -> tuple[Posting, ...]:
    """Postings that reserve all `charges` which are not reserved yet; empty if all are.

    Raises BudgetError, and reserves nothing, if one cap does not allow the sum. A cap that a person
    waived holds again as soon as the run would spend more than that person approved. SettingsError
    if a price has another currency than the studio.
    """
    for charge in charges:
        check_currency(charge.price, currency, f"backend {charge.backend}")
    check_book(book, currency)
    known = {charge.id for charge in charges if _counts(charge.id, (book, *older))}
    wanted = {charge.id: charge for charge in charges if charge.id not in known}
    asked = sum((charge.price.amount for charge in wanted.values()), Decimal(0))
    if not wanted:
        return ()
    total = Money.of(asked + _spent_by_run(spender, (book, *older), currency), currency)
    for limit in limits(caps, spender, day, book, older, currency):
        approved = spender.waived_up_to if limit.name in spender.waived else None
        if not _is_covered(total, approved):
            check_limit(limit, asked, currency, total, approved)
    return tuple(
        Posting(id=charge.id, backend=charge.backend, state="reserved", price=charge.price)
        for charge in wanted.values()
    )


def _spent_by_run(spender: Spender, books: Sequence[Book], currency: str) -> Decimal:
    """What counts already for the run of `spender` and its preset, without GPU time of our own."""
    return sum(
        (
            line.counted
            for line in lines_of(books)
            if (line.spender.run, line.spender.preset) == (spender.run, spender.preset)
            and line.gpu is None
            and line.price.currency == currency
        ),
        Decimal(0),
    )


def _is_covered(total: Money, approved: Money | None) -> bool:
    """Whether a person approved that the run spends `total`."""
    if approved is None or approved.currency != total.currency:
        return False
    return total.amount <= approved.amount


def check_book(book: Book, currency: str) -> None:
    """Raises SettingsError if `book` has amounts in another currency than the studio's."""
    others = {line.price.currency for line in book.lines.values()} - {currency}
    if others:
        raise SettingsError(
            f"REELWRIGHT_COSTS_CURRENCY={currency}: the ledger of {book.month} has amounts in "
            f"{', '.join(sorted(others))}, and amounts of different currencies are never added; "
            "change the currency back, and change it at the turn of a month before anything is "
            "spent in it"
        )


def _counts(charge: str, books: Sequence[Book]) -> bool:
    found = (book.lines.get(charge) for book in books)
    return any(line is not None and line.state != "released" for line in found)


def settlement(charge: Charge, price: Money, basis: Basis, line: Line | None) -> Posting | None:
    """The posting for a job that ended and costs `price`; None if that is written already.

    `line` is what the ledger says of the job. A later bill corrects an earlier one, and also a
    release, because the money is spent. Raises SettingsError if the price has another currency than
    the reservation: the sums of a month are in one currency.
    """
    if line and line.price.currency != price.currency:
        raise SettingsError(
            f"backend {charge.backend}: the job was reserved for {line.price} and costs {price}; "
            "amounts of different currencies are never added; change its prices and "
            f"REELWRIGHT_COSTS_CURRENCY back to {line.price.currency} until the job has ended, "
            "then run again"
        )
    if line and (line.state, line.price, line.basis) == ("settled", price, basis):
        return None
    if line and line.state == "settled" and line.basis == "billed" and basis == "estimated":
        return None  # a repetition that knows less
    return _posting(charge, "settled", price, basis, "")


def release(charge: Charge, reason: str, line: Line | None) -> Posting | None:
    """The posting for a job that costs nothing; None if nothing is open."""
    if line is None or line.state not in ("reserved", "kept"):
        return None
    return _posting(charge, "released", line.price, "estimated", reason)


def keeping(charge: Charge, reason: str, line: Line | None) -> Posting | None:
    """The posting for a job whose price nobody can tell; None if its end is known."""
    if line and line.state in ("kept", "settled"):
        return None
    price = line.price if line else charge.price
    return _posting(charge, "kept", price, "estimated", reason)


def _posting(charge: Charge, state: State, price: Money, basis: Basis, reason: str) -> Posting:
    return Posting(
        id=charge.id,
        backend=charge.backend,
        state=state,
        price=price,
        basis=basis,
        reason=reason[:500],
    )
