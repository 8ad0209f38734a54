"""Single pictures in plans, manifests, estimates and files."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infra.apps.gateway.listing import as_row, of_row, view_of
from pipelines.documents.brief import Brief
from pipelines.documents.manifest import Manifest, Seam
from pipelines.errors import MediaError
from pipelines.media.still import read_picture, write_picture, write_picture_copies
from pipelines.planning.disk import disk_of
from pipelines.planning.estimate import default_rates, estimate
from pipelines.planning.memory import Footprint
from pipelines.planning.plan import kind_of, timeline
from pipelines.quality import seams
from pipelines.schema.keys import ObjectKey
from pipelines.schema.plan import FILM, PICTURE
from pipelines.schema.sizes import Size
from tests.support.planned import NamedBackend, plan_of
from tests.support.published import film_of, manifest_of

STILL = {"kind": "image", "preset": "demo"}


def brief_of(**values: object) -> Brief:
    return Brief.model_validate({"prompt": "a red fox", **values})


def test_a_picture_has_a_content_id_of_its_own_and_the_chunk_and_segment_of_before() -> None:
    plan = plan_of(**STILL, upscale=2)
    before = plan.model_copy(update={"recipe": FILM})  # as versions up to 0.5.0 planned it
    assert (plan.kind, before.kind, plan.recipe) == ("image", "video", PICTURE)
    assert plan.content_id != before.content_id
    (chunk,) = plan.chunks
    assert before.chunks == plan.chunks
    assert plan.segment_digest(chunk) == before.segment_digest(chunk)
    assert plan_of(preset="demo").recipe == FILM


def test_a_preset_for_stills_and_a_brief_for_a_picture_are_both_pictures() -> None:
    assert kind_of(brief_of(preset="image_fast")) == "image"
    assert kind_of(brief_of(preset="auto", kind="image")) == "image"
    assert kind_of(brief_of(preset="auto")) == kind_of(brief_of(preset="demo")) == "video"
    assert plan_of(preset="image_fast").kind == "image"


def test_a_manifest_of_a_still_of_before_is_a_video_and_stays_one() -> None:
    brief = brief_of(**STILL)
    film = film_of(brief)
    plan = film.plan.model_copy(update={"recipe": FILM})
    video = film.video.model_copy(update={"key": ObjectKey.video(plan.content_id)})
    old = film.model_copy(update={"plan": plan, "video": video, "webp": None})
    values = json.loads(manifest_of(brief, old).model_dump_json())
    del values["kind"]  # it had no such field
    manifest = Manifest.model_validate(values)
    assert (manifest.kind, manifest.plan.kind) == ("video", "video")
    view = view_of(manifest)
    assert view.kind == "video"
    assert view.video_path == f"/videos/{plan.content_id}.mp4"
    assert of_row(as_row(view)) == view


def test_an_estimate_of_a_picture_has_no_stitching_and_room_for_its_files() -> None:
    brief = brief_of(**STILL, upscale=4, enhance=False)
    rates, nothing = default_rates(brief.backend, "cpu"), Footprint(enhancer=0, upscaler=0)
    expected = estimate(brief, NamedBackend(brief.backend), rates, nothing)
    assert [item.stage for item in expected.stages] == ["encode", "chunks", "upscale", "upload"]
    disk, pixels = disk_of(brief, timeline(brief), 0), 64 * 64 * 16
    assert disk["upscale"] >= 3 * pixels
    assert disk["upload"] >= 4 * pixels


def test_the_files_of_a_picture_are_whole_in_themselves(tmp_path: Path) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (480, 1920, 3), dtype=np.uint8)
    source = tmp_path / "picture.png"
    write_picture(frame, source)
    assert np.array_equal(read_picture(source, Size(1920, 480)), frame)
    webp, poster, contact = (tmp_path / name for name in ("a.webp", "b.jpg", "c.jpg"))
    write_picture_copies(source, webp, poster, contact)
    found = [(image.format, image.size) for image in map(Image.open, (webp, poster, contact))]
    assert found == [("WEBP", (1920, 480)), ("JPEG", (1280, 320)), ("JPEG", (320, 80))]


def test_a_picture_that_is_not_as_planned_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "picture.png"
    write_picture(np.zeros((16, 32, 3), np.uint8), source)
    with pytest.raises(MediaError, match=r"has 32\*16 pixels, planned were 16\*32"):
        read_picture(source, Size(16, 32))
    write_picture(np.zeros((1, 16_384, 3), np.uint8), source)
    with pytest.raises(MediaError, match="cannot be written as WebP, whose sides end at 16383"):
        write_picture_copies(source, *(tmp_path / name for name in ("a.webp", "b.jpg", "c.jpg")))
    source.write_bytes(b"no picture")
    for read in (
        lambda: read_picture(source, Size(16, 32)),
        lambda: write_picture_copies(source, tmp_path / "a", tmp_path / "b", tmp_path / "c"),
    ):
        with pytest.raises(MediaError, match="cannot be read"):
            read()


@pytest.mark.parametrize(
    ("score", "words"),
    [(1.0, "smooth"), (1.5, "smooth"), (1.58, "hardly seen"), (3.5, "visible"), (4.1, "a jump")],
)
def test_a_join_is_told_in_words(score: float, words: str) -> None:
    seam = Seam(colour=0.1, structure=0.2, motion=score, score=score)
    assert seams.in_words(seam) == words
    assert words.removeprefix("a ") in seams.SCALE
