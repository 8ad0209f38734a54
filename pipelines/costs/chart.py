"""Draws the costs of a month as an SVG: a bar for each day, divided by backend.

Made on the server, without scripts and style attributes, which the gateway's pages forbid.
"""

import calendar
from collections.abc import Iterable, Sequence
from decimal import ROUND_CEILING, Decimal
from xml.sax.saxutils import escape, quoteattr

from pipelines.costs.book import Line
from pipelines.costs.summary import backend_of, sums_of

COLOURS = ("#e8b04b", "#5aa9e6", "#7fc97f", "#d6729a", "#b39ddb", "#e6855a", "#8bd0c8", "#a8a29a")
"""Of the backends, the dearest first; the last one is for all others together."""
OTHERS = "others"
_WIDTH, _HEIGHT = 720, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 8, 12, 34
_LINES = 4
"""Horizontal lines above zero."""


def colours_of(lines: Sequence[Line]) -> dict[str, str]:
    """A colour for each backend, the dearest first; more than COLOURS can tell are `others`."""
    names = [item.key for item in sums_of(lines, "backend")]
    own = names if len(names) <= len(COLOURS) else names[: len(COLOURS) - 1]
    found = dict(zip(own, COLOURS, strict=False))
    return found if len(own) == len(names) else {**found, OTHERS: COLOURS[-1]}


def chart_of(lines: Sequence[Line], month: str, currency: str) -> str:
    """The SVG of one month. Empty if nothing was spent."""
    colours = colours_of(lines)
    days = _amounts(lines, colours)
    highest = max((sum(day.values(), Decimal(0)) for day in days.values()), default=Decimal(0))
    if not highest:
        return ""
    top = _round_up(highest)
    year, number = map(int, month.split("-"))
    count = calendar.monthrange(year, number)[1]
    label = quoteattr(f"Costs of each day of {month} in {currency}, as in the table below")
    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label={label}>']
    parts += _scale(top, currency)
    for day in range(1, count + 1):
        name = f"{month}-{day:02}"
        parts += _bar(day, count, name, days.get(name, {}), top, colours, currency)
    return "".join([*parts, "</svg>"])


def _amounts(lines: Iterable[Line], colours: dict[str, str]) -> dict[str, dict[str, Decimal]]:
    """Amounts by day and backend."""
    days: dict[str, dict[str, Decimal]] = {}
    for line in lines:
        name = backend_of(line) if backend_of(line) in colours else OTHERS
        day = days.setdefault(line.day, {})
        day[name] = day.get(name, Decimal(0)) + line.counted
    return days


def _round_up(highest: Decimal) -> Decimal:
    """1, 2, 2.5 or 5 times a power of ten, not below `highest`."""
    power = Decimal(10) ** highest.adjusted()
    factors = (Decimal(1), Decimal(2), Decimal("2.5"), Decimal(5), Decimal(10))
    return next(power * factor for factor in factors if power * factor >= highest)


def _y(amount: Decimal, top: Decimal) -> float:
    room = _HEIGHT - _TOP - _BOTTOM
    return round(_TOP + room * float(1 - amount / top), 1)


def _scale(top: Decimal, currency: str) -> list[str]:
    parts = []
    for number in range(_LINES + 1):
        amount = top * number / _LINES
        y = _y(amount, top)
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}" stroke="currentColor" '
            f'stroke-opacity="0.25"/><text x="{_LEFT - 6}" y="{y + 4}" font-size="11" '
            f'fill="currentColor" text-anchor="end">{_short(amount)}</text>'
        )
    return [*parts, _text(_LEFT - 6, _HEIGHT - 10, escape(currency), "end")]


def _bar(
    day: int,
    count: int,
    name: str,
    amounts: dict[str, Decimal],
    top: Decimal,
    colours: dict[str, str],
    currency: str,
) -> list[str]:
    step = (_WIDTH - _LEFT - _RIGHT) / count
    x, parts, below = _LEFT + step * (day - 1), [], Decimal(0)
    for backend, colour in colours.items():
        amount = amounts.get(backend, Decimal(0))
        if not amount:
            continue
        high, low = _y(below + amount, top), _y(below, top)
        words = escape(f"{name}, {backend}: {amount.normalize():f} {currency}")
        parts.append(
            f'<rect x="{x + step * 0.12:.1f}" width="{step * 0.76:.1f}" y="{high}" '
            f'height="{low - high:.1f}" fill="{colour}"><title>{words}</title></rect>'
        )
        below += amount
    if day == 1 or day % 5 == 0:
        parts.append(_text(x + step / 2, _HEIGHT - 10, str(day), "middle"))
    return parts


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="11" fill="currentColor" '
        f'text-anchor="{anchor}">{words}</text>'
    )


def _short(amount: Decimal) -> str:
    """With as many places as the number has, and at most six."""
    places = amount.quantize(Decimal("0.000001"), ROUND_CEILING).normalize()
    return f"{places:f}"
