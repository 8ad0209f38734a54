"""Verdicts of the go/no-go report: what it says, and when it says nothing."""

from collections.abc import Sequence

import pytest

from pipelines.benchmark.gates import parse_gates
from pipelines.benchmark.report import Report
from pipelines.benchmark.samples import Sample
from pipelines.benchmark.verdicts import Finding
from pipelines.schema.money import Money
from tests.support.compared import (
    LOCAL,
    OTHER,
    all_pairs,
    rated,
    report,
    sample,
    samples,
)

CLOUD = """
version: 1
groups:
  ours: ["wan-*"]
  cloud: ["animatediff"]
gates:
- {id: cost, title: A, measure: cost, of: ours, against: cloud, at_most: 0.7, films: 2, source: x}
- {id: time, title: B, measure: seconds, of: ours, against: cloud, at_most: 1.5, source: x}
- {id: votes, title: C, measure: preference, of: ours, against: cloud, more_than: 0.4, source: x}
"""


def finding(found: Report, gate: str, candidate: str = LOCAL) -> Finding:
    (one,) = [item for item in found.findings if item.gate == gate and item.candidate == candidate]
    return one


@pytest.mark.parametrize(
    ("made", "failed", "verdict"),
    [
        (27, 3, "not enough data"),
        (30, 0, "not enough data"),
        (35, 0, "go"),
        (10, 20, "no-go"),
        (0, 5, "no-go"),
    ],
)
def test_success_is_decided_by_the_interval(made: int, failed: int, verdict: str) -> None:
    found = finding(report(samples(LOCAL, made, failed), videos=40), "success")
    assert found.verdict == verdict


def test_the_words_say_what_would_decide() -> None:
    words = finding(report(samples(LOCAL, 27, 3)), "success").words
    assert words == (
        "90.0 %; 95 % interval 74.4 to 96.5 % (n = 30). The limit (at least 90.0 %) lies inside "
        "the interval; 54 more videos without a failure would decide."
    )


@pytest.mark.parametrize(
    ("gigabytes", "device", "verdict"),
    [(21.9, "cuda", "go"), (22.1, "cuda", "no-go"), (0.0, "cpu", "not enough data")],
)
def test_memory_is_that_of_the_largest_video(gigabytes: float, device: str, verdict: str) -> None:
    others = samples(LOCAL, 9, gigabytes=1.0, device=device)
    largest = sample(LOCAL, 10, gigabytes=gigabytes, device=device)
    assert finding(report([*others, largest]), "memory").verdict == verdict


def test_a_backend_elsewhere_needs_no_memory_here() -> None:
    found = report(samples(LOCAL, 5, gigabytes=0, device="remote"))
    assert finding(found, "memory").verdict == "go"


def test_a_cost_that_nobody_knows_decides_nothing() -> None:
    unknown = report(samples(LOCAL, 5))
    assert finding(unknown, "cost").verdict == "not enough data"
    in_part = report([*samples(LOCAL, 5, cost="1.00"), sample(LOCAL, 6)])
    assert finding(in_part, "cost").verdict == "not enough data"
    elsewhere = [
        item.model_copy(update={"cost": Money.of("1", "EUR")}) for item in samples(LOCAL, 5)
    ]
    assert "not known in USD" in finding(report(elsewhere), "cost").words


@pytest.mark.parametrize(("cost", "verdict"), [("1.50", "go"), ("1.51", "no-go")])
def test_a_fixed_price_is_its_own_interval(cost: str, verdict: str) -> None:
    assert finding(report(samples(LOCAL, 5, cost=cost)), "cost").verdict == verdict


def test_what_failed_videos_cost_is_part_of_the_price() -> None:
    lost = sample(LOCAL, 5, made=False).model_copy(update={"cost": Money.of("4.00")})
    found = finding(report([*samples(LOCAL, 4, cost="1.00"), lost]), "cost")
    assert found.interval is not None
    assert found.interval.value == pytest.approx(2.0)
    assert found.verdict == "no-go"


def rated_by(
    found: Sequence[Sample], raters: Sequence[str], scores: dict[str, int], preferred: str = ""
) -> Report:
    given = [rated(pair, name, scores, preferred) for pair in all_pairs(found) for name in raters]
    return report(found, given)


FILMS = [*samples(LOCAL, 12), *samples(OTHER, 12)]


def test_without_ratings_nothing_is_said_about_quality() -> None:
    found = report(FILMS)
    assert finding(found, "quality").verdict == "not enough data"
    assert finding(found, "quality").words == "Nobody has rated the videos yet."
    assert found.rows[0].rating is None


