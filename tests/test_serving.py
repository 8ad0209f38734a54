"""A video is read whole before the first byte of it is sent: nobody gets half of a damaged one."""

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.adapters.object_store import ObjectStore
from infra.adapters.seaweed import SeaweedServer
from infra.adapters.settings import StoreSettings
from infra.apps.gateway.database import Database
from infra.apps.gateway.index import Index
from infra.apps.gateway.problems import ProblemError
from infra.apps.gateway.videos import Videos
from pipelines.errors import StoreError
from pipelines.schema.keys import ObjectKey
from pipelines.schema.manifest import StoredObject
from tests.films import numbered, published, replace_behind_its_back, write


class CountingStore(ObjectStore):
    """A real store that counts how often objects are read whole, and can make it take long."""

    def __init__(self, settings: StoreSettings) -> None:
        super().__init__(settings)
        self.passes = 0
        self.may_end = threading.Event()
        self.may_end.set()

    def verify(self, found: StoredObject) -> None:
        self.passes += 1
        assert self.may_end.wait(60)
        super().verify(found)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "gateway")
    yield database
    database.close()


@pytest.fixture
def counting(store: ObjectStore, store_settings: StoreSettings) -> CountingStore:
    return CountingStore(store_settings)


@pytest.fixture
def videos(database: Database, counting: CountingStore) -> Videos:
    return Videos(counting, Index(database, counting))


@pytest.fixture
def video(store: ObjectStore) -> StoredObject:
    manifest = published(store, "a video of this test")
    found = store.head(ObjectKey.video(manifest.content_id))
    assert found is not None
    return found


def test_many_first_requests_share_one_reading(
    videos: Videos, counting: CountingStore, video: StoredObject
) -> None:
    async def ask() -> None:
        counting.may_end.clear()
        asking = [asyncio.create_task(videos.verify(video)) for _ in range(20)]
        await asyncio.sleep(0.05)
        asking[0].cancel()  # who began it hangs up
        counting.may_end.set()
        await asyncio.gather(*asking[1:])
        await videos.verify(video)

    asyncio.run(ask())
    assert counting.passes == 1


def test_a_damaged_video_is_told_to_all_who_ask(
    videos: Videos, counting: CountingStore, store: ObjectStore, video: StoredObject
) -> None:
    replace_behind_its_back(store, video.key, b"x" * video.size)

    async def ask() -> list[BaseException | None]:
        tasks = [videos.verify(video) for _ in range(5)]
        first = await asyncio.gather(*tasks, return_exceptions=True)
        return first + await asyncio.gather(videos.verify(video), return_exceptions=True)

    for error in asyncio.run(ask()):
        assert isinstance(error, ProblemError)
        assert (error.status, error.code) == (502, "damaged")
        assert str(video.key) in error.message
        assert "reelwright verify --repair" in error.message
    assert counting.passes == 1


def test_a_whole_object_that_the_manifest_does_not_name_is_damaged(
    videos: Videos, store: ObjectStore, video: StoredObject
) -> None:
    other = store.put_bytes(video.key, b"another video, whole in itself", "video/mp4")
    with pytest.raises(ProblemError, match="is damaged"):
        asyncio.run(videos.verify(other))


def test_beside_a_manifest_of_another_version_a_whole_video_is_served(
    videos: Videos, store: ObjectStore, video: StoredObject
) -> None:
    manifest = ObjectKey(video.key.replace("video.mp4", "manifest.json"))
    store.put_bytes(manifest, b'{"manifest_version": 1}', "application/json")
    asyncio.run(videos.verify(video))


def test_a_store_that_is_down_is_not_called_a_damaged_video(
    database: Database, store_settings: StoreSettings, video: StoredObject
) -> None:
    down = ObjectStore(
        store_settings.model_copy(update={"endpoint": "127.0.0.1:9", "patience": 0.0})
    )
    with pytest.raises(StoreError, match="cannot be reached"):
        asyncio.run(Videos(down, Index(database, down)).verify(video))


def test_a_video_that_came_in_otherwise_is_in_the_list_once_it_was_asked_for(
    videos: Videos, store: ObjectStore, video: StoredObject
) -> None:
    model = videos.manifest(published(store, "another video of this test").content_id)
    assert model is not None
    late = numbered(model, 1)
    write(store, late)
    assert not videos.index.has(late.content_id)
    assert videos.manifest(late.content_id) == late
    assert videos.index.has(late.content_id)
    store.delete(ObjectKey.manifest(late.content_id))
    assert videos.manifest(late.content_id) is None
    assert not videos.index.has(late.content_id)


@pytest.mark.slow
@pytest.mark.parametrize("size", [5_000, 9_000_000], ids=["one chunk", "several chunks"])
def test_a_byte_that_flipped_on_the_disk_is_found(
    tmp_path: Path, database: Database, size: int
) -> None:
    """SeaweedFS tries for 13 s, then says 500 or breaks off."""
    server = SeaweedServer(tmp_path / "store")
    server.wait()
    try:
        keys = server.credentials
        settings = StoreSettings(
            endpoint=server.endpoint,
            access_key=keys.access_key,
            secret_key=keys.secret_key,  # type: ignore[arg-type]
            patience=0.0,
        )
        store = ObjectStore(settings)
        store.ensure_bucket()
        manifest = published(store, "a video on a disk that ages")
        data = os.urandom(size)
        key = ObjectKey.video(manifest.content_id)
        film = tmp_path / "film.mp4"
        film.write_bytes(data)
        found = store.put_file(key, film, "video/mp4")
        store.delete(ObjectKey.manifest(manifest.content_id))
        flip(tmp_path / "store" / "data", data[-100:-60])
        with pytest.raises(ProblemError, match="is damaged"):
            asyncio.run(Videos(store, Index(database, store)).verify(found))
    finally:
        server.stop()


def flip(folder: Path, words: bytes) -> None:
    """One bit of the only place on the store's disk that holds `words`."""
    for path in folder.rglob("*.dat"):
        place = path.read_bytes().find(words)
        if place >= 0:
            with path.open("r+b") as file:
                file.seek(place)
                file.write(bytes([words[0] ^ 1]))
            return
    raise AssertionError("the bytes are not on the disk")
