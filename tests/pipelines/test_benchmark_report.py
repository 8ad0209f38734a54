"""What a comparison asks for, how people rate blind, and the report that follows."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from pipelines.benchmark.blind import (
    film_on,
    left_of,
    order_for,
    rater_key,
    rating_file,
)
from pipelines.benchmark.measured import PEOPLE, MeasuredPresets, Quality
from pipelines.benchmark.page import bar_of, html_of
from pipelines.benchmark.report import Report
from pipelines.benchmark.request import Benchmark, cases_of, default_name, parse_candidates
from pipelines.benchmark.samples import Sample
from pipelines.benchmark.verdicts import Finding
from pipelines.errors import BriefError
from pipelines.routing.measured import measured_in
from pipelines.schema.money import Money
from tests.support.compared import (
    LOCAL,
    OTHER,
    all_pairs,
    benchmark,
    rated,
    report,
    samples,
)


def finding(found: Report, gate: str, candidate: str = LOCAL) -> Finding:
    (one,) = [item for item in found.findings if item.gate == gate and item.candidate == candidate]
    return one


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


FILMS = [*samples(LOCAL, 12), *samples(OTHER, 12)]


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


def test_the_router_reads_the_ratings_that_a_comparison_writes() -> None:
    rated = Quality(name="mean rating", value=4.2, low=3.9, high=4.5, n=12, scorer=PEOPLE)
    scored = Quality(name="prompt match", value=0.3, low=None, high=None, n=12, scorer="SigLIP 2")
    values = {
        name: item.model_copy(update={"qualities": (scored, rated)})
        for name, item in report(samples(LOCAL, 4)).measured().items()
    }
    written = MeasuredPresets(presets=values).model_dump_json().encode()
    assert {name: (item.rating, item.videos) for name, item in measured_in(written).items()} == {
        LOCAL: (4.2, 12)
    }
