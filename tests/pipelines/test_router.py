"""The router: what it prefers, what it says, and when there is nothing left."""

from collections.abc import Iterator

import pytest

from examples.gradient_backend import GRADIENT, GRADIENT_WITH_SOUND
from pipelines.backends.registry import presets, registered
from pipelines.documents.brief import Brief
from pipelines.documents.route import LEFT_OUT, Route
from pipelines.errors import BudgetError, UnavailableError
from pipelines.routing.measured import Measured, measured_in
from pipelines.routing.router import find_route
from tests.support.routing import Told, built_in, only, policy, usd

PICTURE = f"uploads/{'a' * 64}.png"


@pytest.fixture(autouse=True)
def remote() -> Iterator[None]:
    """Two remote backends beside those of the device."""
    with registered(GRADIENT), registered(GRADIENT_WITH_SOUND):
        yield


def auto(prompt: str = "a fox", **values: object) -> Brief:
    return Brief.model_validate({"prompt": prompt, "preset": "auto", **values})


def names(route: Route) -> list[str]:
    return [item.preset for item in route.candidates]


def why_not(route: Route, preset: str) -> str:
    return next(item.reason for item in route.alternatives if item.preset == preset)


def test_the_best_preset_that_is_there_is_chosen_and_the_others_follow_by_score() -> None:
    route = find_route(auto(), built_in(), only("demo", "video_fast", "video_best"))
    assert names(route) == ["video_best", "video_fast", "demo"]
    assert [item.score for item in route.candidates[:2]] == sorted(
        (item.score for item in route.candidates[:2]), reverse=True
    )


def test_every_other_preset_is_an_alternative_with_a_reason() -> None:
    route = find_route(auto(), built_in(), only("demo"))
    assert {*names(route), *(item.preset for item in route.alternatives)} == set(presets())
    assert all(item.reason for item in route.alternatives)
    assert why_not(route, "video_best") == "not installed"
    assert "needs a picture" in why_not(route, "video_picture")
    assert "single pictures" in why_not(route, "image_fast")


def test_the_stand_in_comes_last_however_fast_it_is() -> None:
    seconds = {"demo": 1.0, "video_fast": 7000.0}
    route = find_route(auto(), built_in(), only("demo", "video_fast", seconds=seconds))
    assert names(route) == ["video_fast", "demo"]
    assert "stands in" in route.candidates[1].later


def test_a_picture_is_made_by_a_preset_for_pictures() -> None:
    route = find_route(auto(kind="image"), built_in(), Told())
    assert names(route) == ["image_high", "image_fast", "demo"]
    assert "a picture is asked for" in why_not(route, "video_best")


def test_a_brief_with_a_picture_goes_to_presets_that_begin_with_one() -> None:
    route = find_route(auto(image=PICTURE), built_in(), Told())
    assert names(route)[0] == "video_picture"
    assert "cannot begin with a picture" in why_not(route, "video_best")


def test_the_built_in_policy_spends_nothing() -> None:
    told = only("gradient", "gradient_sound", prices={"gradient": usd("0.01")})
    route = find_route(auto(), built_in(), told)
    assert names(route) == ["gradient_sound"]
    assert "0.01 USD, above the policy's automatic_price_cap of 0" in why_not(route, "gradient")


def test_remote_backends_come_after_the_device_unless_the_policy_says_otherwise() -> None:
    told = only("video_fast", "gradient", seconds={"gradient": 1.0})
    quality = "quality: {gradient: 5.0, video_fast: 1.0}"
    assert names(find_route(auto(), policy(quality), told)) == ["video_fast", "gradient"]
    assert names(find_route(auto(), policy(f"{quality}\nlocal: any"), told)) == [
        "gradient",
        "video_fast",
    ]
    route = find_route(auto(), policy(f"{quality}\nlocal: only"), told)
    assert names(route) == ["video_fast"]
    assert "local: only" in why_not(route, "gradient")


@pytest.mark.parametrize(
    ("weights", "first"),
    [
        ("{quality: 1, cost: 0, speed: 0}", "video_best"),
        ("{quality: 0, cost: 0, speed: 1}", "video_fast"),
    ],
)
def test_weights_decide(weights: str, first: str) -> None:
    told = only("video_best", "video_fast", seconds={"video_best": 3000.0, "video_fast": 10.0})
    text = f"weights: {weights}\nquality: {{video_best: 4.5, video_fast: 2.0}}"
    assert names(find_route(auto(), policy(text), told))[0] == first


def test_equal_scores_are_ordered_by_name() -> None:
    route = find_route(auto(), policy("name: equal"), only("video_high", "video_best", "video_5b"))
    assert names(route) == ["video_5b", "video_best", "video_high"]


