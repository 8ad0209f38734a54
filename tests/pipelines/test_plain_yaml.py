"""YAML of an operator: plain values, and a sentence for what would become gigabytes."""

import pytest
import yaml

from pipelines.calendar.entry import parse_calendar
from pipelines.plain_yaml import compose, construct

LAUGHS = "a0: &a0 [ha,ha,ha,ha,ha,ha,ha,ha,ha]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


def test_aliases_of_an_ordinary_size_stay() -> None:
    root = compose("a: &a {b: [1, 2]}\nc: [*a, *a]")
    assert root is not None
    assert construct(root)["c"] == [{"b": [1, 2]}] * 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LAUGHS, "aliases"),
        ("a: &a [*a]", "deeper"),
        ("a: " + "[" * 60 + "]" * 60, "deeper"),
        ("a: " + "[" * 100_000, "deeper"),
        ("a" * 1_000_001, "characters"),
    ],
)
def test_what_is_too_large_is_refused(text: str, words: str) -> None:
    with pytest.raises(yaml.YAMLError, match=words):
        compose(text)


@pytest.mark.parametrize("form", ["{item:>999999999}", "{date:%999999999d}"])
def test_a_width_of_gigabytes_breaks_its_entry(form: str) -> None:
    text = f'entries: [{{name: x, cron: "0 7 * * *", brief: {{prompt: "{form}"}}}}]'
    (broken,) = parse_calendar(text).broken
    assert "too wide" in str(broken)
