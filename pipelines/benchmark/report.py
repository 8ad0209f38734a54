"""The report of a comparison: figures and verdicts of every candidate, with all videos behind them.

It is a pure function of the samples, the ratings and the gates: the same inputs give the same text.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Literal

from pipelines.backends.registry import definition_of
from pipelines.benchmark.blind import Rating
from pipelines.benchmark.figures import Entrant, Figures
from pipelines.benchmark.gates import Gates
from pipelines.benchmark.measured import PEOPLE, Measured, Quality
from pipelines.benchmark.request import Benchmark, Candidate
from pipelines.benchmark.samples import Outcome, Sample
from pipelines.benchmark.statistics import Interval
from pipelines.benchmark.verdicts import Finding, Verdict, findings_of, overall
from pipelines.schema.frozen import Frozen
from pipelines.schema.money import Money, total

HTML, JSON, REQUEST = "report.html", "report.json", "request.json"
"""Files in the folder of a comparison."""


class MeanMeasure(Frozen):
    """An automatic measure over the videos of a candidate."""

    name: str
    scorer: str
    interval: Interval


class Row(Frozen):
    """What the report says about one candidate."""

    slug: str
    label: str
    preset: str
    backend: str
    title: str
    location: Literal["device", "remote"]
    verdict: Verdict
    asked: int
    tried: int
    outcomes: Mapping[Outcome, int]
    success: Interval | None
    rating: Interval | None
    seconds: Interval | None
    """Wall seconds for a second of video."""
    cost: Interval | None
    """Of a finished video, in the currency of the gates."""
    spent: Money | None
    """By all its videos, as far as it is known."""
    memory: Interval | None
    """GB on the GPU."""
    ram_bytes: int
    devices: tuple[str, ...]
    sizes: tuple[str, ...]
    fps: tuple[int, ...]
    measures: tuple[MeanMeasure, ...]
    not_scored: tuple[str, ...]


class RatingSummary(Frozen):
    """Who rated, how much, and how far they agree."""

    raters: tuple[str, ...]
    ratings: int
    pairs_rated: int
    score_alpha: float | None
    choice_alpha: float | None


class Report(Frozen):
    """A whole comparison."""

    version: Literal[1] = 1
    created: str
    """UTC, ISO 8601."""
    software: str
    benchmark: Benchmark
    gates: Gates
    rows: tuple[Row, ...]
    findings: tuple[Finding, ...]
    ratings: RatingSummary
    samples: tuple[Sample, ...]
    notes: tuple[str, ...]

    def findings_for(self, candidate: str) -> list[Finding]:
        """Those of one candidate."""
        return [item for item in self.findings if item.candidate == candidate]

    def measured(self) -> Mapping[str, Measured]:
        """What a router may use, by preset. A candidate with settings of its own is left out: its
        figures are not those of its preset."""
        plain = [row for row in self.rows if row.slug == row.preset and row.tried]
        return {row.preset: self._measured(row) for row in plain}

    def _measured(self, row: Row) -> Measured:
        own = [item.film for item in self.samples if item.candidate == row.slug]
        length = [film.seconds for film in own if film]
        qualities = [_quality(item.name, item.interval, item.scorer) for item in row.measures]
        if row.rating:
            qualities.insert(0, _quality("mean rating", row.rating, PEOPLE))
        price = None
        if row.cost and length:
            mean_length = Decimal(sum(length) / len(length))
            price = Money.of(Decimal(row.cost.value) / mean_length, self.gates.currency)
        return Measured(
            preset=row.preset,
            benchmark=self.benchmark.name,
            date=self.created,
            videos=row.tried,
            success=row.outcomes["made"] / row.tried,
            seconds_per_second=row.seconds.value if row.seconds else None,
            device=" ".join(row.devices),
            price_per_second=price,
            gpu_bytes=round(row.memory.value * 1e9) if row.memory else 0,
            qualities=tuple(qualities),
        )


def make_report(
    benchmark: Benchmark,
    candidates: Sequence[Candidate],
    samples: Sequence[Sample],
    ratings: Sequence[Rating],
    gates: Gates,
    *,
    not_scored: Sequence[str],
    created: str,
    software: str,
) -> Report:
    """The report of what there is; videos that were not tried yet are missing in it.

    `not_scored` says of each scorer that is not installed how to install it.
    """
    entrants = [_entrant(item, benchmark, samples) for item in candidates]
    figures = Figures(entrants, ratings, gates.confidence, gates.currency)
    findings = findings_of(figures, gates)
    rows = tuple(
        _row(item, candidate.preset.name, figures, findings, not_scored)
        for item, candidate in zip(entrants, candidates, strict=True)
    )
    return Report(
        created=created,
        software=software,
        benchmark=benchmark,
        gates=gates,
        rows=rows,
        findings=findings,
        ratings=_summary(ratings, figures),
        samples=tuple(sample for entrant in entrants for sample in entrant.samples),
        notes=tuple(_notes(benchmark, rows)),
    )


def _entrant(candidate: Candidate, benchmark: Benchmark, samples: Sequence[Sample]) -> Entrant:
    definition = definition_of(candidate.preset)
    own = sorted(
        (item for item in samples if item.candidate == candidate.slug),
        key=lambda item: item.number,
    )
    return Entrant(
        slug=candidate.slug,
        label=candidate.label,
        names=(definition.name, definition.kind),
        title=definition.title,
        location=definition.capabilities.location,
        asked=benchmark.videos,
        samples=own,
    )


def _row(
    entrant: Entrant,
    preset: str,
    figures: Figures,
    findings: tuple[Finding, ...],
    not_scored: Sequence[str],
) -> Row:
    films = [item.film for item in entrant.made if item.film]
    counts: dict[Outcome, int] = {"made": 0, "refused": 0, "unavailable": 0, "failed": 0}
    for sample in entrant.samples:
        counts[sample.outcome] += 1
    return Row(
        slug=entrant.slug,
        label=entrant.label,
        preset=preset,
        backend=entrant.names[0],
        title=entrant.title,
        location="remote" if entrant.location == "remote" else "device",
        verdict=overall(findings, entrant.slug),
        asked=entrant.asked,
        tried=len(entrant.samples),
        outcomes=counts,
        success=figures.success(entrant),
        rating=figures.rating(entrant),
        seconds=figures.seconds(entrant),
        cost=figures.cost(entrant),
        spent=_spent(entrant, figures.currency),
        memory=figures.memory(entrant),
        ram_bytes=max((film.ram_bytes for film in films), default=0),
        devices=tuple(sorted({film.device for film in films})),
        sizes=tuple(sorted({film.size for film in films})),
        fps=tuple(sorted({film.fps for film in films})),
        measures=_means(entrant, figures),
        not_scored=tuple(not_scored),
    )


def _means(entrant: Entrant, figures: Figures) -> tuple[MeanMeasure, ...]:
    names = dict.fromkeys((m.name, m.scorer) for item in entrant.made for m in item.measures)
    found = ((name, scorer, figures.measure(entrant, name, scorer)) for name, scorer in names)
    return tuple(
        MeanMeasure(name=name, scorer=scorer, interval=interval)
        for name, scorer, interval in found
        if interval
    )


def _spent(entrant: Entrant, currency: str) -> Money | None:
    known = [item.cost for item in entrant.samples if item.cost]
    if not known or any(item.currency != currency for item in known):
        return None
    return total(known, currency)


def _summary(ratings: Sequence[Rating], figures: Figures) -> RatingSummary:
    names = {item.key: item.rater for item in ratings}
    return RatingSummary(
        raters=tuple(sorted(names.values())),
        ratings=len(ratings),
        pairs_rated=len({item.pair for item in ratings}),
        score_alpha=figures.score_agreement(),
        choice_alpha=figures.choice_agreement(),
    )


def _notes(benchmark: Benchmark, rows: Sequence[Row]) -> list[str]:
    """What a reader must know to read the figures."""
    notes = []
    prompts, videos = len(benchmark.prompts), benchmark.videos
    if videos > prompts:
        notes.append(
            f"{videos} videos are {prompts} prompts with several seeds each. The intervals treat "
            "them as independent; videos of one prompt are alike, so the true intervals are wider."
        )
    if len({row.sizes for row in rows if row.sizes}) > 1:
        notes.append("The candidates make videos of different sizes: see their rows.")
    places = {row.devices for row in rows if row.devices}
    if len(places) > 1 or any(len(row.devices) > 1 for row in rows):
        notes.append("The videos were made on different devices: times compare those, too.")
    unfinished = [row.label for row in rows if row.tried < row.asked]
    if unfinished:
        notes.append(f"Not all videos were tried yet: {', '.join(unfinished)}.")
    return notes


def _quality(name: str, found: Interval, scorer: str) -> Quality:
    return Quality(
        name=name, value=found.value, low=found.low, high=found.high, n=found.n, scorer=scorer
    )
