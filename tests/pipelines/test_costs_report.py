"""Costs as people see them: tables, CSV, a chart, a page."""

import csv
import io
import xml.etree.ElementTree as ET
from decimal import Decimal

import pytest

from pipelines.costs.book import Line
from pipelines.costs.chart import COLOURS, chart_of
from pipelines.costs.entries import GpuUse, Spender
from pipelines.costs.report import csv_of, page_of, table_of, values_of
from pipelines.schema.money import Money


def line(number: int, amount: str, **values: object) -> Line:
    given = {
        "id": f"{number:064}-1",
        "day": "2026-11-27",
        "made": "2026-11-27T10:00:00+00:00",
        "spender": Spender(run="r", campaign="spring"),
        "backend": "cloud",
        "state": "settled",
        "price": Money.of(amount),
        "basis": "billed",
    }
    return Line.model_validate(given | values)


USE = GpuUse(
    seconds=Decimal("12.5"), electricity=Money.of("0.1"), depreciation=Money.of("0.2"), formula="f"
)
LINES = [
    line(1, "1.10"),
    line(2, "0.40", state="kept", basis="estimated", spender=Spender(run="r", campaign="autumn")),
    line(3, "5", state="released", reason="refused"),
    line(4, "0.25", state="reserved", day="2026-11-03", spender=Spender(run="r")),
    line(5, "0.30", gpu=USE, backend="wan", basis="estimated"),
]


def test_the_csv_has_a_row_for_each_line_and_its_amounts_add_up() -> None:
    rows = list(csv.DictReader(io.StringIO(csv_of(LINES))))
    assert len(rows) == len(LINES)
    assert [row["day"] for row in rows] == ["2026-11-03", *["2026-11-27"] * 4]
    assert sum(Decimal(row["amount"]) for row in rows) == Decimal("2.05")
    assert [row["gpu_seconds"] for row in rows if row["backend"] == "gpu"] == ["12.5"]


@pytest.mark.parametrize("name", ["=1+2", "+4", "-x", "@sum", "\tx"])
def test_no_name_becomes_a_formula_of_a_spreadsheet(name: str) -> None:
    text = csv_of([line(1, "1", spender=Spender(run="r", campaign=name))])
    (row,) = csv.DictReader(io.StringIO(text))
    assert row["campaign"] == f"'{name}"


def test_the_table_shows_what_is_certain_and_what_is_not() -> None:
    lines = list(table_of(LINES, "campaign", "USD"))
    assert lines[0].split() == [
        *("campaign", "jobs", "billed", "estimated", "unknown", "reserved", "GPU", "total,", "USD")
    ]
    assert lines[1].split() == ["spring", "2", "1.10", "0.00", "0.00", "0.00", "0.30", "1.40"]
    assert lines[3].split() == [
        *("(no", "campaign)", "1", "0.00", "0.00", "0.00", "0.25", "0.00", "0.25")
    ]
    assert lines[4].split() == ["total", "4", "1.10", "0.00", "0.40", "0.25", "0.30", "2.05"]


def test_amounts_for_programs_are_exact_texts() -> None:
    found = values_of([line(1, "0.000001"), line(2, "0.1")], "2026-11", "backend", "USD")
    assert found["total"]["total"] == "0.100001"
    assert found["sums"][0]["key"] == "cloud"


def test_the_chart_has_a_bar_for_each_day_and_backend_as_high_as_its_amount() -> None:
    root = ET.fromstring(chart_of(LINES, "2026-11", "USD"))
    bars = {str(bar.findtext("title")): Decimal(bar.get("height", "")) for bar in root.iter("rect")}
    assert set(bars) == {
        "2026-11-27, cloud: 1.5 USD",
        "2026-11-27, gpu: 0.3 USD",
        "2026-11-03, cloud: 0.25 USD",
    }
    high, low = bars["2026-11-27, cloud: 1.5 USD"], bars["2026-11-03, cloud: 0.25 USD"]
    assert abs(high / low - 6) < Decimal("0.1")
    assert not any("style" in element.attrib for element in root.iter())


def test_a_month_without_costs_has_no_chart() -> None:
    assert chart_of([line(1, "5", state="released")], "2026-11", "USD") == ""
    assert "Nothing was spent" in page_of([], "2026-11", "USD", "")


def test_more_backends_than_colours_are_drawn_together() -> None:
    lines = [line(n, str(20 - n), backend=f"b{n}") for n in range(len(COLOURS) + 3)]
    root = ET.fromstring(chart_of(lines, "2026-11", "USD"))
    titles = [str(bar.findtext("title")) for bar in root.iter("rect")]
    assert len(titles) == len(COLOURS)
    assert titles[-1] == "2026-11-27, others: 46 USD"


def test_names_of_editors_are_no_markup() -> None:
    evil = Spender(run="r", campaign="<script>alert(1)</script>")
    page = page_of([line(1, "1", spender=evil, backend="<b>")], "2026-11", "USD", "n <i>")
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "<b>" not in page
    assert "<i>" not in page
