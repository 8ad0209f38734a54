"""The books of the ledger in the bucket: reads entries, and adds the next one.

Whoever adds an entry has read all entries before it, because its number must be free: of several
writers the store lets one have it, and the others read again and decide again. So what was decided
from the sums, such as whether a cap allows a reservation, is still true when the entry is there.
"""

import fcntl
import logging
import os
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from infra.adapters.object_store import ObjectStore
from pipelines.costs.book import Book, Snapshot
from pipelines.costs.dates import day_of, month_of
from pipelines.costs.entries import MONTH, Draft, Entry, Spender, sha256_of
from pipelines.errors import CorruptObjectError, StoreError
from pipelines.schema.keys import ObjectKey

SNAPSHOT_EVERY = 20
"""Entries between two snapshots. A reader who starts anew reads at most about so many of them."""
_SNAPSHOTS_KEPT = 2
_TRIES = 200
"""Attempts to add one entry. Each one that fails has let another writer add its own."""
_PAUSE = 0.2
"""Longest pause before the second attempt, in seconds; it grows by as much with each one."""
_LONGEST_PAUSE = 2.0
_LOCK_SECONDS = 5.0
_JSON = "application/json"
_log = logging.getLogger("reelwright.ledger")
Plan = Callable[[Book], Draft | None]
Clock = Callable[[], datetime]


class ClosedBookError(Exception):
    """The month's book takes no new sums any more; the next one does."""


