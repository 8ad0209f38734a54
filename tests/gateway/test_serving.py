"""A video is read whole before the first byte of it is sent: nobody gets half of a damaged one."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from infra.adapters.object_store import ObjectStore
from infra.adapters.seaweed import SeaweedServer
from infra.adapters.settings import StoreSettings
from infra.apps.gateway.app import BodyLimitMiddleware
from infra.apps.gateway.database import Database
from infra.apps.gateway.index import Index
from infra.apps.gateway.library import Library
from infra.apps.gateway.problems import ProblemError, add_handlers
from infra.apps.gateway.store_work import StoreWork
from infra.apps.gateway.videos import Videos
from pipelines.documents.manifest import StoredObject
from pipelines.errors import StoreError
from pipelines.retention import Ages
from pipelines.schema.keys import Digest, ObjectKey
from tests.support.films import numbered, published, replace_behind_its_back, write
from tests.support.ports import free_ports
from tests.support.studio import wait_for


class CountingStore(ObjectStore):
    """A real store that counts how often objects are read whole, and can make it take long."""

    def __init__(self, settings: StoreSettings) -> None:
        super().__init__(settings)
        self.passes = 0
        self.read: list[str] = []
        self.may_end = threading.Event()
        self.may_end.set()

    def get_bytes(self, key: ObjectKey) -> bytes | None:
        self.read.append(key)
        return super().get_bytes(key)

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
    assert store.head(video.key) == video


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


def test_a_deletion_before_the_index_is_filled_reads_no_other_video_s_manifest(
    videos: Videos,
    counting: CountingStore,
    store: ObjectStore,
    video: StoredObject,
    database: Database,
) -> None:
    published(store, "another video that shares nothing with it")
    cid = video.key.split("/")[1]
    videos.delete(f"{cid}.mp4", Ages(), Library(database))
    assert set(counting.read) == {ObjectKey.manifest(Digest(cid))}


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


class Serving(uvicorn.Server):
    """A server in a thread, with the gateway's middleware and error handlers before one address."""

    def __init__(self, blocks: Callable[[], Iterator[bytes]], length: int) -> None:
        app = FastAPI()
        add_handlers(app)
        app.add_middleware(BodyLimitMiddleware)
        work = StoreWork(60)

        @app.get("/video")
        async def video() -> StreamingResponse:
            headers = {"Content-Length": str(length)}
            return StreamingResponse(await work.stream(blocks()), headers=headers)

        (self.port,) = free_ports(1)
        # uvicorn's loggers have one level in a process; the fakes of other tests made them silent.
        config = uvicorn.Config(
            app,
            port=self.port,
            http="httptools",
            lifespan="off",
            log_config=None,
            log_level="info",
        )
        super().__init__(config)

    @contextmanager
    def running(self) -> Iterator[str]:
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            wait_for("the server", lambda: self.started)
            yield f"http://127.0.0.1:{self.port}/video"
        finally:
            self.should_exit = True
            thread.join(60)


def broken_after(blocks: list[bytes]) -> Iterator[bytes]:
    yield from blocks
    raise StoreError("the store cannot be reached")


@pytest.mark.expects_errors("a download was broken off", "returned without completing response")
def test_a_download_that_breaks_off_is_short_and_one_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with (
        Serving(lambda: broken_after([b"x" * 1_000]), 5_000).running() as url,
        httpx.stream("GET", url, timeout=60) as answer,
    ):
        assert answer.status_code == 200
        # The client stays until uvicorn has told: it says nothing of a client that has gone.
        wait_for("the line of uvicorn", lambda: "without completing" in caplog.text)
        with pytest.raises(httpx.RemoteProtocolError, match="received 1000 bytes, expected 5000"):
            answer.read()
    said = [record for record in caplog.records if record.name == "reelwright.store"]
    assert [r.getMessage() for r in said] == [
        "a download was broken off: the store cannot be reached"
    ]
    assert [record for record in caplog.records if record.exc_info] == []


def test_a_download_that_fails_before_it_begins_is_a_problem_as_json() -> None:
    with Serving(lambda: broken_after([]), 5_000).running() as url:
        answer = httpx.get(url, timeout=60)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")


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
