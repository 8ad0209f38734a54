"""The file of the policy: what is read, and how a fault is said."""

from pathlib import Path

import pytest

from pipelines.backends.registry import definitions, presets
from pipelines.errors import SettingsError
from pipelines.routing.policy import Choices
from pipelines.routing.policy_file import BUILT_IN, read_policy
from tests.conftest import REPOSITORY
from tests.support.routing import built_in, policy

KNOWN = {*presets(), *definitions()}

BAD = {
    "no YAML": ("local: [only", 1, "no YAML", "correct it"),
    "a list": ("- local", 1, "policy.yaml", "dictionary"),
    "unknown name": ("name: x\nlokal: only", 2, "lokal='only'", "no field has this name"),
    "unknown value": ("local: never", 1, "local='never'", "'only', 'prefer' or 'any'"),
    "price below zero": ("price_cap: -1", 1, "price_cap=-1", "greater than or equal to 0"),
    "price as words": ("price_cap: a lot", 1, "price_cap='a lot'", "valid decimal"),
    "seconds zero": ("automatic_seconds_cap: 0", 1, "automatic_seconds_cap=0", "greater than 0"),
    "no end of time": ("automatic_seconds_cap: .inf", 1, "automatic_seconds_cap=inf", "finite"),
    "currency": ("currency: dollars", 1, "currency='dollars'", "[A-Z]{3}"),
    "all weights zero": (
        "name: x\nweights: {quality: 0, cost: 0, speed: 0}",
        2,
        "weights",
        "set one of them above 0",
    ),
    "quality": ("quality:\n  demo: 6", 1, "demo has 6", "rated from 1 to 5"),
    "quality of nothing": ("quality:\n  video_bset: 4", 2, "'video_bset'", "video_best"),
    "never, misspelt": ("never:\n - omni", 1, "never: 'omni'", "no preset and no backend"),
    "rule, misspelt": (
        "rules:\n - when: {kind: image}\n   only: [dmeo]",
        3,
        "rules.0.only: 'dmeo'",
        "demo",
    ),
    "rule for all": ("rules:\n - when: {}\n   local: only", 2, "rules.0.when", "no condition"),
    "rule without when": ("rules:\n - local: only", 2, "rules.0.when", "required"),
    "demand without words": (
        "demands:\n - {name: a, words: [' '], needs: {sound: true}}",
        2,
        "demands.0.words",
        "remove it",
    ),
    "demand for nothing": ("demands:\n - {name: a, words: [b], needs: {}}", 2, "needs", "ability"),
    "ability": (
        "demands:\n - {name: a, words: [b], needs: {ability: c}}",
        1,
        "the ability 'c'",
        "add it there",
    ),
}


@pytest.mark.parametrize(("text", "line", "value", "remedy"), BAD.values(), ids=BAD)
def test_a_fault_is_said_with_line_value_rule_and_remedy(
    text: str, line: int, value: str, remedy: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        policy(text)
    words = str(caught.value)
    assert words.startswith(f"policy.yaml, line {line}: ")
    assert value in words
    assert remedy in words


def test_a_file_that_is_not_there_is_said_with_the_variable(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"REELWRIGHT_ROUTING_POLICY=.*none\.yaml cannot be"):
        read_policy(tmp_path / "none.yaml", KNOWN)


def test_an_empty_file_is_a_policy_with_the_defaults() -> None:
    assert policy("").model_dump(include={*Choices.model_fields}) == Choices().model_dump()


def test_the_built_in_policy_rates_every_preset_of_this_version() -> None:
    from pipelines.backends.registry import _BUILT_IN

    own = {preset.name for item in _BUILT_IN for preset in item.presets}
    assert set(built_in().quality) == own
    assert built_in().automatic_price_cap == 0


def test_the_example_for_operators_can_be_used() -> None:
    example = REPOSITORY / "examples" / "policy.yaml"
    found = read_policy(example, KNOWN)
    assert found.rules
    assert found.demands
    assert found.name != read_policy(BUILT_IN, KNOWN).name


def test_sums_are_exact() -> None:
    assert str(policy("price_cap: 0.1").price_cap) == "0.1"
