"""`reelwright route` as its user meets it."""

import json
from pathlib import Path

import pytest

from infra.apps.make import summary
from pipelines.documents.brief import Brief
from pipelines.documents.route import Route, Setback
from pipelines.routing.router import find_route
from tests.conftest import Cli
from tests.support.published import film_of, manifest_of
from tests.support.routing import built_in, only


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text("name: mine\nlocal: only\n")
    return path


def test_it_prints_decision_reasons_and_alternatives_and_starts_nothing(
    embedded_cli: Cli, policy: Path
) -> None:
    result = embedded_cli("route", "a red fox", REELWRIGHT_ROUTING_POLICY=str(policy))
    assert result.code == 0, result.err
    first, *rest = result.out.splitlines()
    assert first.startswith("demo (Demo: ")
    assert "chosen by Reelwright: about " in first
    assert "; without the start of its run and publishing)" in first
    assert "nothing is paid" in first
    assert any(line.startswith("because: quality 1 of 5") or "2.5 of 5" in line for line in rest)
    assert any("reelwright models download t2v-A14B" in line for line in rest)
    assert not (embedded_cli.data / "store").exists()
    answer = embedded_cli("route", "a red fox", "--json", REELWRIGHT_ROUTING_POLICY=str(policy))
    route = Route.model_validate(json.loads(answer.out))
    assert (route.policy, route.chosen.preset) == ("mine", "demo")
    assert "\n".join(route.lines()) == result.out.strip()


BAD = {
    "no prompt": ([""], 2, "empty"),
    "unknown preset": (["fox", "--preset", "8k"], 2, "choose one of demo"),
    "unknown input": (["fox", "--with", "smell"], 2, "choose of picture"),
    "nothing installed fits": (["fox", "--with", "motion", "--with", "reference"], 1, "animate"),
    "nothing can do it": (["fox", "--image", "--with", "picture"], 2, "no preset can make this"),
}


@pytest.mark.parametrize(("args", "code", "words"), BAD.values(), ids=BAD)
def test_what_cannot_be_routed_is_said_in_one_line(
    embedded_cli: Cli, args: list[str], code: int, words: str
) -> None:
    result = embedded_cli("route", *args)
    assert (result.code, result.out) == (code, "")
    assert words in result.err
    assert len(result.err.strip().splitlines()) == 1


def test_a_bad_policy_is_said_with_its_line(embedded_cli: Cli, policy: Path) -> None:
    policy.write_text("name: mine\nlocal: sometimes\n")
    result = embedded_cli("route", "a red fox", REELWRIGHT_ROUTING_POLICY=str(policy))
    assert result.code == 1
    assert f"{policy}, line 2: local='sometimes'" in result.err


def test_the_summary_of_a_film_says_what_made_it_if_the_brief_did_not() -> None:
    brief = Brief(prompt="a red fox", seconds=4)
    manifest = manifest_of(brief, film_of(brief))
    named = find_route(brief, built_in(), only("demo"))
    assert "made by" not in summary(manifest, None)
    assert "made by" not in summary(manifest.model_copy(update={"route": named}), None)
    auto = find_route(Brief(prompt="a red fox", preset="auto"), built_in(), only("demo"))
    failed = auto.model_copy(
        update={
            "candidates": (auto.chosen.model_copy(update={"preset": "far"}), *auto.candidates),
            "setbacks": (Setback(preset="far", reason="not today"),),
        }
    )
    lines = summary(manifest.model_copy(update={"route": failed}), None).splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("made by   demo"))
    assert "chosen by Reelwright" in lines[place]
    assert lines[place + 1].strip() == "tried before: far: not today"