def test_a_measured_quality_replaces_an_assumed_one_when_enough_was_rated() -> None:
    told, text = only("video_best", "video_fast"), "quality: {video_best: 3.0, video_fast: 2.0}"
    few, enough = (
        {"video_fast": Measured(rating=4.5, videos=videos, scorer="people")} for videos in (9, 10)
    )
    assert names(find_route(auto(), policy(text), told, few))[0] == "video_best"
    route = find_route(auto(), policy(text), told, enough)
    assert names(route)[0] == "video_fast"
    assert "4.5 of 5 (measured: people, 10 videos)" in route.chosen.reasons[0]
    assert "assumed" in route.candidates[1].reasons[0]


def test_ratings_are_read_from_the_summary_of_a_comparison() -> None:
    data = (
        b'{"presets": {"demo": {"qualities": ['
        b'{"value": 0.31, "n": 40, "scorer": "SigLIP 2"},'
        b'{"value": 3.2, "n": 40, "scorer": "people, blind pairs, 1 to 5"}]},'
        b'"gone": {"qualities": [{"value": "many"}]}}}'
    )
    found = measured_in(data)
    assert found == {"demo": Measured(rating=3.2, videos=40, scorer="people, blind pairs, 1 to 5")}
    assert measured_in(b"[]") == measured_in(b"no json") == {}


def test_words_that_ask_for_sound_choose_a_preset_with_sound() -> None:
    told = only("video_best", "ltx2_sound", "demo")
    assert names(find_route(auto("a fox"), built_in(), told))[0] == "video_best"
    route = find_route(auto("a fox With Sound effects"), built_in(), told)
    assert names(route) == ["ltx2_sound"]
    assert "makes no sound" in why_not(route, "video_best")
    assert any("asks for sound" in reason for reason in route.reasons)


def test_a_word_is_no_part_of_another_word_but_thai_has_no_borders() -> None:
    told = only("video_best", "ltx2_sound")
    assert names(find_route(auto("waterfall hdr"), built_in(), told))[0] == "video_best"
    assert names(find_route(auto("แมวมีเสียงดัง"), built_in(), told))[0] == "ltx2_sound"


def test_a_demand_that_nothing_meets_is_not_heeded_unless_it_is_strict() -> None:
    demand = "demands: [{name: sound, words: [with sound], needs: {sound: true}, strict: %s}]"
    brief, told = auto("a fox with sound"), only("video_best")
    route = find_route(brief, policy(demand % "false"), told)
    assert names(route) == ["video_best"]
    assert any("not heeded" in reason for reason in route.reasons)
    with pytest.raises(UnavailableError, match="“with sound” asks for sound, but it makes no"):
        find_route(brief, policy(demand % "true"), told)


def test_a_demand_for_lines_counts_the_finished_picture() -> None:
    text = "demands: [{name: 1080 lines, words: [1080p], needs: {short_side: 1080}, strict: true}]"
    with pytest.raises(UnavailableError, match="shorter side has 720 pixels, not 1080"):
        find_route(auto("1080p fox"), policy(text), only("video_high"))
    route = find_route(auto("1080p fox", upscale=2), policy(text), only("video_high"))
    assert names(route) == ["video_high"]


def test_an_ability_is_what_the_policy_says_it_is() -> None:
    text = (
        "abilities: {camera control: [gradient]}\n"
        "demands: [{name: camera control, words: [orbit shot], needs: {ability: camera control}}]"
    )
    route = find_route(auto("an orbit shot"), policy(text), only("video_best", "gradient"))
    assert names(route) == ["gradient"]
    assert "does not list it" in why_not(route, "video_best")


def test_rules_hold_for_their_campaign_and_priority_and_the_last_one_wins() -> None:
    text = """
only: [video_best, video_fast, gradient]
rules:
  - when: {campaign: "spring-*"}
    local: only
    only: [gradient, video_fast]
  - when: {campaign: spring-sale, priority: rush}
    local: any
    weights: {quality: 0, cost: 0, speed: 1}
"""
    told = only("video_best", "video_fast", "gradient", seconds={"gradient": 1.0})
    assert names(find_route(auto(), policy(text), told))[0] != "gradient"
    spring = find_route(auto(campaign="spring-sale"), policy(text), told)
    assert names(spring) == ["video_fast"]
    rush = find_route(auto(campaign="spring-sale", priority="rush"), policy(text), told)
    assert names(rush) == ["gradient", "video_fast"]
    assert "campaign 'spring-sale', priority 'rush': weights, local" in rush.reasons[1]


def test_what_is_never_allowed_is_not_chosen() -> None:
    route = find_route(auto(), policy("never: [wan-t2v-a14b]"), only("video_best", "video_fast"))
    assert names(route) == ["video_fast"]
    assert "never" in why_not(route, "video_best")


