"""A brief is read flat and in groups; Prefect's form has the groups."""

from typing import Any

import pytest
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import validate

from flows.draft_storyboard import draft_storyboard
from flows.produce_content import produce_content
from flows.render_video import render_video
from pipelines.documents.brief import Brief
from pipelines.documents.brief_form import parameters_of
from pipelines.documents.grouping import EDITORS, EXPERTS, GROUP, HIDDEN, flat, grouped
from pipelines.documents.manifest import Manifest
from pipelines.documents.parsing import parse_brief
from pipelines.errors import BriefError

FULL = Brief(
    prompt="a fox",
    preset="video_fast",
    style="film",
    steps=12,
    seed=7,
    storyboard=({"prompt": "a fox in the snow", "source": "llm"},),  # type: ignore[arg-type]
    stands_in_for="another model",
)
PLAIN = FULL.model_dump(mode="json")


def form() -> dict[str, Any]:
    """The schema that Prefect gets."""
    return parameter_schema(produce_content).model_dump_for_openapi()


def by_position(fields: dict[str, Any]) -> list[str]:
    """Names in the order in which Prefect's form shows them."""
    return sorted(fields, key=lambda name: int(fields[name]["position"]))


def complaints(brief: dict[str, Any]) -> list[str]:
    """What Prefect's server says of these parameters."""
    return [error.message for error in validate({"brief": brief}, form(), raise_on_error=False)]


def test_every_field_of_a_brief_has_one_place() -> None:
    assert sorted((*EDITORS, *EXPERTS, *HIDDEN)) == sorted(Brief.model_fields)


def test_the_form_begins_with_what_an_editor_fills_in_and_ends_with_the_group() -> None:
    fields = form()["definitions"]["Brief"]["properties"]
    assert by_position(fields) == [*EDITORS, GROUP]
    assert by_position(fields)[:4] == ["prompt", "seconds", "preset", "style"]
    group = fields[GROUP]
    assert by_position(group["properties"]) == [*EXPERTS]
    for item in (group, *fields.values(), *group["properties"].values()):
        assert item["title"]
        assert item["description"]


def test_the_form_does_not_show_what_programs_set() -> None:
    definitions = form()["definitions"]
    assert "stands_in_for" not in definitions["Brief"]["properties"]
    shot = definitions["HandShot"]["properties"]
    assert by_position(shot) == ["prompt", "seed", "chunks", "size", "camera", "wish"]
    assert by_position(definitions["SheetWords"]["properties"]) == ["name", "appearance", "kind"]


def test_a_copied_run_may_have_every_field_beside_the_group() -> None:
    whole = Brief(prompt="a fox", seed=7).model_dump(mode="json")
    found = flat(whole | {GROUP: {"steps": 12, "seed": 7, "enhance": True}}, Brief.model_fields)
    assert (found["steps"], found["seed"]) == (12, 7)
    with pytest.raises(ValueError, match="seed is 7 beside the group"):
        flat(whole | {GROUP: {"seed": 8}}, Brief.model_fields)


def test_all_flows_of_a_brief_have_the_same_form() -> None:
    for flow in (render_video, draft_storyboard):
        found = parameter_schema(flow).model_dump_for_openapi()
        assert found["definitions"] == form()["definitions"]


def test_the_rest_api_and_the_manifest_keep_the_flat_brief() -> None:
    schema = Brief.model_json_schema()
    assert set(schema["properties"]) == set(Brief.model_fields)
    assert schema["additionalProperties"] is False
    assert GROUP not in Manifest.model_json_schema()["$defs"]["StoredBrief"]["properties"]


@pytest.mark.parametrize("values", [PLAIN, grouped(PLAIN)], ids=["flat", "grouped"])
def test_both_forms_are_the_same_brief(values: dict[str, Any]) -> None:
    assert parse_brief(values) == FULL
    assert complaints(values) == []


def test_the_groups_hold_every_value_once() -> None:
    values = parameters_of(FULL)["brief"]
    assert values["seconds"] == 4
    assert values[GROUP]["steps"] == 12
    assert "steps" not in values
    assert values["stands_in_for"] == "another model"
    assert flat(values, Brief.model_fields) == PLAIN


@pytest.mark.parametrize("group", [None, {}], ids=str)
def test_a_group_may_be_empty(group: Any) -> None:
    assert parse_brief({"prompt": "a fox", GROUP: group}) == Brief(prompt="a fox")
    assert complaints({"prompt": "a fox", GROUP: group}) == []


def test_a_value_that_is_given_twice_must_be_the_same() -> None:
    values = {"prompt": "a fox", "seed": 7, "shots": []}
    assert parse_brief(values | {GROUP: {"seed": 7}}).seed == 7
    with pytest.raises(
        BriefError, match=r"^seed is 7 beside the group 'expert' and 8 in it; give it once$"
    ):
        parse_brief(values | {GROUP: {"seed": 8}})
    given = values | {GROUP: {"shots": [{"shot": 1, "seed": 2}]}}
    assert [item.seed for item in parse_brief(given).shots] == [2]  # none is the default


def test_a_default_that_the_form_filled_in_does_not_replace_a_flat_value() -> None:
    """As in a run of a program that somebody copies on Prefect's page."""
    usual = {name: Brief.model_fields[name].default for name in EXPERTS}
    values = {"prompt": "a fox", "preset": "video_fast", "steps": 12, GROUP: usual}
    assert parse_brief(values).steps == 12


WRONG: dict[str, tuple[Any, str]] = {
    "no group": ("fast", "expert 'fast' is no group of fields; leave it out, or open it"),
    "unknown": ({"stpes": 2}, "the group 'expert' has no field 'stpes'; leave it out"),
    "editor's": ({"seconds": 2}, "seconds does not belong in the group 'expert'; write it"),
}


@pytest.mark.parametrize(("group", "sentence"), WRONG.values(), ids=WRONG)
def test_a_group_of_something_else_is_refused(group: Any, sentence: str) -> None:
    with pytest.raises(BriefError, match=sentence):
        parse_brief({"prompt": "a fox", GROUP: group})
    assert complaints({"prompt": "a fox", GROUP: group})


@pytest.mark.parametrize("place", ["flat", "grouped"])
@pytest.mark.parametrize(
    "wrong", [{"steps": 101}, {"guidance": -2}, {"size": "1*1"}, {"shots": [{"shot": 0}]}], ids=str
)
def test_prefect_refuses_a_forbidden_value_in_both_forms(wrong: dict[str, Any], place: str) -> None:
    assert complaints({"prompt": "a fox"} | (wrong if place == "flat" else {GROUP: wrong}))


def test_prefect_names_a_field_that_does_not_exist() -> None:
    (words,) = complaints({"prompt": "a fox", "stpes": 2})
    assert words.startswith("'stpes' is not one of ['prompt',")
    assert complaints({"prompt": "a fox", "stands_in_for": "x" * 101})
