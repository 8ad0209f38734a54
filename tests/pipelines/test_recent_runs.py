"""What a run is expected to take follows from the recent runs, and is said as a range."""

import json

import pytest

from pipelines.planning.rates import Rates
from pipelines.schema.durations import range_words, time_words
from pipelines.schema.plan import Estimate
from pipelines.schema.sizes import Size

SMALL, LARGE = Size(832, 480), Size(1280, 720)
PLAIN = Rates(shot=1.0, chunk=4.0, upscale=1.0, fixed=10.0, basis="published figures")


def after(*values: float, size: Size = SMALL) -> Rates:
    """The rates after one run for each of `values`, the seconds of a unit of the chunks."""
    rates = PLAIN
    for value in values:
        rates = rates.learned({"chunk": value}, size)
    return rates


def test_one_slow_spell_does_not_move_the_estimate() -> None:
    usual = after(*([2.0] * 8)).spread("chunk", SMALL).usual
    assert after(*([2.0] * 4), 60.0, *([2.0] * 3)).spread("chunk", SMALL).usual == usual == 2.0
    assert after(*([2.0] * 7), 60.0).spread("chunk", SMALL).usual == 2.0


def test_a_machine_that_became_faster_is_believed_after_some_runs() -> None:
    assert after(*([4.0] * 9), *([1.0] * 5)).spread("chunk", SMALL).usual == 1.0


def test_without_a_run_the_plain_figure_holds_and_may_be_twice_wrong() -> None:
    found = PLAIN.spread("chunk", SMALL)
    assert (found.low, found.usual, found.high, found.runs) == (2.0, 4.0, 8.0, 0)


def test_the_range_holds_what_the_runs_took_and_is_never_a_point() -> None:
    same = after(*([2.0] * 9)).spread("chunk", SMALL)
    assert same.low < same.usual < same.high
    apart = after(1.0, 2.0, 3.0).spread("chunk", SMALL)
    assert (apart.low, apart.usual, apart.high) == (1.0, 2.0, 3.0)


def test_few_runs_make_a_wider_range_than_many_equal_ones() -> None:
    one, many = after(2.0).spread("chunk", SMALL), after(*([2.0] * 9)).spread("chunk", SMALL)
    assert one.high - one.low > many.high - many.low


def test_runs_of_the_same_size_count_before_those_of_others() -> None:
    rates = after(2.0, 2.0).learned({"chunk": 9.0}, LARGE)
    assert rates.spread("chunk", SMALL).usual == 2.0
    assert rates.spread("chunk", LARGE).usual == 9.0
    other = rates.spread("chunk", Size(64, 64))
    assert (other.usual, other.runs, other.same_size) == (2.0, 3, False)


def worked(*runs: tuple[float, float]) -> Rates:
    """The rates after runs of so many units, which took so many seconds."""
    rates = PLAIN
    for units, seconds in runs:
        rates = rates.learned({"upload": seconds / units}, SMALL, {"upload": units})
    return rates


def seconds(rates: Rates, units: float) -> float:
    return rates.spread("upload", SMALL, units).usual


def test_what_is_done_once_is_not_multiplied_for_a_longer_video() -> None:
    rates = worked((1, 2.5), (2, 3.0), (4, 4.0))
    assert seconds(rates, 3) == pytest.approx(3.5)
    assert seconds(rates, 12) == pytest.approx(8.0)
    one_was_slow = worked((1, 2.5), (2, 3.0), (2, 40.0), (4, 4.0), (1, 2.5), (4, 4.0))
    assert seconds(one_was_slow, 12) == pytest.approx(8.0)


def test_short_videos_that_took_the_same_do_not_promise_that_a_long_one_does() -> None:
    rates = worked((1, 1.0), (2, 1.0), (4, 1.0))
    assert seconds(rates, 4) == pytest.approx(1.0, rel=0.4)
    assert seconds(rates, 400) > 30 * seconds(rates, 4)


def test_a_longer_video_than_all_before_takes_as_much_longer_as_its_work_is_more() -> None:
    assert seconds(worked((2, 4.0)), 20) == 40.0
    assert seconds(worked((2, 4.0), (2, 4.4), (2, 3.8)), 20) == 40.0


def test_one_slow_short_run_says_little_of_a_long_one() -> None:
    """The first picture to be enlarged took 50 times the plain figure: a model was loaded."""
    rates = PLAIN.learned({"upscale": 50.0}, SMALL, {"upscale": 1.0})
    assert rates.spread("upscale", SMALL, 1.0).usual == pytest.approx(50.0)
    assert rates.spread("upscale", SMALL, 10.0).usual < 150


def test_the_range_grows_with_how_far_the_runs_lay_from_what_was_expected() -> None:
    near = worked((1, 2.5), (2, 3.0), (4, 4.0)).spread("upload", SMALL, 12)
    far = worked((1, 2.5), (2, 9.0), (2, 3.0), (4, 4.0)).spread("upload", SMALL, 12)
    assert far.high / far.usual > 2 * near.high / near.usual


def test_writing_a_shot_takes_the_same_for_every_size() -> None:
    rates = PLAIN.learned({"shot": 3.0}, SMALL)
    assert rates.spread("shot", LARGE).same_size


def test_only_the_latest_runs_of_a_size_are_kept_and_other_sizes_stay() -> None:
    rates = after(7.0, size=LARGE)
    for _ in range(40):
        rates = rates.learned({"chunk": 2.0}, SMALL)
    assert len(rates.recent["chunk"]) == 10
    assert rates.spread("chunk", LARGE).usual == 7.0
    assert Rates.model_validate_json(rates.model_dump_json()) == rates


def test_a_file_of_an_earlier_version_is_read() -> None:
    old = json.dumps(PLAIN.model_dump(exclude={"recent"}))
    assert Rates.model_validate_json(old) == PLAIN
    sample = {"size": "832*480", "value": 2.0}
    without_units = json.dumps(PLAIN.model_dump() | {"recent": {"chunk": [sample]}})
    assert Rates.model_validate_json(without_units).spread("chunk", SMALL, 3).usual == 6.0


def test_a_measurement_replaces_the_runs_before_it() -> None:
    found = after(2.0, 2.0).measured("chunk", 5.0, "measured by doctor")
    assert (found.spread("chunk", SMALL).usual, found.basis) == (5.0, "measured by doctor")


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (20, 44.6, "20 to 45 s"),
        (50, 170, "50 s to 3 min"),
        (120, 240, "2 to 4 min"),
        (5000, 9000, "83 min to 2.5 h"),
        (7200, 9000, "2.0 to 2.5 h"),
        (121, 123, "2 min"),
    ],
)
def test_a_range_is_said_shortly(low: float, high: float, words: str) -> None:
    assert range_words(low, high) == words


def test_an_estimate_says_time_range_and_basis_and_an_old_one_what_it_has() -> None:
    values = {"seconds": 180, "peak_memory_bytes": 1, "disk_bytes": 1, "basis": "median of 5 runs"}
    ranged = Estimate.model_validate(values | {"low_seconds": 120, "high_seconds": 240})
    assert ranged.time_words == "about 3 min (2 to 4 min; median of 5 runs)"
    assert Estimate.model_validate(values).time_words == "about 3 min (median of 5 runs)"
    assert time_words(30) == "30 s"