def test_an_automatic_choice_takes_no_longer_than_the_policy_says() -> None:
    told = only("video_best", "demo", seconds={"video_best": 7201.0})
    route = find_route(auto(), built_in(), told)
    assert names(route) == ["demo"]
    assert "7,201 s, above the policy's automatic_seconds_cap of 7,200" in why_not(
        route, "video_best"
    )


ASKS = "automatic_price_cap: 1\nabove_cap: approval"


def test_above_the_cap_a_person_is_asked_if_the_policy_says_so() -> None:
    told = only("gradient", prices={"gradient": usd("1.20")})
    route = find_route(auto(), policy(ASKS), told)
    assert "1.20 USD, above the policy's automatic_price_cap of 1 USD" in route.ask
    assert any("a person must approve it" in line for line in route.lines())
    asked = route.model_copy(update={"approved": ("gradient",)})
    assert asked.ask == ""


def test_above_the_cap_the_next_candidate_is_taken_and_nothing_is_spent_without_one() -> None:
    prices = {"gradient": usd("1.20")}
    text = "automatic_price_cap: 1\nabove_cap: next"
    assert names(find_route(auto(), policy(text), only("gradient", "demo", prices=prices))) == [
        "demo"
    ]
    with pytest.raises(BudgetError, match=r"above a cap: gradient: .*1\.20 USD.*Nothing was spent"):
        find_route(auto(), policy(text), only("gradient", prices=prices))


def test_a_price_in_another_currency_is_never_below_a_cap() -> None:
    told = only("gradient", prices={"gradient": usd("0.01")})
    with pytest.raises(BudgetError, match="the policy's price_cap is in EUR: write the policy in"):
        find_route(auto(), policy("currency: EUR\nautomatic_price_cap: 1"), told)


def test_a_named_preset_is_taken_as_it_is_and_has_no_fallback() -> None:
    route = find_route(Brief(prompt="a fox", preset="video_best"), built_in(), only("demo"))
    assert names(route) == ["video_best"]
    assert why_not(route, "demo") == "the brief names video_best"


def test_a_named_preset_above_the_cap_for_every_video_is_refused_or_asked_for() -> None:
    brief, told = Brief(prompt="a fox", preset="gradient"), Told(prices={"gradient": usd("1.51")})
    with pytest.raises(BudgetError, match=r"above the policy's price_cap of 1\.5 USD"):
        find_route(brief, built_in(), told)
    assert find_route(brief, policy("above_cap: approval"), told).ask
    cheap = Told(prices={"gradient": usd("1.50")})
    assert find_route(brief, built_in(), cheap).ask == ""


def test_a_named_preset_is_followed_by_others_if_the_policy_allows_it() -> None:
    brief, text = Brief(prompt="a fox", preset="video_fast"), "fallback_for_named: true"
    route = find_route(brief, policy(text), only("demo", "video_best"))
    assert names(route) == ["video_fast", "video_best", "demo"]
    dear = Told(prices={"gradient": usd("9")}, away=only("demo", "gradient").away)
    route = find_route(Brief(prompt="a fox", preset="gradient"), policy(text), dear)
    assert names(route) == ["demo"]


def test_a_named_preset_whose_costs_nobody_knows_here_is_taken_all_the_same() -> None:
    told = Told(unknown=frozenset({"video_best"}))
    route = find_route(Brief(prompt="a fox", preset="video_best"), built_in(), told)
    assert "not known here" in next(iter(route.lines()))
    assert "cannot be read" in why_not(find_route(auto(), built_in(), told), "video_best")


def test_where_nothing_can_be_used_the_error_says_why_for_each() -> None:
    reasons = r"now: demo: not installed; .*and 19 more"
    with pytest.raises(UnavailableError, match=reasons) as caught:
        find_route(auto(), built_in(), only())
    assert not isinstance(caught.value, BudgetError)


def test_the_lines_say_decision_reasons_next_ones_and_the_others() -> None:
    told = only("video_best", "gradient", seconds={"video_best": 1000.0})
    lines = list(find_route(auto("a 1080p fox"), built_in(), told).lines())
    assert lines[0].startswith("video_best (Video, best")
    assert f"chosen by Reelwright: about 17 min (told by the test; {LEFT_OUT})" in lines[0]
    assert ", 5.0 GB of memory" in lines[0]
    demand = "because: “1080p” asks for 1080 lines, but no preset that can be used now has it"
    assert lines[1].startswith(demand)
    assert any(line.startswith("next, number 1: gradient, about 2 min") for line in lines)
    assert any(line.startswith("not image_fast, image_high: it makes single") for line in lines)


def test_a_route_reads_back_as_it_was_written() -> None:
    route = find_route(auto(), built_in(), Told(prices={"gradient": usd("0.10")}))
    assert Route.model_validate_json(route.model_dump_json()) == route
