"""One altered byte, in any object: found by the run that needs it, named, and made again."""

import dataclasses
import hashlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.states import Completed

from infra.adapters.device.cache import release_all
from infra.adapters.manifests import read_manifest
from infra.adapters.object_store import ObjectStore
from infra.adapters.seaweed import SeaweedServer
from infra.adapters.settings import StoreSettings
from infra.apps.gateway.store_work import READ_SECONDS
from pipelines.documents.brief import Brief
from pipelines.documents.manifest import Manifest
from pipelines.errors import BriefError, CorruptObjectError, MissingObjectError, StoreError
from pipelines.schema.keys import Digest, ObjectKey
from tasks import dispatch
from tests.conftest import slow
from tests.support.damage import flip_on_disk, replace
from tests.support.published import film_of

Run = Callable[..., Manifest]
PLAIN = {"prompt": "a red fox in the snow", "seconds": 1, "frames": 9, "steps": 1, "upscale": 2}
KEY = ObjectKey.chunk(Digest("a" * 64))


@pytest.fixture
def run(in_process: Run) -> Iterator[Run]:
    yield in_process
    release_all()


@pytest.fixture
def own_store(tmp_path: Path) -> Iterator[tuple[ObjectStore, SeaweedServer, Path]]:
    """A store of the test's own, whose files it may alter."""
    server = SeaweedServer(tmp_path / "store")
    server.wait()
    store = ObjectStore(
        StoreSettings(
            endpoint=server.endpoint,
            access_key=server.credentials.access_key,
            secret_key=server.credentials.secret_key,  # type: ignore[arg-type]
            patience=180,
        ),
        read_seconds=READ_SECONDS,  # as in the gateway; SeaweedFS takes longer to say so
    )
    store.ensure_bucket()
    yield store, server, tmp_path / "store" / "data"
    server.stop()


@pytest.mark.parametrize("size", [3_000, slow(12_000_000)])
def test_a_byte_that_went_bad_on_the_disk_is_damage(
    own_store: tuple[ObjectStore, SeaweedServer, Path], tmp_path: Path, size: int
) -> None:
    store, _, folder = own_store
    data = hashlib.shake_256(b"clip").digest(size)
    (tmp_path / "clip").write_bytes(data)
    put = store.put_file(KEY, tmp_path / "clip", "video/mp4")
    flip_on_disk(folder, data)
    assert store.head(KEY) == put
    with pytest.raises(CorruptObjectError, match=f"{KEY} is damaged: its bytes cannot be read"):
        store.get_file(put, tmp_path / "back")
    assert not (tmp_path / "back").exists()
    assert [entry.key for entry in store.entries("runs/")] == []  # the probe is gone


