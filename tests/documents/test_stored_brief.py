"""A manifest stays readable when its preset is gone or knows other limits."""

import json

import pytest

from examples.gradient_backend import GRADIENT
from pipelines.backends.registry import registered
from pipelines.documents.brief import Brief
from pipelines.documents.manifest import Manifest
from pipelines.documents.parsing import parse_brief
from pipelines.errors import BriefError
from tests.support.published import film_of, manifest_of


def test_a_video_of_a_backend_that_was_removed_is_still_read() -> None:
    with registered(GRADIENT):
        brief = Brief(prompt="two colours", preset=GRADIENT.presets[0].name, seconds=1)
        written = manifest_of(brief, film_of(brief), None).model_dump_json()
    manifest = Manifest.model_validate_json(written)
    assert manifest.brief.prompt == "two colours"
    assert manifest.model_dump_json() == written
    with pytest.raises(BriefError, match="is unknown; choose one of"):
        parse_brief(manifest.brief.model_dump())


@pytest.mark.parametrize(
    "change", [{"frames": 9, "joins": "continue"}, {"size": "100*60"}, {"steps": 1000}], ids=str
)
def test_a_brief_that_fitted_once_is_read_under_todays_limits(change: dict[str, object]) -> None:
    brief = Brief(prompt="a fox", preset="video_fast", seconds=1)
    values = json.loads(manifest_of(brief, film_of(brief), None).model_dump_json())
    values["brief"] |= change
    again = Manifest.model_validate_json(json.dumps(values))
    assert again.brief.model_dump(include=set(change)) == change
    with pytest.raises(BriefError):
        parse_brief(again.brief.model_dump())


def test_what_is_no_brief_at_all_is_refused() -> None:
    brief = Brief(prompt="a fox", seconds=1)
    values = json.loads(manifest_of(brief, film_of(brief), None).model_dump_json())
    values["brief"]["prompt"] = ""
    with pytest.raises(ValueError, match="the prompt is empty"):
        Manifest.model_validate_json(json.dumps(values))
