"""What one run spends: the ledger that a remote backend is given."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from infra.adapters.disk import make_directory
from infra.adapters.ledger.log import Clock, ClosedBookError, LedgerLog
from infra.adapters.ledger.rates import caps_of, zone_of
from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings
from pipelines.backends.remote.access import Charge
from pipelines.costs.book import Book, Line
from pipelines.costs.caps import Caps, check_currency
from pipelines.costs.decisions import check_book, keeping, release, reservations, settlement
from pipelines.costs.entries import NO_WAIVER, Action, Basis, Draft, Posting, Spender, Waiver
from pipelines.schema.money import Money

_SEARCHED = 2
"""Books before the present one in which a reservation is looked for. A job lasts a day at most, and
a run that is interrupted may go on in the next month."""


def open_ledger(
    store: ObjectStore,
    settings: Settings,
    run: str,
    campaign: str = "",
    preset: str = "",
    *,
    video: str = "",
    waiver: Waiver = NO_WAIVER,
) -> "BucketLedger":
    """The ledger of one run. It reads the caps now, and the bucket when it is used.

    `run` is the editor's run, also for what its child runs spend. `video` is the content id; with
    it the cap of a video holds over all runs that make the same one. `waiver` says which caps a
    person has waived for this run, and up to which sum. Raises SettingsError if the file of caps
    is wrong.
    """
    spender = Spender(
        run=run,
        campaign=campaign,
        preset=preset,
        video=video,
        waived=waiver.caps,
        waived_up_to=waiver.up_to,
    )
    return BucketLedger(
        log_of(store, settings), spender, caps_of(settings.costs), settings.costs.currency
    )


def log_of(
    store: ObjectStore, settings: Settings, clock: Clock = lambda: datetime.now(UTC)
) -> LedgerLog:
    """The books of `store`, in the time zone of `settings`."""
    folder = make_directory(settings.paths.data_dir, private=True)
    return LedgerLog(store, zone_of(settings.costs), lock=folder / "ledger.lock", clock=clock)


def check_currency_of_month(store: ObjectStore, settings: Settings) -> None:
    """Raises SettingsError if the ledger of this month has amounts in another currency than
    `settings`, CorruptObjectError, and StoreError."""
    log = log_of(store, settings)
    check_book(log.book(log.present_month()), settings.costs.currency)


class BucketLedger:
    """A Ledger in the bucket. All methods raise StoreError if the store fails, and
    CorruptObjectError if the ledger is damaged: then nothing is spent."""

    def __init__(self, log: LedgerLog, spender: Spender, caps: Caps, currency: str) -> None:
        self._log, self._spender, self._caps, self._currency = log, spender, caps, currency

    def reserve(self, charges: Sequence[Charge]) -> None:
        """Reserve all `charges`, or none. What is reserved already is not reserved again.

        Raises BudgetError, which names the cap, if one of them would be above it; SettingsError if
        a price is not in the studio's currency.
        """
        if not charges:
            return

        def plan(book: Book, older: Sequence[Book], day: str) -> tuple[Posting, ...]:
            return reservations(
                charges, book, older, self._spender, self._caps, self._currency, day
            )

        # The cap of a campaign counts from its first video on, so it needs every book.
        everything = self._caps.of_campaign(self._spender.campaign) is not None
        add(self._log, "reserve", self._spender, plan, None if everything else _SEARCHED)

    def settle(self, charge: Charge, price: Money, basis: Basis) -> None:
        """The job has ended and costs `price`, in place of what was reserved."""
        check_currency(price, self._currency, f"backend {charge.backend}")
        self._change("settle", charge, lambda line: settlement(charge, price, basis, line))

    def release(self, charge: Charge, reason: str) -> None:
        """The job costs nothing."""
        self._change("release", charge, lambda line: release(charge, reason, line))

    def keep(self, charge: Charge, reason: str) -> None:
        """It is not known what the job costs: the reservation stays as if it were spent."""
        self._change("keep", charge, lambda line: keeping(charge, reason, line))

    def _change(
        self, action: Action, charge: Charge, decide: Callable[[Line | None], Posting | None]
    ) -> None:
        """Write what `decide` makes of the line of a charge, in the book that has the line."""

        def plan(book: Book) -> Draft | None:
            posting = decide(book.lines.get(charge.id))
            if posting is None:
                return None
            return Draft(action=action, spender=self._spender, postings=(posting,))

        month = find(self._log, charge.id)
        if month:
            self._log.append(month, plan)
        elif decide(None):
            # Nobody reserved it, but the money is spent: the ledger must say so.
            add(self._log, action, self._spender, lambda *_: _only(decide(None)), _SEARCHED)


def find(log: LedgerLog, charge: str) -> str:
    """The month whose book has the newest sum of a charge; empty if none has."""
    for month in reversed(log.months()):
        if charge in log.book(month).lines:
            return month
    return ""


def add(
    log: LedgerLog,
    action: Action,
    spender: Spender,
    plan: Callable[[Book, Sequence[Book], str], tuple[Posting, ...]],
    most_older: int | None,
) -> None:
    """Add new sums to the present book: those that `plan` makes from it, from the `most_older`
    books before (None: all), and from the day. Raises as `LedgerLog.append`, and what `plan`
    raises."""
    while True:
        month = log.current().month

        def draft(book: Book) -> Draft | None:
            if book.next_month:
                raise ClosedBookError
            postings = plan(book, log.older(book.month, most_older), log.day_in(book.month))
            return Draft(action=action, spender=spender, postings=postings) if postings else None

        try:
            log.append(month, draft)
        except ClosedBookError:
            continue
        return


def _only(posting: Posting | None) -> tuple[Posting, ...]:
    return (posting,) if posting else ()