def test_a_store_that_stops_while_it_is_read_is_no_damage(
    own_store: tuple[ObjectStore, SeaweedServer, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, server, _ = own_store
    settings = StoreSettings(
        endpoint=server.endpoint,
        access_key=server.credentials.access_key,
        secret_key=server.credentials.secret_key,  # type: ignore[arg-type]
        patience=0,
    )
    store = ObjectStore(settings)
    (tmp_path / "clip").write_bytes(bytes(40_000_000))
    put = store.put_file(KEY, tmp_path / "clip", "video/mp4")
    blocks = store._blocks

    def stopping(key: ObjectKey) -> Iterator[bytes]:
        for block in blocks(key):
            yield block
            server.stop()

    monkeypatch.setattr(store, "_blocks", stopping)
    with pytest.raises(StoreError, match="cannot be reached") as caught:
        store.verify(put)
    assert not isinstance(caught.value, CorruptObjectError)


def test_an_object_that_vanishes_between_two_looks(store: ObjectStore, tmp_path: Path) -> None:
    put = store.put_bytes(KEY, b"clip", "video/mp4")
    store.delete(KEY)
    with pytest.raises(MissingObjectError, match="not in the bucket any more"):
        store.get_file(put, tmp_path / "back")


def test_only_what_was_not_stored_anew_is_deleted(store: ObjectStore) -> None:
    store.put_bytes(KEY, b"clip", "video/mp4")
    (entry,) = store.entries()
    assert not store.delete_unchanged(
        dataclasses.replace(entry, modified=entry.modified - timedelta(days=9))
    )
    assert store.delete_unchanged(entry)
    assert not store.delete_unchanged(entry)


@dataclass
class Damaged:
    """A brief given again after damage."""

    run: Run
    store: ObjectStore
    log: pytest.LogCaptureFixture

    def again(self, *keys: ObjectKey) -> Manifest:
        """Its manifest; each of `keys` was damaged before and is whole and named afterwards."""
        for key in keys:
            replace(self.store, key)
        self.log.clear()
        with self.log.at_level(logging.WARNING, "reelwright"):
            manifest = self.run(**PLAIN)
        for key in keys:
            assert key in self.log.text
            assert self.store.get_bytes(key)
        for item in manifest.objects:
            self.store.verify(item)
        return manifest


@pytest.fixture
def damaged(run: Run, store: ObjectStore, caplog: pytest.LogCaptureFixture) -> Damaged:
    return Damaged(run, store, caplog)


def test_every_damaged_object_of_a_published_video_is_made_again(damaged: Damaged) -> None:
    first, store = damaged.run(**PLAIN), damaged.store
    cid = first.content_id
    assert damaged.again(ObjectKey.manifest(cid)).run.already_published
    assert "restored from its copy" in damaged.log.text

    again = damaged.again(ObjectKey.poster(cid), store.list_keys("shots/")[0])
    assert "this video was published before, but" in damaged.log.text
    assert (again.run.chunks_made, again.run.segments_made) == (0, 0)
    assert again.objects == first.objects
    assert again.storyboard.shots == first.storyboard.shots

    # A run looks at what the video was made of when it makes the video again.
    store.delete(ObjectKey.video(cid))
    overlap = ObjectKey.overlap(first.chunks[0].digest)
    segment = ObjectKey.segment(first.segments[1].digest)
    again = damaged.again(overlap, segment)
    assert [chunk.made for chunk in again.chunks] == [True, False]
    assert [item.made for item in again.segments] == [False, True]


@pytest.mark.slow
@pytest.mark.parametrize("what", ["video", "contact", "chunk", "takes", "both manifests"])
def test_the_other_objects_too(damaged: Damaged, what: str) -> None:
    first = damaged.run(**PLAIN)
    cid, digest = first.content_id, first.chunks[0].digest
    if what in ("chunk", "takes"):
        damaged.store.delete(ObjectKey.video(cid))
    key = {
        "video": ObjectKey.video(cid),
        "contact": ObjectKey.contact(cid),
        "chunk": ObjectKey.chunk(digest),
        "takes": ObjectKey.takes(digest),
        "both manifests": ObjectKey.manifest(cid),
    }[what]
    if what == "both manifests":
        replace(damaged.store, ObjectKey.manifest_copy(cid))
        replace(damaged.store, key)
        assert read_manifest(damaged.store, cid).state == "damaged"
        replace(damaged.store, key)
    again = damaged.again(key)
    assert again.run.chunks_made == (what in ("chunk", "takes"))
    assert read_manifest(damaged.store, cid).state == "whole"


@pytest.mark.expects_errors("is damaged in the bucket")
def test_a_damaged_picture_is_refused_before_anything_is_made(run: Run, store: ObjectStore) -> None:
    key = ObjectKey.upload(Digest("b" * 64))
    store.put_bytes(key, b"a picture", "image/png")
    replace(store, key)
    with pytest.raises(BriefError, match=f"{key} is damaged .* upload the same file again"):
        run(**PLAIN | {"upscale": 1, "frames": 33, "enhance": False}, image=key)
    assert store.list_keys("chunks/") == []


def test_a_damaged_hand_over_is_made_again(
    store: ObjectStore, store_settings: StoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The GPU host's work is all found again: only the object that names it is made anew."""
    values = {
        "ENDPOINT": store_settings.endpoint,
        "ACCESS_KEY": store_settings.access_key,
        "SECRET_KEY": store_settings.secret_key.get_secret_value(),
        "BUCKET": store_settings.bucket,
    }
    for name, value in values.items():
        monkeypatch.setenv(f"REELWRIGHT_S3_{name}", value)
    brief = Brief(prompt="a red fox", seconds=1)
    film = film_of(brief)
    children = [FlowRun(id=uuid4(), flow_id=uuid4()) for _ in range(2)]
    for child in children:
        key = ObjectKey.film(child.id)
        store.put_bytes(key, film.model_dump_json().encode(), "application/json")
    replace(store, ObjectKey.film(children[0].id))
    keys: list[str] = []

    def start(*_: object, idempotency_key: str, **__: object) -> FlowRun:
        keys.append(idempotency_key)
        return children[len(keys) - 1]

    monkeypatch.setattr(dispatch, "run_deployment", start)
    monkeypatch.setattr(dispatch, "_wait", lambda *_, **__: Completed())
    assert dispatch.render_on_gpu_host(brief) == film
    assert [key.rpartition("-")[2] for key in keys] == ["1", "2"]
