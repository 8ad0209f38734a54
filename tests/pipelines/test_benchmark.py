"""Verdicts, intervals and agreement: what the go/no-go report says, and when it says nothing."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pipelines.benchmark.agreement import krippendorff_alpha
from pipelines.benchmark.blind import (
    film_on,
    left_of,
    order_for,
    rater_key,
    rating_file,
)
from pipelines.benchmark.gates import default_gates, parse_gates
from pipelines.benchmark.measured import PEOPLE, MeasuredPresets
from pipelines.benchmark.page import bar_of, html_of
from pipelines.benchmark.report import Report
from pipelines.benchmark.request import Benchmark, cases_of, default_name, parse_candidates
from pipelines.benchmark.samples import Sample
from pipelines.benchmark.statistics import (
    mean_interval,
    ratio_interval,
    successes_needed,
    wilson,
)
from pipelines.benchmark.verdicts import Finding
from pipelines.errors import BriefError, SettingsError
from pipelines.schema.money import Money
from tests.support.compared import (
    LOCAL,
    OTHER,
    all_pairs,
    benchmark,
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


# Intervals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(27, 30, 0.744, 0.965), (30, 30, 0.886, 1.0), (0, 5, 0.0, 0.434), (35, 35, 0.901, 1.0)],
)
def test_a_share_has_wilsons_interval(successes: int, n: int, low: float, high: float) -> None:
    found = wilson(successes, n, 0.95)
    assert found is not None
    assert (found.low, found.high) == (pytest.approx(low, abs=6e-4), pytest.approx(high, abs=6e-4))


def test_it_says_how_many_more_successes_would_decide() -> None:
    assert successes_needed(35, 35, 0.9, 0.95) == 0
    more = successes_needed(27, 30, 0.9, 0.95)
    enough, short = wilson(27 + more, 30 + more, 0.95), wilson(26 + more, 29 + more, 0.95)
    assert enough
    assert short
    assert enough.low is not None
    assert short.low is not None
    assert short.low < 0.9 <= enough.low


def test_a_mean_has_students_interval() -> None:
    """Student's data on sleep (Biometrika 6, 1908): the mean of 1.58 with 0.70 to 2.46 at 95 %."""
    gains = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
    found = mean_interval(gains, 0.95)
    assert found is not None
    assert found.value == pytest.approx(1.58)
    assert found.low == pytest.approx(0.70, abs=5e-3)
    assert found.high == pytest.approx(2.46, abs=5e-3)


def test_one_value_has_no_limits_and_none_has_no_interval() -> None:
    one = mean_interval([3.0], 0.95)
    assert one
    assert (one.low, one.high, one.n) == (None, None, 1)
    assert mean_interval([], 0.95) is None
    assert wilson(0, 0, 0.95) is None
    assert ratio_interval([], [], 0.95) is None


def test_a_ratio_to_a_constant_is_the_scaled_interval_of_the_mean() -> None:
    values = [1.0, 2.0, 4.0, 3.0]
    mean, ratio = mean_interval(values, 0.9), ratio_interval(values, [2.0] * 4, 0.9)
    assert mean
    assert ratio
    assert mean.low is not None
    assert mean.high is not None
    assert (ratio.low, ratio.high) == (
        pytest.approx(mean.low / 2),
        pytest.approx(mean.high / 2),
    )


def test_a_ratio_covers_the_truth_as_often_as_it_says() -> None:
    """Of 2,000 draws of 12 correlated pairs, 95 % of the intervals hold the true ratio 1.25."""
    rng = np.random.default_rng(1)
    common = rng.normal(0, 0.5, (2000, 12))
    ours = 5 + common + rng.normal(0, 0.5, (2000, 12))
    theirs = 4 + common + rng.normal(0, 0.5, (2000, 12))
    hits = 0
    for a, b in zip(ours, theirs, strict=True):
        found = ratio_interval(a.tolist(), b.tolist(), 0.95)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 1.25 <= found.high
    assert 0.94 < hits / 2000 < 0.96


