"""A verdict for each gate: go, no-go, or not enough data.

"go" only if the bad end of the interval passes, "no-go" if even its good end fails; between them
the data do not decide. So 27 of 30 successes (74 to 97 %) say neither that 90 % is reached nor that
it is not.
"""

from collections.abc import Iterator
from typing import Literal

from pipelines.benchmark.figures import Entrant, Figures
from pipelines.benchmark.gates import Gate, Gates
from pipelines.benchmark.statistics import Interval, successes_needed
from pipelines.schema.frozen import Frozen

Verdict = Literal["go", "no-go", "not enough data"]


class Finding(Frozen):
    """One gate, for one candidate, or for a candidate compared with another one."""

    gate: str
    """Its id."""
    title: str
    candidate: str
    """Slug."""
    against: str = ""
    """Slug of the other one; empty without a comparison."""
    verdict: Verdict
    interval: Interval | None
    limit: float
    rule: Literal["at least", "at most", "more than"]
    unit: str
    words: str
    """The figures and the reason, in a sentence."""
    source: str


def findings_of(figures: Figures, gates: Gates) -> tuple[Finding, ...]:
    """All verdicts, in the order of the candidates and of the gates."""
    return tuple(
        _finding(gate, entrant, other, figures)
        for entrant in figures.entrants
        for gate in gates.gates
        for other in _opponents(gate, entrant, figures, gates)
    )


def overall(findings: tuple[Finding, ...], candidate: str) -> Verdict:
    """One no-go is a no-go; go needs a go everywhere."""
    verdicts = {item.verdict for item in findings if item.candidate == candidate}
    if "no-go" in verdicts:
        return "no-go"
    return "go" if verdicts == {"go"} else "not enough data"


def verdict_of(gate: Gate, found: Interval | None) -> Verdict:
    """The verdict that an interval gives, whatever it rests on."""
    if found is None:
        return "not enough data"
    low, high = found.low, found.high
    if gate.at_most is not None:
        if high is not None and high <= gate.limit:
            return "go"
        return "no-go" if low is not None and low > gate.limit else "not enough data"
    if gate.more_than is not None:
        if low is not None and low > gate.limit:
            return "go"
        return "no-go" if high is not None and high <= gate.limit else "not enough data"
    if low is not None and low >= gate.limit:
        return "go"
    return "no-go" if high is not None and high < gate.limit else "not enough data"


def _opponents(
    gate: Gate, entrant: Entrant, figures: Figures, gates: Gates
) -> Iterator[Entrant | None]:
    """None for a gate without a comparison, else each candidate that it compares with."""
    if not gate.of:
        yield None
    elif gates.holds(gate.of, entrant.names):
        for other in figures.entrants:
            if other.slug != entrant.slug and gates.holds(gate.against, other.names):
                yield other


def _finding(gate: Gate, entrant: Entrant, other: Entrant | None, figures: Figures) -> Finding:
    found = _interval(gate, entrant, other, figures)
    lacking = _lacking(gate, entrant, other, figures, found)
    verdict = "not enough data" if lacking else verdict_of(gate, found)
    unit = _unit(gate, figures.currency)
    shown = _shown(found, unit, figures.confidence) if found else ""
    return Finding(
        gate=gate.id,
        title=gate.title,
        candidate=entrant.slug,
        against=other.slug if other else "",
        verdict=verdict,
        interval=found,
        limit=gate.limit,
        rule=_rule(gate),
        unit=unit,
        words=". ".join(filter(None, (shown, lacking or _reason(gate, verdict, entrant, figures))))
        + ".",
        source=gate.source,
    )


def _interval(
    gate: Gate, entrant: Entrant, other: Entrant | None, figures: Figures
) -> Interval | None:
    if other is None:
        figure = {
            "rating": figures.rating,
            "success": figures.success,
            "cost": figures.cost,
            "memory": figures.memory,
            "seconds": figures.seconds,
        }[gate.measure]
        return figure(entrant)
    if gate.measure == "preference":
        return figures.preference(entrant, other)
    return figures.ratio(gate.measure, entrant, other)


def _lacking(
    gate: Gate,
    entrant: Entrant,
    other: Entrant | None,
    figures: Figures,
    found: Interval | None,
) -> str:
    """What is missing for any verdict; empty if nothing is."""
    if found is None:
        return _absent(gate, entrant, other, figures)
    what = "pairs of videos" if other else "videos"
    if found.n < gate.films:
        return f"A verdict needs {gate.films} {what}, there are {found.n}"
    raters = len(figures.raters(entrant, other))
    if raters < gate.raters:
        return f"A verdict needs ratings by {gate.raters} people, there are {raters}"
    return ""


def _absent(gate: Gate, entrant: Entrant, other: Entrant | None, figures: Figures) -> str:
    """Why there is no figure at all."""
    both = " of both" if other else ""
    if not entrant.samples:
        return "No video was tried yet"
    if gate.measure in ("rating", "preference"):
        return f"Nobody has rated the videos{both} yet" + (
            " with a preference" if gate.measure == "preference" else ""
        )
    if gate.measure == "cost":
        return f"The cost of the videos{both} is not known in {figures.currency}"
    if not entrant.made:
        return "No video was made"
    if gate.measure == "memory":
        return "It was not measured: the videos were made on a CPU"
    return f"The time was not measured{both}: the videos were found in the bucket"


def _reason(gate: Gate, verdict: Verdict, entrant: Entrant, figures: Figures) -> str:
    limit = f"{_rule(gate)} {_number(gate.limit, _unit(gate, figures.currency))}"
    if verdict == "go":
        return f"Even the bad end passes ({limit})"
    if verdict == "no-go":
        return f"Even the good end fails ({limit})"
    words = f"The limit ({limit}) lies inside the interval"
    if gate.measure == "success" and gate.at_least:
        made, tried = len(entrant.made), len(entrant.samples)
        more = successes_needed(made, tried, gate.at_least, figures.confidence)
        words += f"; {more} more videos without a failure would decide"
    return words


def _rule(gate: Gate) -> Literal["at least", "at most", "more than"]:
    if gate.at_least is not None:
        return "at least"
    return "at most" if gate.at_most is not None else "more than"


def _unit(gate: Gate, currency: str) -> str:
    if gate.is_ratio:
        return "times"
    units = {"rating": "of 5", "cost": currency, "memory": "GB", "seconds": "s"}
    return units.get(gate.measure, "%")


def _shown(found: Interval, unit: str, confidence: float) -> str:
    value = _number(found.value, unit)
    if found.low is None and found.high is None:
        return f"{value} (n = {found.n}; no interval yet)"
    if found.low == found.high:
        return f"{value} (n = {found.n})"
    low = "-" if found.low is None else _digits(found.low, unit)
    high = "-" if found.high is None else _number(found.high, unit)
    return f"{value}; {100 * confidence:g} % interval {low} to {high} (n = {found.n})"


def _number(value: float, unit: str) -> str:
    return f"{_digits(value, unit)} {unit}"


def _digits(value: float, unit: str) -> str:
    """With as many places as people need."""
    if unit == "%":
        return f"{100 * value:.1f}"
    return f"{value:,.{1 if unit in ('GB', 's') else 2}f}"
