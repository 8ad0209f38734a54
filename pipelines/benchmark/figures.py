"""The figures of each candidate: shares, means and ratios over its videos, with their intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from statistics import mean

from pipelines.benchmark.agreement import krippendorff_alpha
from pipelines.benchmark.blind import Rating
from pipelines.benchmark.samples import Sample
from pipelines.benchmark.statistics import Interval, mean_interval, ratio_interval, wilson


@dataclass(frozen=True)
class Entrant:
    """A candidate in a report: who it is, and what came of its videos."""

    slug: str
    label: str
    names: tuple[str, ...]
    """The backend's name, and its kind if it is one of the operator's file."""
    title: str
    location: str
    """`device` or `remote`."""
    asked: int
    """Videos that were asked for; some may not have been tried yet."""
    samples: Sequence[Sample]

    @property
    def made(self) -> list[Sample]:
        """The videos that were made."""
        return [item for item in self.samples if item.film]


@dataclass(frozen=True)
class Figures:
    """All outcomes of a comparison, and what follows from them."""

    entrants: Sequence[Entrant]
    ratings: Sequence[Rating]
    confidence: float
    currency: str
    scores: Mapping[tuple[str, int], float] = field(init=False)
    """Mean score of each rated video by candidate and number. Each rater counts once a video."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "scores", self._scores())

    def success(self, entrant: Entrant) -> Interval | None:
        """Share of the tried videos that were made."""
        return wilson(len(entrant.made), len(entrant.samples), self.confidence)

    def rating(self, entrant: Entrant) -> Interval | None:
        """Mean rating. The videos are the sample; raters of one video are averaged first."""
        values = [value for (slug, _), value in self.scores.items() if slug == entrant.slug]
        found = mean_interval(values, self.confidence)
        return found and _within(found, 1.0, 5.0)

    def seconds(self, entrant: Entrant) -> Interval | None:
        """Mean wall seconds for a second of video."""
        found = mean_interval(list(_seconds(entrant).values()), self.confidence)
        return found and _within(found, 0.0, None)

    def cost(self, entrant: Entrant) -> Interval | None:
        """Mean cost of a finished video, in `currency`; None if nobody knows it for each one.

        What failed videos cost is spread over those that were made.
        """
        found = mean_interval(list(self._costs(entrant).values()), self.confidence)
        return found and _within(found, 0.0, None)

    def memory(self, entrant: Entrant) -> Interval | None:
        """Most GB on the GPU in any video: the largest value itself. None if it was not measured.

        A backend elsewhere needs none here.
        """
        films = [item.film for item in entrant.made if item.film]
        devices = {film.device for film in films}
        if not films or not devices <= {"cuda", "remote"}:
            return None
        most = max(film.gpu_bytes for film in films) / 1e9
        return Interval(value=most, low=most, high=most, n=len(films))

    def measure(self, entrant: Entrant, name: str, scorer: str) -> Interval | None:
        """Mean of an automatic measure."""
        values = [
            item.value
            for sample in entrant.made
            for item in sample.measures
            if (item.name, item.scorer) == (name, scorer)
        ]
        return mean_interval(values, self.confidence)

    def ratio(self, measure: str, entrant: Entrant, other: Entrant) -> Interval | None:
        """Ratio of two means, over the numbers that both have."""
        ours, theirs = self._values(measure, entrant), self._values(measure, other)
        both = sorted(set(ours) & set(theirs))
        return ratio_interval(
            [ours[number] for number in both],
            [theirs[number] for number in both],
            self.confidence,
        )

    def preference(self, entrant: Entrant, other: Entrant) -> Interval | None:
        """Share of the pairs in which most raters prefer `entrant`.

        One vote a pair, that of most of its raters; pairs without a majority are left out.
        """
        votes: dict[str, int] = {}
        for rating in self.between(entrant, other):
            step = {entrant.slug: 1, other.slug: -1}.get(rating.preferred, 0)
            votes[rating.pair] = votes.get(rating.pair, 0) + step
        decided = [vote for vote in votes.values() if vote]
        return wilson(sum(vote > 0 for vote in decided), len(decided), self.confidence)

    def between(self, entrant: Entrant, other: Entrant) -> list[Rating]:
        """The ratings of pairs of these two."""
        both = {entrant.slug, other.slug}
        return [item for item in self.ratings if {item.one, item.other} == both]

    def raters(self, entrant: Entrant, other: Entrant | None = None) -> set[str]:
        """Keys of those who rated videos of `entrant`, and of `other` if there is one."""
        one, two = (
            {item.key for item in self.ratings if who is None or who.slug in (item.one, item.other)}
            for who in (entrant, other)
        )
        return one & two

    def score_agreement(self) -> float | None:
        """Krippendorff's alpha of the scores, as ordinal values. A unit is a video in a pair."""
        units: dict[tuple[str, str], list[int]] = {}
        for item in self.ratings:
            units.setdefault((item.pair, item.one), []).append(item.score_one)
            units.setdefault((item.pair, item.other), []).append(item.score_other)
        return krippendorff_alpha(list(units.values()), "ordinal")

    def choice_agreement(self) -> float | None:
        """Krippendorff's alpha of the preferences, as nominal values. A unit is a pair."""
        units: dict[str, list[int]] = {}
        for item in self.ratings:
            choice = {item.one: 1, item.other: 2}.get(item.preferred, 0)
            units.setdefault(item.pair, []).append(choice)
        return krippendorff_alpha(list(units.values()), "nominal")

    def _values(self, measure: str, entrant: Entrant) -> dict[int, float]:
        if measure == "rating":
            return {n: value for (slug, n), value in self.scores.items() if slug == entrant.slug}
        return self._costs(entrant) if measure == "cost" else _seconds(entrant)

    def _scores(self) -> dict[tuple[str, int], float]:
        by_rater: dict[tuple[str, int], dict[str, list[int]]] = {}
        for item in self.ratings:
            for slug, score in ((item.one, item.score_one), (item.other, item.score_other)):
                by_rater.setdefault((slug, item.number), {}).setdefault(item.key, []).append(score)
        return {
            film: mean(mean(scores) for scores in raters.values())
            for film, raters in by_rater.items()
        }

    def _costs(self, entrant: Entrant) -> dict[int, float]:
        made = entrant.made
        known = {item.number: item.cost for item in made if item.cost}
        if len(known) < len(made) or any(
            item.cost and item.cost.currency != self.currency for item in entrant.samples
        ):
            return {}
        lost = sum(
            (item.cost.amount for item in entrant.samples if item.cost and not item.film),
            Decimal(0),
        )
        return {number: float(cost.amount + lost / len(known)) for number, cost in known.items()}


def _seconds(entrant: Entrant) -> dict[int, float]:
    return {
        item.number: item.film.wall_seconds / item.film.seconds
        for item in entrant.made
        if item.film and item.film.wall_seconds is not None
    }


def _within(found: Interval, low: float, high: float | None) -> Interval:
    """The interval, cut at values that cannot be."""
    return found.model_copy(
        update={
            "low": None if found.low is None else max(found.low, low),
            "high": found.high if found.high is None or high is None else min(found.high, high),
        }
    )