def test_a_ratio_to_what_may_be_zero_has_no_limits() -> None:
    found = ratio_interval([1.0, 2.0], [0.1, 4.0], 0.95)
    assert found is not None
    assert (found.low, found.high) == (None, None)


# Agreement ------------------------------------------------------------------------------------

NONE = 0
PUBLISHED = (
    (1, 2, 3, 3, 2, 1, 4, 1, 2, NONE, NONE, NONE),
    (1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NONE, 3),
    (NONE, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NONE),
    (1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NONE),
)
"""Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section D: four observers of
twelve units, with missing values."""


@pytest.mark.parametrize(
    ("metric", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)]
)
def test_alpha_is_that_of_krippendorffs_example(metric: str, alpha: float) -> None:
    units = [[value for value in unit if value] for unit in zip(*PUBLISHED, strict=True)]
    found = krippendorff_alpha(units, metric)  # type: ignore[arg-type]
    assert found == pytest.approx(alpha, abs=6e-4)


def test_alpha_is_one_for_agreement_and_not_defined_where_nobody_can_disagree() -> None:
    assert krippendorff_alpha([[1, 1], [3, 3, 3], [5, 5]], "ordinal") == 1
    assert krippendorff_alpha([[4, 4], [4, 4]], "ordinal") is None
    assert krippendorff_alpha([[1], [2]], "nominal") is None


def test_opposite_opinions_are_below_chance() -> None:
    alpha = krippendorff_alpha([[1, 5], [5, 1], [1, 5], [5, 1]], "ordinal")
    assert alpha is not None
    assert alpha < 0


# Verdicts -------------------------------------------------------------------------------------


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


# Gates ----------------------------------------------------------------------------------------


def test_the_missions_gates_are_the_default() -> None:
    limits = {gate.id: gate.limit for gate in default_gates().gates}
    assert limits == {
        "quality": 4.0,
        "cost": 1.5,
        "memory": 22,
        "success": 0.9,
        "quality-over-animatediff": 1.2,
        "cost-under-cloud": 0.7,
        "time-to-cloud": 1.5,
        "preference-to-cloud": 0.4,
    }
    assert all(gate.source for gate in default_gates().gates)


@pytest.mark.parametrize(
    ("change", "line", "words"),
    [
        (("at_most: 0.7", "at_most: cheap"), 7, "'cheap'"),
        (("measure: cost", "measure: beauty"), 7, "'beauty'"),
        (("at_most: 0.7, ", ""), 7, "exactly one of at_least, at_most and more_than"),
        (("against: cloud, at_most: 1.5", "at_most: 1.5"), 8, "both of and against"),
        (
            ("of: ours, against: cloud, more", "of: mine, against: cloud, more"),
            2,
            "the group 'mine'",
        ),
        (("id: time", "id: cost"), 2, "'cost' is there twice"),
        (("version: 1", "version: 2"), 2, "version"),
        (("gates:", "gate:"), 6, "gate"),
        (("groups:", "groups: ["), 5, "expected"),
    ],
)
def test_bad_gates_are_refused_with_line_value_and_rule(
    change: tuple[str, str], line: int, words: str
) -> None:
    text = CLOUD.replace(*change, 1)
    assert text != CLOUD
    with pytest.raises(SettingsError, match=f"my.yaml, line {line}: ") as caught:
        parse_gates(text, "my.yaml")
    assert words in str(caught.value)


def test_a_share_of_one_cannot_be_a_gate() -> None:
    text = CLOUD.replace(
        "measure: preference, of: ours, against: cloud, more_than: 0.4",
        "measure: success, at_least: 1",
    )
    with pytest.raises(SettingsError, match="no number of videos proves"):
        parse_gates(text, "my.yaml")


# Requests -------------------------------------------------------------------------------------


