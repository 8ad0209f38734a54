"""1,000 random briefs under random policies, prices and availability."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from examples.gradient_backend import GRADIENT, GRADIENT_WITH_SOUND
from pipelines.backends.registry import definition_of, presets, registered
from pipelines.documents.brief import Brief
from pipelines.documents.parsing import parse_brief
from pipelines.documents.route import Route
from pipelines.errors import BriefError, BudgetError, UnavailableError
from pipelines.routing.policy import Policy
from pipelines.routing.router import find_route
from pipelines.schema.presets import AUTO
from tests.support.routing import Told, built_in, usd

EXAMPLES = 1000
FEW = 200
REMOTE = ("gradient", "gradient_sound")
WORDS = ("a fox", "with sound", "1080p", "talking head", "an orbit shot", "by night", "มีเสียง")


@pytest.fixture(scope="module", autouse=True)
def remote() -> Iterator[None]:
    with registered(GRADIENT), registered(GRADIENT_WITH_SOUND):
        yield


@st.composite
def briefs(draw: st.DrawFn) -> dict[str, object]:
    key = "a" * 64
    values: dict[str, object] = {
        "prompt": " ".join(draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=3))),
        "preset": draw(st.one_of(st.just(AUTO), st.just(AUTO), st.sampled_from(list(presets())))),
        "kind": draw(st.sampled_from(["video", "video", "image"])),
        "seconds": draw(st.sampled_from([0.25, 1.0, 4.0, 12.5, 60.0])),
        "upscale": draw(st.sampled_from([1, 1, 2, 4])),
        "joins": draw(st.sampled_from(["cut", "cut", "continue", "crossfade"])),
        "campaign": draw(st.sampled_from(["", "spring-sale", "autumn"])),
        "priority": draw(st.sampled_from(["rush", "normal", "batch"])),
        "size": draw(st.sampled_from(["preset", "preset", "64*64", "832*480", "1280*720"])),
        "frames": draw(st.sampled_from([-1, -1, 17, 33])),
    }
    if draw(st.integers(0, 4)) == 0:
        values["image"] = f"uploads/{key}.png"
    if draw(st.integers(0, 9)) == 0:
        values |= {"references": [f"uploads/{key}.png"], "motion": f"uploads/{key}.zip"}
    return values


@st.composite
def worlds(draw: st.DrawFn) -> Told:
    known = list(presets())
    away = draw(st.lists(st.sampled_from(known), unique=True))
    slow = draw(st.lists(st.sampled_from(known), max_size=6))
    seconds = st.floats(1, 20_000)
    cents = st.integers(0, 300)
    return Told(
        away=dict.fromkeys(away, "it does not answer"),
        seconds={name: draw(seconds) for name in slow},
        prices={name: usd(str(draw(cents) / 100)) for name in REMOTE},
        unknown=frozenset(draw(st.lists(st.sampled_from(known), max_size=2))),
    )


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    caps = st.sampled_from([None, 0, "0.50", "1.50"])
    choices = {
        "local": draw(st.sampled_from(["only", "prefer", "any"])),
        "price_cap": draw(caps),
        "automatic_price_cap": draw(caps),
        "automatic_seconds_cap": draw(st.sampled_from([None, 60, 7200])),
        "above_cap": draw(st.sampled_from(["approval", "next"])),
        "fallback_for_named": draw(st.booleans()),
        "never": draw(st.lists(st.sampled_from(list(presets())), max_size=3)),
    }
    rule = {"when": {"campaign": "spring-*"}, "local": draw(st.sampled_from(["only", "any"]))}
    values = built_in().model_dump() | choices | {"rules": draw(st.sampled_from([[], [rule]]))}
    return Policy.model_validate(values)


def attempt(brief: Brief, policy: Policy, told: Told) -> Route | str:
    try:
        return find_route(brief, policy, told)
    except (BudgetError, UnavailableError) as error:
        return f"{type(error).__name__}: {error}"


def check_caps(route: Route, policy: Policy, brief: Brief) -> None:
    """No cap is broken, by the numbers alone."""
    choices, _ = policy.choices_for(brief)
    for item in route.candidates:
        named = item.preset == brief.preset
        assert named or item.forecast is not None
        if item.forecast is None:
            continue
        price = item.forecast.price.amount if item.forecast.price else 0
        caps = [choices.price_cap] if named else [choices.price_cap, choices.automatic_price_cap]
        above = any(cap is not None and price > cap for cap in caps)
        assert bool(item.ask) == above
        assert choices.above_cap == "approval" or not above
        longest = choices.automatic_seconds_cap
        assert named or longest is None or item.forecast.seconds <= longest
        assert named or item.location == "device" or choices.local != "only"
        assert named or item.preset not in choices.never


def check_order(route: Route, policy: Policy, brief: Brief) -> None:
    """Candidates come by group, then score, then name; a named preset is the first one."""
    choices, _ = policy.choices_for(brief)
    rest = [item for item in route.candidates if item.preset != brief.preset]
    keys = []
    for item in rest:
        stands_in = definition_of(presets()[item.preset]).stand_in
        away = item.location == "remote" and choices.local == "prefer"
        keys.append((2 if stands_in else 1 if away else 0, -item.score))
    assert keys == sorted(keys)
    if brief.preset != AUTO and brief.preset in [item.preset for item in route.candidates]:
        assert route.chosen.preset == brief.preset
    if brief.preset != AUTO and not choices.fallback_for_named:
        assert not route.left


def _is_sound(values: dict[str, object], policy: Policy, told: Told, again: int) -> None:
    try:
        brief = parse_brief(values)
    except BriefError:
        return  # it fits no preset, or not the one that it names
    found = attempt(brief, policy, told)
    if not again:  # of a fourth, as it takes as long as the rest of this test
        assert attempt(brief, policy, told) == found
    if isinstance(found, str):
        assert ": " in found
        return
    check_caps(found, policy, brief)
    check_order(found, policy, brief)
    listed = [item.preset for item in (*found.candidates, *found.alternatives)]
    assert sorted(listed) == sorted(presets())
    assert all(item.reason for item in found.alternatives)
    assert all(item.reasons for item in found.candidates)
    away = [item.preset for item in found.candidates if item.preset in told.away]
    assert away in ([], [brief.preset])


def _settings(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@_settings(FEW)
@given(values=briefs(), policy=policies(), told=worlds(), again=st.integers(0, 3))
def test_the_same_brief_has_the_same_route_and_no_cap_is_ever_broken(
    values: dict[str, object], policy: Policy, told: Told, again: int
) -> None:
    _is_sound(values, policy, told, again)


@pytest.mark.slow
@_settings(EXAMPLES)
@given(values=briefs(), policy=policies(), told=worlds(), again=st.integers(0, 3))
def test_so_it_is_for_a_thousand_briefs(
    values: dict[str, object], policy: Policy, told: Told, again: int
) -> None:
    _is_sound(values, policy, told, again)
