"""The report as one HTML file without scripts or addresses of others. The videos lie beside it."""

from functools import cache
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template

from pipelines.benchmark.report import Report
from pipelines.benchmark.statistics import Interval
from pipelines.benchmark.verdicts import Finding

_PLACES = 100.0
"""Width of a bar's scale, in per cent."""


def html_of(report: Report) -> str:
    """The page, complete."""
    return _template().render(
        report=report,
        rows=report.rows,
        bar=bar_of,
        number=_number,
        css=(files("pipelines.benchmark") / "templates" / "report.css").read_text("utf-8"),
        by_number=_by_number(report),
    )


def bar_of(finding: Finding) -> dict[str, float] | None:
    """Where interval, value and limit lie on a scale from 0 to 100; None without an interval.

    The scale begins at 0 and ends a tenth beyond the largest of them, or at the end of what the
    value can be. An open end reaches the end of the scale.
    """
    found = finding.interval
    if found is None:
        return None
    most = {"%": 1.0, "of 5": 5.0}.get(finding.unit, 0.0)
    known = [value for value in (found.value, found.high, finding.limit) if value is not None]
    end = most or 1.1 * max(known) or 1.0
    place = {
        "low": found.low if found.low is not None else 0.0,
        "high": found.high if found.high is not None else end,
        "value": found.value,
        "limit": finding.limit,
    }
    return {name: round(_PLACES * min(max(value / end, 0), 1), 2) for name, value in place.items()}


def _number(found: Interval | None, places: int = 2, factor: float = 1.0) -> str:
    """`1.23 (1.10 to 1.36)`, or a dash."""
    if found is None:
        return "–"
    value = f"{found.value * factor:,.{places}f}"
    if found.low is None or found.high is None or found.low == found.high:
        return value
    low, high = found.low * factor, found.high * factor
    return f"{value} ({low:,.{places}f} to {high:,.{places}f})"


def _by_number(report: Report) -> dict[int, list[object]]:
    """The samples of each number, in the order of the candidates; None for one that is missing."""
    found = {(item.candidate, item.number): item for item in report.samples}
    numbers = sorted({number for _, number in found})
    return {n: [found.get((row.slug, n)) for row in report.rows] for n in numbers}


@cache
def _template() -> Template:
    def load(name: str) -> str:
        return (files("pipelines.benchmark") / "templates" / name).read_text("utf-8")

    environment = Environment(
        loader=FunctionLoader(load),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html")