def test_every_candidate_gets_the_same_prompts_seeds_and_length() -> None:
    asked = Benchmark(name="x", candidates=("demo", OTHER), prompts=("a", "b"), videos=5)
    cases = list(cases_of(asked))
    ours, theirs = cases[:5], cases[5:]
    assert [(c.number, c.prompt, c.seed) for c in ours] == [
        (c.number, c.prompt, c.seed) for c in theirs
    ]
    assert [c.prompt for c in ours] == ["a", "b", "a", "b", "a"]
    assert len({(c.prompt, c.seed) for c in ours}) == 5
    assert {c.brief.seconds for c in cases} == {4.0}
    assert not any(c.brief.enhance for c in cases)


def test_a_backend_stands_for_its_first_preset_and_settings_have_their_own_name() -> None:
    backend, plain, changed = parse_candidates(("animatediff", "demo", "demo:steps=4:guidance=3.5"))
    assert backend.preset.name == OTHER
    assert plain.slug == "demo"
    assert changed.slug.startswith("demo-")
    assert changed.values == {"steps": 4, "guidance": 3.5}
    asked = Benchmark(name="x", candidates=("demo:steps=4",), prompts=("a",), videos=1)
    (case,) = cases_of(asked)
    assert case.brief.steps == 4


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (("8k",), "'8k' is neither a preset nor a backend; choose of "),
        (("demo", "demo"), "given twice"),
        (("image_fast",), "makes pictures"),
        (("demo:colour=red",), "'colour=red' is no setting; write FIELD=VALUE"),
        ((), "0 candidates"),
    ],
)
def test_a_candidate_that_is_none_is_refused(labels: tuple[str, ...], words: str) -> None:
    with pytest.raises(BriefError) as caught:
        parse_candidates(labels)
    assert words in str(caught.value)


def test_a_brief_that_a_candidate_cannot_make_names_it() -> None:
    asked = Benchmark(name="x", candidates=("demo:steps=999",), prompts=("a",), videos=1)
    with pytest.raises(BriefError, match=r"candidate 'demo:steps=999': .*999"):
        list(cases_of(asked))


@pytest.mark.parametrize(
    "values",
    [
        {"name": "latest"},
        {"name": "A B"},
        {"prompts": ("a", "a ")},
        {"prompts": ()},
        {"videos": 0},
        {"seconds": 0.01},
    ],
)
def test_a_request_that_breaks_a_rule_is_refused(values: dict[str, object]) -> None:
    good = {"name": "x", "candidates": ("demo",), "prompts": ("a",)}
    with pytest.raises(ValueError, match=r"choose|take|write|give"):
        Benchmark.model_validate(good | values)


def test_the_same_request_has_the_same_name() -> None:
    assert default_name(("demo",), ("a",), 30) == default_name(("demo",), ("a",), 30)
    assert default_name(("demo",), ("a",), 30) != default_name(("demo",), ("a",), 31)


# Blind ratings --------------------------------------------------------------------------------


def test_sides_and_order_are_random_for_each_rater_and_always_the_same() -> None:
    found = [*samples(LOCAL, 40), *samples(OTHER, 40)]
    pairs = all_pairs(found)
    for name in ("สมชาย", "Zoë"):
        lefts = [left_of(name, pair) for pair in pairs]
        assert lefts == [left_of(name, pair) for pair in pairs]
        assert 10 < lefts.count(LOCAL) < 30
        assert order_for(name, pairs) != pairs
    assert [left_of("สมชาย", p) for p in pairs] != [left_of("Zoë", p) for p in pairs]
    assert order_for("สมชาย", pairs) != order_for("Zoë", pairs)


def test_a_rating_is_that_of_the_videos_as_they_were_shown() -> None:
    for pair in all_pairs(FILMS):
        rating = rated(pair, "Zoë", {LOCAL: 5, OTHER: 2}, LOCAL)
        assert (rating.one, rating.score_one, rating.score_other) == (LOCAL, 5, 2)
        assert rating.preferred == LOCAL
        shown = {film_on("left", "Zoë", pair), film_on("right", "Zoë", pair)}
        assert shown == set(pair.films)
        left = film_on("left", "Zoë", pair)
        assert (left == pair.films[0]) == (rating.left == LOCAL)


