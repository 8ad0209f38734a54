"""Shows costs as CSV, as a table for the terminal, as JSON, and as a page that stands alone."""

import csv
import io
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from pipelines.costs.book import Line
from pipelines.costs.chart import chart_of, colours_of
from pipelines.costs.summary import By, Sum, backend_of, sum_of, sums_of
from pipelines.schema.money import Money

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a cell of a spreadsheet may begin with to be calculated. Names of campaigns are written by
editors."""
_NOTHING = {"campaign": "(no campaign)", "video": "(no video yet)", "backend": "", "day": ""}
COLUMNS = (
    "day",
    "campaign",
    "video",
    "run",
    "preset",
    "backend",
    "state",
    "basis",
    "amount",
    "currency",
    "gpu_seconds",
    "reason",
    "id",
)


def csv_of(lines: Sequence[Line]) -> str:
    """A row for every job and every use of the GPU, in the order of their days."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for line in sorted(lines, key=lambda line: (line.day, line.made, line.id)):
        writer.writerow([_cell(value) for value in _row(line)])
    return text.getvalue()


def _row(line: Line) -> tuple[str, ...]:
    spender = line.spender
    return (
        line.day,
        spender.campaign,
        spender.video,
        spender.run,
        spender.preset,
        backend_of(line),
        line.state,
        line.basis,
        f"{line.counted:f}",
        line.price.currency,
        f"{line.gpu.seconds:f}" if line.gpu else "",
        line.reason,
        line.id,
    )


def _cell(value: str) -> str:
    return f"'{value}" if value.startswith(_FORMULA) else value


def name_of(item: Sum, by: By) -> str:
    """What a sum is called."""
    return item.key or _NOTHING[by]


def table_of(lines: Sequence[Line], by: By, currency: str) -> Iterator[str]:
    """The sums as lines of a table, the sum of all last."""
    head = (by, "jobs", "billed", "estimated", "unknown", "reserved", "GPU", f"total, {currency}")
    rows: list[tuple[str, ...]] = [head]
    for item in (*sums_of(lines, by), sum_of(lines)):
        amounts = (item.billed, item.estimated, item.kept, item.reserved, item.gpu, item.total)
        rows.append((name_of(item, by), str(item.jobs), *map(cents, amounts)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    for row in rows:
        first, *others = (
            f"{cell:{'<' if not column else '>'}{widths[column]}}"
            for column, cell in enumerate(row)
        )
        yield "  ".join([first, *others]).rstrip()


def cents(amount: Decimal) -> str:
    """To a cent; an amount below a cent with all its places."""
    return str(Money.of(amount)).rpartition(" ")[0]


def values_of(lines: Sequence[Line], month: str, by: By, currency: str) -> dict[str, Any]:
    """The sums as plain values. Amounts are texts, so that no program makes them inexact."""
    return {
        "month": month,
        "currency": currency,
        "by": by,
        "sums": [_values(item) for item in sums_of(lines, by)],
        "total": _values(sum_of(lines)),
    }


def _values(item: Sum) -> dict[str, Any]:
    return {
        "key": item.key,
        "jobs": item.jobs,
        "jobs_without_cost": item.released,
        "billed": f"{item.billed:f}",
        "estimated": f"{item.estimated:f}",
        "unknown": f"{item.kept:f}",
        "reserved": f"{item.reserved:f}",
        "gpu": f"{item.gpu:f}",
        "gpu_seconds": f"{item.gpu_seconds:f}",
        "total": f"{item.total:f}",
    }


def page_of(lines: Sequence[Line], month: str, currency: str, note: str) -> str:
    """An HTML page of one month that needs nothing beside it. `note` says what it was made of."""
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    template = environment.from_string(
        (Path(__file__).parent / "report.html").read_text(encoding="utf-8")
    )
    return template.render(**page_values(lines, month, currency), note=note)


def page_values(lines: Sequence[Line], month: str, currency: str) -> dict[str, Any]:
    """What a page of one month shows."""
    return {
        "month": month,
        "currency": currency,
        "chart": Markup(chart_of(lines, month, currency)),  # noqa: S704 (its texts are escaped)
        "colours": colours_of(lines),
        "total": sum_of(lines),
        "tables": [(by, sums_of(lines, by)) for by in ("campaign", "backend", "day")],
        "cents": cents,
        "name_of": name_of,
    }
