"""Files that `reelwright make` is given are checked first, and stored as the brief names them."""

from pathlib import Path

import pytest
from PIL import Image

from infra.adapters.object_store import ObjectStore
from infra.apps.make import given_files
from pipelines.chunks.inputs import ChunkInputs
from pipelines.documents.brief import Brief
from pipelines.errors import BriefError
from pipelines.media.ffmpeg import Ffmpeg
from pipelines.schema.keys import Digest
from tests.e2e.tiny_studio import motion_archive


def picture(path: Path, colour: str = "red") -> Path:
    Image.new("RGB", (40, 30), colour).save(path)
    return path


def test_pictures_become_uploads_that_the_brief_names(store: ObjectStore, tmp_path: Path) -> None:
    first, last = picture(tmp_path / "a.jpg"), picture(tmp_path / "b.png", "blue")
    with given_files({"image": [first], "last_image": [last], "references": []}, None) as given:
        brief = Brief(prompt="x", preset="video_fast", **given.values)
        given.store(store)
    assert len(brief.uploads) == 2
    assert all(store.head(key) is not None for key in brief.uploads)


def test_a_motion_brings_its_videos(store: ObjectStore, ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    archive = motion_archive(ffmpeg, tmp_path / "motion", 31)
    pictures = {"references": [picture(tmp_path / "a.png")]}
    with given_files(pictures, archive) as given:
        brief = Brief(prompt="x", preset="replace", seconds=1, **given.values)
        given.store(store)
    digest = Digest(Path(brief.motion).stem)
    inputs = ChunkInputs(ffmpeg, store.get_bytes, tmp_path, {})
    roles = brief.resolved_preset().options.video_roles
    assert inputs.motion_frames(digest, roles, 30) == 31


def test_a_motion_that_lacks_a_video_is_refused_with_those_that_it_has(
    store: ObjectStore, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    archive = motion_archive(ffmpeg, tmp_path / "motion", 31, names=("src_pose", "src_face"))
    with given_files({}, archive) as given:
        given.store(store)
    inputs = ChunkInputs(ffmpeg, store.get_bytes, tmp_path, {})
    with pytest.raises(BriefError, match=r"no video of background and mask, only of pose, face"):
        inputs.motion_frames(
            Digest(Path(given.values["motion"]).stem), ("pose", "face", "background", "mask"), 30
        )


@pytest.mark.parametrize(("name", "words"), [("none.jpg", "is no file"), ("text.jpg", "PNG, JPEG")])
def test_what_is_no_picture_is_refused_by_its_name(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    with (
        pytest.raises(BriefError, match=rf"{name}.*{words}"),
        given_files({"image": [tmp_path / name]}, None),
    ):
        pytest.fail("it was taken")