def test_a_pair_says_nothing_about_its_makers() -> None:
    for pair in all_pairs(FILMS):
        assert LOCAL not in pair.id
        assert len(pair.id) == 16


def test_one_name_is_one_rater_however_it_is_typed() -> None:
    assert rater_key(" Zoe\u0308 ") == rater_key("ZOË") != rater_key("Zoe")
    assert rating_file("a" * 16, "สมชาย") == rating_file("a" * 16, " สมชาย")
    with pytest.raises(ValueError, match="the name is empty"):
        rater_key("  ")


def test_videos_that_were_not_made_are_in_no_pair() -> None:
    found = [*samples(LOCAL, 2), *samples(OTHER, 1, 1)]
    assert [pair.number for pair in all_pairs(found)] == [1]


# The report -----------------------------------------------------------------------------------


def test_the_same_inputs_give_the_same_report_and_others_another_one() -> None:
    one, again = report(FILMS), report(list(reversed(FILMS)))
    assert one.findings == again.findings
    assert html_of(one) == html_of(again)
    assert html_of(report(FILMS[:-1])) != html_of(one)


def test_the_page_needs_nothing_from_elsewhere_and_escapes_what_people_wrote() -> None:
    found = [
        item.model_copy(update={"prompt": "<script>alert(1)</script> & ภาพ"})
        for item in [*samples(LOCAL, 2), *samples(OTHER, 1, 1)]
    ]
    page = html_of(report(found))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "ภาพ" in page
    assert "http" not in page
    assert 'src="demo-001.mp4"' in page
    assert "GenerationError: lost" in page


def test_a_bar_shows_the_interval_and_the_limit_on_one_scale() -> None:
    bar = bar_of(finding(report(samples(LOCAL, 27, 3)), "success"))
    assert bar == {"low": 74.38, "high": 96.54, "value": 90.0, "limit": 90.0}
    assert bar_of(finding(report(FILMS), "quality")) is None


def test_the_measured_values_are_those_of_plain_presets() -> None:
    found = rated_by(FILMS, ("a", "b"), {LOCAL: 4, OTHER: 2})
    values = found.measured()
    assert set(values) == {LOCAL, OTHER}
    rating = values[LOCAL].rating
    assert rating is not None
    assert (rating.value, rating.n, rating.scorer) == (4.0, 12, PEOPLE)
    assert values[LOCAL].seconds_per_second == 2.0
    assert values[LOCAL].price_per_second is None
    priced = report(samples(LOCAL, 4, cost="1.00")).measured()[LOCAL]
    assert priced.price_per_second == Money.of("0.25")
    assert report(samples("demo-12345678", 3), (), "demo:steps=3").measured() == {}


def test_older_values_never_replace_newer_ones() -> None:
    newer = report(samples(LOCAL, 4)).measured()
    older = {LOCAL: newer[LOCAL].model_copy(update={"date": "2026-01-01", "videos": 1})}
    kept = MeasuredPresets().with_newer(newer).with_newer(older)
    assert kept.presets[LOCAL].videos == 4
    again = MeasuredPresets.model_validate_json(kept.model_dump_json())
    assert again == kept


def test_notes_say_what_the_figures_hide() -> None:
    asked = Benchmark(name="x", candidates=("demo",), prompts=("a", "b"), videos=30)
    assert len(list(cases_of(asked))) == 30
    found = report([*samples(LOCAL, 2), *samples(OTHER, 3, device="cpu")])
    words = " ".join(found.notes)
    assert "different devices" in words
    assert "Not all videos were tried yet" in words


def test_a_report_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    found = rated_by(FILMS, ("สมชาย", "b"), {LOCAL: 4, OTHER: 2})
    path = tmp_path / "report.json"
    path.write_text(found.model_dump_json())
    assert Report.model_validate_json(path.read_text()) == found
    assert benchmark().name == found.benchmark.name
