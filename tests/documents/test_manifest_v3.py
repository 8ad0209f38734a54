"""Manifests that Reelwright 0.1 and 0.2 wrote are read as they are, and their digests hold.

`tests/fixtures/manifests-v3.json` was written by the code of 0.2.0: one plan of each kind, and the
manifest of the video in `data-0.1.0.tar.xz`.
"""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from pipelines.documents.manifest import Film, Manifest
from tests.conftest import REPOSITORY

OLD: list[dict[str, Any]] = json.loads(
    (REPOSITORY / "tests" / "fixtures" / "manifests-v3.json").read_text()
)


def read(old: dict[str, Any]) -> Manifest:
    return Manifest.model_validate_json(json.dumps(old))


@pytest.mark.parametrize("old", OLD, ids=lambda old: old["content_id"][:8])
def test_every_digest_of_an_old_manifest_is_computed_as_it_was(old: dict[str, Any]) -> None:
    manifest = read(old)
    plan = manifest.plan
    assert plan.content_id == manifest.content_id == old["content_id"]
    assert [chunk.digest for chunk in plan.chunks] == [item["digest"] for item in old["chunks"]]
    assert [str(chunk.key) for chunk in plan.chunks] == [
        item["object"]["key"] for item in old["chunks"]
    ]
    if plan.upscale:
        assert [plan.segment_digest(chunk) for chunk in plan.chunks] == [
            item["digest"] for item in old["segments"]
        ]


@pytest.mark.parametrize("old", OLD, ids=lambda old: old["content_id"][:8])
def test_nothing_of_an_old_manifest_is_lost(old: dict[str, Any]) -> None:
    manifest = read(old)
    assert [item.model_dump(mode="json") for item in manifest.objects] == old["objects"]
    assert manifest.brief.prompt == old["brief"]["prompt"]
    assert manifest.storyboard.enhancer == old["storyboard"]["writer"]
    assert manifest.plan.fps == 16
    assert manifest.plan.frames == sum(item["keep"] for item in old["plan"]["chunks"])
    for chunk, was in zip(manifest.plan.chunks, old["plan"]["chunks"], strict=True):
        assert chunk.request.prompt == was["spec"]["prompt"]
        assert chunk.request.options["steps"] == was["spec"]["steps"]
        assert chunk.transition == was["join"]
    assert len(manifest.transitions) == len(old["joins"])


def test_what_an_old_chunk_went_on_from_is_a_chunk_or_a_picture() -> None:
    kinds = {
        kind
        for old in OLD
        for chunk in read(old).plan.chunks
        for kind in chunk.request.kinds - {"text"}
    }
    assert kinds == {"continuation", "first_frame"}


@pytest.mark.parametrize("old", OLD, ids=lambda old: old["content_id"][:8])
def test_written_again_it_is_a_manifest_of_this_version(old: dict[str, Any]) -> None:
    manifest = read(old)
    again = json.loads(manifest.model_dump_json())
    assert again["manifest_version"] == 4
    assert read(again) == manifest


@pytest.mark.parametrize("part", ["plan", "chunks", "joins", "models", "storyboard"])
def test_an_old_manifest_without_a_part_is_refused_and_not_guessed(part: str) -> None:
    broken = {key: value for key, value in OLD[0].items() if key != part}
    with pytest.raises(ValidationError):
        read(broken)


@pytest.mark.parametrize("old", OLD, ids=lambda old: old["content_id"][:8])
def test_a_film_that_waited_for_its_approval_can_still_be_published(old: dict[str, Any]) -> None:
    cid = old["content_id"]
    objects = {item["key"]: item for item in old["objects"]}
    names = {"video": "video.mp4", "poster": "poster.jpg", "contact": "contact.jpg"}
    film = {name: objects[f"videos/{cid}/{file}"] for name, file in names.items()}
    same = ("plan", "storyboard", "clip", "estimate", "chunks", "joins", "segments", "models")
    film |= {name: old[name] for name in (*same, "stages")}
    again = Film.model_validate_json(json.dumps(film))
    assert again.plan.content_id == cid
    assert again == Film.model_validate_json(again.model_dump_json())
