"""`reelwright costs`: what was spent in a month, as a table, JSON or CSV."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from infra.adapters.ledger.ledger import log_of
from infra.adapters.settings import Settings
from infra.apps.commands import show
from infra.apps.console import say
from infra.apps.reach import reached_store
from pipelines.costs.book import Book
from pipelines.costs.entries import MONTH
from pipelines.costs.report import csv_of, table_of, values_of
from pipelines.costs.summary import BY, By
from pipelines.errors import BriefError


def costs(month: str, by: str, file: Path | None, *, as_json: bool) -> None:
    """Print the costs of `month` (empty: the present one), and write every line to `file`.

    Raises BriefError for a value that cannot be meant or a file that cannot be written, and
    StoreError.
    """
    kind = _kind(by)
    if month and not re.fullmatch(MONTH, month):
        raise BriefError(f"--month {month!r} is no month; write it as 2026-11")
    with reached_store(say) as store:
        settings = Settings.load()
        log = log_of(store, settings)
        months = log.months()
        month = month or log.present_month()
        book = log.book(month)
    lines = list(book.lines.values())
    currency = lines[-1].price.currency if lines else settings.costs.currency
    if file is not None:
        _write(file, csv_of(lines))
    if as_json:
        found = values_of(lines, month, kind, currency)
        sys.stdout.write(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
        return
    if not lines:
        known = f"; there are costs of {', '.join(months)}" if months else ""
        show([f"nothing was spent in {month}{known}"])
        return
    show(table_of(lines, kind, currency))
    show(_notes(book))


def _kind(by: str) -> By:
    for known in BY:
        if known == by:
            return known
    raise BriefError(f"--by {by!r} is unknown; choose of {', '.join(BY)}")


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise BriefError(
            f"--csv {file} cannot be written ({error.strerror}); name a file in a directory that "
            "you may write to"
        ) from error
    say(f"written: {file}")


def _notes(book: Book) -> Iterator[str]:
    kept = sum(line.state == "kept" for line in book.lines.values())
    if kept:
        yield f"unknown: the answers of {kept} jobs were lost, so their whole price counts"
