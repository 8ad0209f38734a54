"""Looks after the ledger at night: settles what ended runs left open, and reports past months."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.runtime import deployment
from pydantic import BaseModel

from infra.adapters.ledger import BucketLedger, LedgerLog
from infra.adapters.ledger.ledger import log_of
from infra.adapters.object_store import ObjectStore
from infra.adapters.remote.journal import StoredJournal
from infra.adapters.settings import Settings
from pipelines.backends.remote.access import Charge
from pipelines.costs.book import Book, Line
from pipelines.costs.caps import Caps
from pipelines.costs.report import cents, csv_of, name_of, page_of
from pipelines.costs.stale import Fate, fate_of, job_of
from pipelines.costs.summary import sum_of, sums_of
from pipelines.errors import StoreError
from pipelines.schema.keys import ObjectKey
from tasks.artifacts import page_of as gateway_page
from tasks.options import STAGE
from tasks.purge import living_runs

_MONTHS = 3
"""Newest books that are looked through."""
_log = logging.getLogger("reelwright.costs")


class LedgerReport(BaseModel):
    """What was done to the ledger."""

    settled: int = 0
    """Reservations that were released, kept or settled."""
    reported: tuple[str, ...] = ()
    """Months whose report was written."""
    failure: str = ""

    def sentence(self) -> str:
        """The result in one sentence; empty if there was nothing to do."""
        words = []
        if self.settled:
            words.append(f"{self.settled} reservations of ended runs were settled")
        if self.reported:
            words.append(f"costs reported of {', '.join(self.reported)}")
        return "; ".join([*words, *([self.failure] if self.failure else [])])


@task(name="tend-ledger", **STAGE)
def tend_ledger(dry_run: bool = False) -> LedgerReport:
    """End reservations whose run has ended without settling them, and report past months.

    An error of the ledger is logged and in the result: housekeeping goes on without it. Raises
    SettingsError if a setting is invalid, StoreError if the store does not answer at all, and
    httpx.HTTPError if Prefect's server fails.
    """
    settings = Settings.load()
    store = ObjectStore(settings.store)
    log = log_of(store, settings)
    if not log.months():
        return LedgerReport()
    living, _ = living_runs()
    now = datetime.now(UTC)
    try:
        fates = list(fates_of(log, store, living, now))
        for line, fate in () if dry_run else fates:
            _carry_out(log, line, fate, settings.costs.currency)
        written = () if dry_run else _report_past_months(log, store)
    except StoreError as error:
        _log.error("the ledger needs the operator: %s", error)
        return LedgerReport(failure=f"the ledger was not looked after: {error}")
    return LedgerReport(settled=len(fates), reported=written)


def _report_past_months(log: LedgerLog, store: ObjectStore) -> tuple[str, ...]:
    past = [name for name in log.months() if name < log.present_month()]
    return tuple(name for name in past[-_MONTHS:] if report_month(log, store, name))


def fates_of(
    log: LedgerLog, store: ObjectStore, living: frozenset[str], now: datetime
) -> Iterator[tuple[Line, Fate]]:
    """The reservations that are ended, each with what is done and why. Raises StoreError."""
    journal = StoredJournal(store)
    for month in log.months()[-_MONTHS:]:
        for line in list(log.book(month).lines.values()):
            job = job_of(line)
            if job is None or not line.is_open:
                continue
            fate = fate_of(line, journal.read(job[0]), living, now)
            if fate is not None:
                yield line, fate


def _carry_out(log: LedgerLog, line: Line, fate: Fate, currency: str) -> None:
    ledger = BucketLedger(log, line.spender, Caps(), currency)
    charge = Charge(id=line.id, backend=line.backend, price=line.price)
    _log.info("%s is %s: %s", line.id, fate.action, fate.reason)
    if fate.action == "release":
        ledger.release(charge, fate.reason)
    elif fate.action == "keep":
        ledger.keep(charge, fate.reason)
    else:
        ledger.settle(charge, line.price, "estimated")


def report_month(log: LedgerLog, store: ObjectStore, month: str) -> bool:
    """Write the report of a month, unless it is there as it would be. Returns whether it was.

    It is made from all entries of the book and not from a snapshot. Raises StoreError, and
    CorruptObjectError if the book is damaged.
    """
    book = log.audited(month)
    lines = list(book.lines.values())
    if not lines:
        return False
    currency = lines[-1].price.currency
    note = f"Made from the {book.number} entries of ledger/{month}/ in the bucket."
    texts = {
        "csv": ("text/csv; charset=utf-8", csv_of(lines)),
        "html": ("text/html; charset=utf-8", page_of(lines, month, currency, note)),
    }
    changed = False
    for suffix, (kind, text) in texts.items():
        changed |= _put(store, ObjectKey.ledger_report(month, suffix), text.encode(), kind)
    if changed:
        _show(book, currency)
    return changed


def _put(store: ObjectStore, key: ObjectKey, data: bytes, kind: str) -> bool:
    if store.get_bytes(key) == data:
        return False
    store.put_bytes(key, data, kind)
    return True


def _show(book: Book, currency: str) -> None:
    if deployment.id is None:
        return
    lines = list(book.lines.values())
    rows = [
        {"campaign": name_of(item, "campaign"), "jobs": item.jobs, currency: cents(item.total)}
        for item in sums_of(lines, "campaign")
    ]
    words = f"Costs of {book.month}: {cents(sum_of(lines).total)} {currency}"
    page = gateway_page(f"/costs?month={book.month}")
    link = f" ([page]({page}))" if page else ""
    create_table_artifact(rows, key=f"costs-{book.month}", description=words + link)
