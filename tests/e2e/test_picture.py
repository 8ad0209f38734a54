"""A single picture through the whole chain, in this process: PNG and WebP instead of a video."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infra.adapters.device.cache import release_all
from infra.adapters.object_store import ObjectStore
from pipelines.documents.manifest import Manifest
from pipelines.media.still import unstack_png
from pipelines.schema.keys import ObjectKey
from tasks.verify import audit
from tests.conftest import Cli
from tests.support.damage import replace

Run = Callable[..., Manifest]
PICTURE = {"prompt": "a red ball", "kind": "image", "steps": 2, "enhance": False}


@pytest.fixture
def run(in_process: Run) -> Iterator[Run]:
    yield in_process
    release_all()


def opened(store: ObjectStore, key: ObjectKey) -> Image.Image:
    data = store.get_bytes(key)
    assert data is not None
    return Image.open(io.BytesIO(data))


def test_a_picture_is_published_as_png_and_webp_and_not_as_a_video(
    run: Run, store: ObjectStore
) -> None:
    manifest = run(**PICTURE)
    cid = manifest.content_id
    assert manifest.kind == "image"
    assert manifest.address == f"s3://{store.bucket}/videos/{cid}/image.png"
    published = {item.key: item.content_type for item in manifest.objects if cid in item.key}
    assert published == {
        ObjectKey.image(cid): "image/png",
        ObjectKey.image_webp(cid): "image/webp",
        ObjectKey.poster(cid): "image/jpeg",
        ObjectKey.contact(cid): "image/jpeg",
    }
    assert set(store.list_keys(f"videos/{cid}/")) == {*published, ObjectKey.manifest(cid)}
    picture, webp = opened(store, ObjectKey.image(cid)), opened(store, ObjectKey.image_webp(cid))
    assert (picture.format, webp.format) == ("PNG", "WEBP")
    assert picture.size == webp.size == (manifest.clip.width, manifest.clip.height) == (96, 96)
    assert (manifest.clip.frames, manifest.clip.duration) == (1, 0)
    assert "stitch" not in {stage.stage for stage in manifest.stages}
    assert {item.stage for item in manifest.estimate.stages} == {"encode", "chunks", "upload"}
    raw = store.get_bytes(ObjectKey.overlap(manifest.chunks[0].digest))
    assert raw is not None
    assert np.array_equal(np.asarray(picture), unstack_png(raw, 1)[0])  # no codec between
    report = audit(store, lambda _: None)
    assert report.clean
    assert report.counts["whole"] >= len(published)


def test_the_same_picture_again_makes_nothing_and_a_damaged_one_is_published_again(
    run: Run, store: ObjectStore
) -> None:
    first, again = run(**PICTURE), run(**PICTURE)
    assert again.run.already_published
    assert again.objects == first.objects
    replace(store, ObjectKey.image_webp(first.content_id))
    assert not audit(store, lambda _: None).clean
    mended = run(**PICTURE)
    assert (mended.run.chunks_made, mended.run.chunks_reused) == (0, 1)
    assert mended.objects == first.objects
    assert audit(store, lambda _: None).clean


@pytest.mark.slow
def test_a_picture_is_enlarged_on_wish_and_found_enlarged_again(
    run: Run, store: ObjectStore
) -> None:
    plain, large = run(**PICTURE), run(**PICTURE, upscale=4)
    assert large.content_id != plain.content_id
    assert large.run.chunks_made == 0
    cid = large.content_id
    assert opened(store, ObjectKey.image(cid)).size == (384, 384)
    (segment,) = large.segments
    assert segment.object.key == ObjectKey.picture_segment(segment.digest)
    for key in (ObjectKey.manifest(cid), ObjectKey.image(cid)):
        store.delete(key)
    again = run(**PICTURE, upscale=4)
    assert (again.run.segments_made, again.run.segments_reused) == (0, 1)
    assert again.segments[0].object == segment.object


@pytest.mark.slow
def test_make_writes_a_picture_as_the_file_that_out_names(cli: Cli, tmp_path: Path) -> None:
    made = [*("make", "a red ball", "--image", "--no-enhance", "--steps", "2", "--out")]
    wrong = cli(*made, str(tmp_path / "ball.mp4"))
    assert wrong.code == 2
    assert "a picture is a PNG or a WebP; name it .png or .webp" in wrong.err
    done = cli(*made, str(tmp_path / "ball.png"))
    assert done.code == 0, done.err
    assert Image.open(tmp_path / "ball.png").format == "PNG"
    assert "picture   s3://" in done.out
    assert "film " not in done.out
    written = Manifest.model_validate_json((tmp_path / "ball.json").read_text())
    assert written.kind == "image"
    again = cli(*made, str(tmp_path / "ball.webp"))
    assert again.code == 0, again.err
    assert Image.open(tmp_path / "ball.webp").format == "WEBP"
    video = cli("make", "a red ball", "--no-enhance", "--out", str(tmp_path / "ball.png"))
    assert video.code == 2
    assert "a video is an MP4" in video.err
