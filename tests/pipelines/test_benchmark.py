"""Intervals of the go/no-go report, how far raters agree, and the gates that decide."""

import numpy as np
import pytest

from pipelines.benchmark.agreement import krippendorff_alpha
from pipelines.benchmark.gates import default_gates, parse_gates
from pipelines.benchmark.statistics import (
    mean_interval,
    ratio_interval,
    successes_needed,
    wilson,
)
from pipelines.errors import SettingsError

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