@pytest.mark.parametrize(
    ("score", "raters", "verdict"),
    [
        (4, ("สมชาย", "Zoë"), "go"),
        (5, ("สมชาย",), "not enough data"),
        (3, ("สมชาย", "Zoë"), "no-go"),
    ],
)
def test_quality_is_the_mean_rating_by_two_people_or_more(
    score: int, raters: tuple[str, ...], verdict: str
) -> None:
    found = rated_by(FILMS, raters, {LOCAL: score, OTHER: 2})
    assert finding(found, "quality").verdict == verdict
    assert found.ratings.raters == tuple(sorted(raters))


def test_too_few_rated_videos_decide_nothing() -> None:
    found = rated_by([*samples(LOCAL, 9), *samples(OTHER, 9)], ("a", "b"), {LOCAL: 5, OTHER: 5})
    assert finding(found, "quality").words.endswith("A verdict needs 10 videos, there are 9.")


@pytest.mark.parametrize(("ours", "verdict"), [(5, "go"), (4, "no-go")])
def test_quality_over_another_backend_is_a_ratio(ours: int, verdict: str) -> None:
    """5 to 4 is 25 % more, 4 to 4 is none."""
    found = rated_by(FILMS, ("a", "b"), {LOCAL: ours, OTHER: 4})
    against = finding(found, "quality-over-animatediff")
    assert (against.verdict, against.against) == (verdict, OTHER)


def test_scores_that_spread_over_the_limit_decide_nothing() -> None:
    pairs = all_pairs(FILMS)
    given = [
        rated(pair, name, {LOCAL: 3 + 2 * (pair.number % 2), OTHER: 4})
        for pair in pairs
        for name in ("a", "b")
    ]
    assert finding(report(FILMS, given), "quality").verdict == "not enough data"


def test_a_gate_that_compares_concerns_its_groups_only() -> None:
    found = report(FILMS)
    assert [item.gate for item in found.findings if item.candidate == OTHER] == [
        *("quality", "cost", "memory", "success")
    ]
    assert not [item for item in found.findings if item.gate.endswith("-cloud")]


@pytest.mark.parametrize(
    ("cost", "seconds", "verdicts"),
    [("0.60", 11.0, ("go", "go")), ("0.80", 13.0, ("no-go", "no-go"))],
)
def test_cost_and_time_are_compared_with_the_cloud(
    cost: str, seconds: float, verdicts: tuple[str, str]
) -> None:
    found = report(
        [
            *samples(LOCAL, 6, cost=cost, seconds=seconds),
            *samples(OTHER, 6, cost="1.00", seconds=8.0),
        ],
        gates=parse_gates(CLOUD, "cloud.yaml"),
    )
    assert (finding(found, "cost").verdict, finding(found, "time").verdict) == verdicts


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"), [(12, 0, "go"), (6, 6, "not enough data"), (0, 12, "no-go")]
)
def test_preference_counts_pairs_and_not_raters(ours: int, theirs: int, verdict: str) -> None:
    pairs = all_pairs(FILMS)
    given = [
        rated(pair, name, {LOCAL: 3, OTHER: 3}, LOCAL if place < ours else OTHER)
        for place, pair in enumerate(pairs)
        for name in ("a", "b", "c")
    ]
    found = finding(report(FILMS, given, gates=parse_gates(CLOUD, "c.yaml")), "votes")
    assert found.verdict == verdict
    assert found.interval is not None
    assert found.interval.n == ours + theirs == 12


def test_pairs_without_a_majority_are_left_out() -> None:
    pair, *_ = all_pairs(FILMS)
    given = [
        rated(pair, "a", {LOCAL: 3, OTHER: 3}, LOCAL),
        rated(pair, "b", {LOCAL: 3, OTHER: 3}, OTHER),
    ]
    found = finding(report(FILMS, given, gates=parse_gates(CLOUD, "c.yaml")), "votes")
    assert found.interval is None
    assert found.verdict == "not enough data"


def test_one_no_go_decides_and_go_needs_every_gate() -> None:
    good = samples(LOCAL, 36, cost="0.10")
    rival = samples(OTHER, 36, cost="0.10")
    given = [
        rated(pair, name, {LOCAL: 5, OTHER: 3})
        for pair in all_pairs([*good, *rival])
        for name in ("a", "b")
    ]
    assert report([*good, *rival], given, videos=36).rows[0].verdict == "go"
    dear = [item.model_copy(update={"cost": Money.of("9")}) for item in good]
    assert report([*dear, *rival], given, videos=36).rows[0].verdict == "no-go"
    assert report([*good, *rival], videos=36).rows[0].verdict == "not enough data"