class LedgerLog:
    """The books of one bucket. What was read once is kept, because entries never change."""

    def __init__(
        self,
        store: ObjectStore,
        zone: ZoneInfo,
        *,
        lock: Path | None = None,
        clock: Clock = lambda: datetime.now(UTC),
    ) -> None:
        """`lock` is a file of this machine. Writers of one machine take turns by it, because the
        store makes those wait for a second who want the same number. It may be missing."""
        self._store, self._lock, self._clock = store, lock, clock
        self.zone = zone
        self._books: dict[str, Book] = {}
        self._known: set[str] = set()

    def months(self) -> list[str]:
        """The months that have a book, in order. Raises StoreError."""
        # A folder whose objects are gone may be listed for a while.
        return sorted(name for name in self._store.folders("ledger/") if self._has_book(name))

    def _has_book(self, month: str) -> bool:
        if month in self._known:
            return True
        if not re.fullmatch(MONTH, month):
            return False
        if self._store.head(ObjectKey.ledger_entry(month, 1)) is None:
            return False
        self._known.add(month)
        return True

    def book(self, month: str) -> Book:
        """The book of `month` up to its newest entry; an empty one if there is none.

        Raises CorruptObjectError if an entry that is not in a snapshot is missing or damaged, and
        StoreError if the store fails.
        """
        book = self._books.get(month) or self._from_snapshot(month)
        try:
            self._read_on(book)
        except ValueError:
            # The snapshot, or what was read before, does not fit the entries, which alone count.
            _log.warning("the ledger of %s is read anew from its first entry", month)
            book = self._from_entries(month)
        self._books[month] = book
        return book

    def audited(self, month: str) -> Book:
        """The book from its entries alone, each of which is read. Raises as `book`."""
        return self._from_entries(month)

    def older(self, month: str, most: int | None) -> list[Book]:
        """The `most` newest books before `month`; all if it is None. Raises as `book`."""
        names = [name for name in self.months() if name < month]
        first = 0 if most is None else max(len(names) - most, 0)
        return [self.book(name) for name in names[first:]]

    def current(self) -> Book:
        """The book that takes new sums.

        It is that of the present month. At the turn of a month the book before is closed first, so
        that hosts whose clocks differ reserve in one book and see each other's reservations.
        Raises as `append`.
        """
        month = self.present_month()
        newest = max(self.months(), default=month)
        while True:
            book = self.book(newest)
            if book.next_month:
                newest = book.next_month
            elif newest >= month:
                return book
            else:
                self.append(newest, lambda found: _closing(found, month))

    def present_month(self) -> str:
        """The month that the clock shows in the studio's time zone."""
        return month_of(self._clock(), self.zone)

    def day_in(self, month: str) -> str:
        """The present day, or the nearest one in `month`."""
        return day_of(self._clock(), self.zone, month)

    def append(self, month: str, plan: Plan) -> Book:
        """Add the entry that `plan` makes from the book as it is; it may make none.

        `plan` is called again if another writer was faster. Returns the book with the entry.
        Raises what `plan` raises, and StoreError if the store fails or is too busy.
        """
        with _turn(self._lock):
            for attempt in range(_TRIES):
                book = self.book(month)
                draft = plan(book)
                if draft is None:
                    return book
                entry = self._entry(book, draft)
                data = entry.as_bytes()
                key = ObjectKey.ledger_entry(month, entry.number)
                if self._store.put_if_absent(key, data, _JSON):
                    book.apply(entry, sha256_of(data))
                    self._write_snapshot(book)
                    return book
                time.sleep(random.uniform(0, min(_PAUSE * (attempt + 1), _LONGEST_PAUSE)))
        raise StoreError(
            f"the ledger of {month} is too busy: {_TRIES} times another run was faster; run again"
        )

    def _entry(self, book: Book, draft: Draft) -> Entry:
        now = self._clock()
        return Entry(
            month=book.month,
            number=book.number + 1,
            before=book.last,
            time=now.astimezone(UTC).isoformat(timespec="milliseconds"),
            day=day_of(now, self.zone, book.month),
            action=draft.action,
            spender=draft.spender,
            postings=draft.postings,
            next_month=draft.next_month,
        )

    def _from_entries(self, month: str) -> Book:
        book = Book(month)
        try:
            self._read_on(book)
        except ValueError as error:
            raise CorruptObjectError(
                f"the ledger of {month} is damaged: {error}; an object of ledger/{month}/ was "
                "deleted or replaced: restore that folder from a backup"
            ) from error
        return book

    def _read_on(self, book: Book) -> None:
        """Add the entries that follow. Raises ValueError if one does not fit."""
        while True:
            key = ObjectKey.ledger_entry(book.month, book.number + 1)
            found = self._store.get_version(key)
            if found is None:
                return
            book.apply(Entry.model_validate_json(found.data), sha256_of(found.data))

    def _from_snapshot(self, month: str) -> Book:
        for key in reversed(self._snapshots(month)):
            try:
                found = self._store.get_version(key)
                snapshot = Snapshot.model_validate_json(found.data) if found else None
            except (CorruptObjectError, ValidationError) as error:
                _log.warning("%s is not used: %s", key, error)
                continue
            if snapshot and self._is_of_our_entries(snapshot, month, key):
                return Book.of(snapshot)
        return Book(month)

    def _is_of_our_entries(self, snapshot: Snapshot, month: str, key: ObjectKey) -> bool:
        """Whether the bucket has the entry that a snapshot ends with.

        A backup that was made while entries were added may have a snapshot that is newer than its
        entries, whose numbers would then be missing for ever.
        """
        last = self._store.head(ObjectKey.ledger_entry(month, snapshot.number))
        named = ObjectKey.ledger_totals(month, snapshot.number)
        return key == named and last is not None and last.sha256 == snapshot.last

    def _write_snapshot(self, book: Book) -> None:
        """Write one now and then. An error is logged: the entry is there, which alone counts."""
        if book.number % SNAPSHOT_EVERY:
            return
        try:
            key = ObjectKey.ledger_totals(book.month, book.number)
            self._store.put_bytes(key, book.snapshot().model_dump_json().encode(), _JSON)
            for old in self._snapshots(book.month)[:-_SNAPSHOTS_KEPT]:
                self._store.delete(old)
        except StoreError:
            _log.warning("a snapshot of the ledger was not written", exc_info=True)

    def _snapshots(self, month: str) -> list[ObjectKey]:
        return self._store.list_keys(f"ledger/{month}/totals-")


def _closing(book: Book, month: str) -> Draft | None:
    if book.next_month:
        return None
    return Draft(action="close", spender=Spender(run=""), next_month=month)


@contextmanager
def _turn(path: Path | None) -> Iterator[None]:
    """Wait for this machine's turn, but not for a process that stands still."""
    if path is None:
        yield
        return
    handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + _LOCK_SECONDS
        while not _locks(handle) and time.monotonic() < deadline:
            time.sleep(0.02)
        yield
    finally:
        os.close(handle)


def _locks(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
