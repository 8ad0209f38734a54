"""A book of the ledger: the sums of one month, from its entries or from a snapshot of them."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

from pipelines.costs.entries import Basis, Entry, GpuUse, Posting, Spender, State
from pipelines.schema.frozen import Frozen
from pipelines.schema.money import Money


class Line(Frozen):
    """What one id costs: a job of a service, or the GPU time of a run."""

    id: str
    day: str
    """On which it was reserved, or the GPU time was used. The sum counts for this day also if it
    is settled later."""
    made: str
    """When its first posting was made: UTC, ISO 8601."""
    spender: Spender
    backend: str
    state: State
    price: Money
    basis: Basis
    reason: str = ""
    gpu: GpuUse | None = None

    @property
    def counted(self) -> Decimal:
        """What it adds to a sum: nothing if it was released, otherwise its price."""
        return Decimal(0) if self.state == "released" else self.price.amount

    @property
    def is_open(self) -> bool:
        """Whether it is reserved and has not ended."""
        return self.state == "reserved"


class Snapshot(Frozen):
    """A book up to one of its entries, stored as `ledger/<month>/totals-<number>.json`.

    It saves reading all entries. It can be calculated again from them at any time.
    """

    version: Literal[1] = 1
    month: str
    number: int
    last: str
    """SHA-256 of the entry with that number."""
    next_month: str = ""
    lines: tuple[Line, ...]


class Book:
    """The lines of one month after its first `number` entries."""

    def __init__(self, month: str) -> None:
        self.month = month
        self.number = 0
        self.last = ""
        """SHA-256 of the newest entry."""
        self.next_month = ""
        """Not empty: this book is closed. Nothing is reserved in it any more, but what was
        reserved is still settled here."""
        self.lines: dict[str, Line] = {}

    @classmethod
    def of(cls, snapshot: Snapshot) -> "Book":
        """The book that `snapshot` was made of."""
        book = cls(snapshot.month)
        book.number, book.last = snapshot.number, snapshot.last
        book.next_month = snapshot.next_month
        book.lines = {line.id: line for line in snapshot.lines}
        return book

    def snapshot(self) -> Snapshot:
        """The book as it is now."""
        return Snapshot(
            month=self.month,
            number=self.number,
            last=self.last,
            next_month=self.next_month,
            lines=tuple(self.lines.values()),
        )

    def apply(self, entry: Entry, sha256: str) -> None:
        """Add the next entry, whose bytes have `sha256`.

        Raises ValueError, and changes nothing, if it does not follow the entries that are here.
        """
        wanted = (self.month, self.number + 1, self.last)
        if (entry.month, entry.number, entry.before) != wanted:
            raise ValueError(
                f"entry {entry.number} of {entry.month} does not follow entry {self.number} of "
                f"{self.month}"
            )
        self.number, self.last = entry.number, sha256
        self.next_month = entry.next_month or self.next_month
        for posting in entry.postings:
            self._post(entry, posting)

    def _post(self, entry: Entry, posting: Posting) -> None:
        before = self.lines.get(posting.id)
        if before is None or entry.action == "reserve":
            # What was released and is reserved again is a new sum, of the new reservation's day.
            origin = (entry.day, entry.time, entry.spender)
        else:
            origin = (before.day, before.made, before.spender)
        day, made, spender = origin
        self.lines[posting.id] = Line(
            id=posting.id,
            day=day,
            made=made,
            spender=spender,
            backend=posting.backend,
            state=posting.state,
            price=posting.price,
            basis=posting.basis,
            reason=posting.reason,
            gpu=posting.gpu,
        )


def lines_of(books: Iterable[Book]) -> list[Line]:
    """All lines of `books`."""
    return [line for book in books for line in book.lines.values()]
