"""The index of the videos says what the bucket holds, in order, page by page."""

import io
import logging
from collections.abc import Callable, Iterator
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import StoreSettings
from infra.apps.gateway.database import Database
from infra.apps.gateway.index import Index
from infra.apps.gateway.listing import Place, VideoFilter
from pipelines.documents.manifest import Manifest
from pipelines.errors import CorruptObjectError, StoreError
from pipelines.schema.keys import ObjectKey
from tests.support.films import START, brief_of, called, film_of, id_of, numbered, published, write

COUNT = 250
EVERY_TENTH = "tenth"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "gateway")
    yield database
    database.close()


@pytest.fixture
def index(database: Database, store: ObjectStore) -> Index:
    return Index(database, store)


@pytest.fixture
def model(store: ObjectStore) -> Manifest:
    """What the manifests of a test are made of; it is in the bucket too, and the newest."""
    return published(store, "a red ball moves right", "spring")


def put(store: ObjectStore, model: Manifest, numbers: range) -> None:
    for number in numbers:
        write(store, numbered(model, number, (EVERY_TENTH,) if number % 10 == 0 else ()))


def walk(
    index: Index, limit: int, campaign: str = "", between: Callable[[int], None] = lambda _: None
) -> list[str]:
    """Ids of all pages; `between` is called after each with its number."""
    ids: list[str] = []
    cursor, number = "", 0
    while True:
        page = index.page(limit, VideoFilter(campaign), cursor)
        ids += [video.id for video in page.videos]
        if page.next is None:
            return ids
        cursor = page.next.as_cursor()
        number += 1
        between(number)


def test_hundreds_of_videos_come_in_order_and_once_while_others_are_added_and_deleted(
    index: Index, store: ObjectStore, model: Manifest
) -> None:
    put(store, model, range(COUNT))
    assert index.reconcile() == COUNT + 1
    expected = [model.content_id, *(id_of(number) for number in reversed(range(COUNT)))]
    assert walk(index, 24) == expected
    assert walk(index, COUNT + 1) == expected
    assert walk(index, 7, EVERY_TENTH) == [id_of(n) for n in reversed(range(0, COUNT, 10))]
    assert walk(index, 7, "spring") == [model.content_id]
    assert walk(index, 7, "summer") == []
    assert index.campaigns() == ["spring", EVERY_TENTH]

    def change(number: int) -> None:
        """A newer video after every page; and the oldest is deleted after the first."""
        new = numbered(model, COUNT + number)
        write(store, new)
        assert index.refresh(new.content_id)
        if number == 1:
            store.delete(ObjectKey.manifest(id_of(0)))
            index.remove(id_of(0))

    assert walk(index, 24, between=change) == expected[:-1]


def test_videos_of_one_second_are_told_apart(
    index: Index, store: ObjectStore, model: Manifest
) -> None:
    ids = [id_of(number) for number in range(9)]
    for cid in ids:
        write(store, called(model, cid))
    index.reconcile()
    assert walk(index, 2) == sorted([*ids, model.content_id], reverse=True)


def test_a_list_shows_what_the_manifest_says(index: Index, model: Manifest) -> None:
    index.reconcile()
    (video,) = index.page(5).videos
    assert video.id == model.content_id
    assert (video.prompt, video.campaigns) == (model.brief.prompt, ("spring",))
    assert (video.seconds, video.width, video.height) == (1.0, 64, 64)
    assert (video.model, video.size) == ("Tiny Wan", len(model.brief.prompt) * 50)
    assert video.video_path == f"/videos/{model.content_id}.mp4"


def test_videos_are_found_by_words_dates_and_campaign_together(
    index: Index, store: ObjectStore, model: Manifest
) -> None:
    for number, words in enumerate(["A red Fox", "100 % wool", "แมวสีแดง", "a_b"]):
        video = numbered(model, number, (EVERY_TENTH,) if number < 2 else ())
        brief = video.brief.model_copy(update={"prompt": words})
        write(store, video.model_copy(update={"brief": brief}))
    index.reconcile()

    def found(**wanted: Any) -> list[str]:
        return [video.id for video in index.page(9, VideoFilter(**wanted)).videos]

    assert found(text="FOX") == [id_of(0)]
    assert found(text="แมว") == [id_of(2)]
    assert found(text="%") == [id_of(1)]
    assert found(text="a_b") == [id_of(3)]
    assert found(text="\\") == []
    second = START + timedelta(seconds=1)
    assert found(until=second) == [id_of(0)]
    assert found(since=second, until=second + timedelta(seconds=2)) == [id_of(2), id_of(1)]
    elsewhere = second.astimezone(timezone(timedelta(hours=7)))
    assert found(campaign=EVERY_TENTH, since=elsewhere) == [id_of(1)]
    assert found(campaign=EVERY_TENTH, text="fox", since=elsewhere) == []


@pytest.mark.parametrize(
    "cursor",
    ["x", "%", "=", "é", "QQ", Place("2026", "x").as_cursor(), Place("", id_of(1)).as_cursor()],
)
def test_a_cursor_that_is_none_of_ours_is_refused(index: Index, cursor: str) -> None:
    with pytest.raises(ValueError, match="none of ours"):
        index.page(5, cursor=cursor)


@pytest.fixture
def foreign(store: ObjectStore) -> Iterator[list[str]]:
    """What an operator left among the videos."""
    names = ["videos/readme.txt", "videos/holiday/beach.mp4", f"videos/{id_of(5)}/notes.txt"]
    for name in names:
        store._client.put_object(store.bucket, name, io.BytesIO(b"x"), 1)
    yield names
    for name in names:
        store._client.remove_object(store.bucket, name)


def spoil(store: ObjectStore, model: Manifest) -> dict[str, str]:
    """Manifests that cannot be read, by what is said of them."""
    older, altered, other, empty = (id_of(number) for number in range(100, 104))
    text = numbered(model, 100).model_dump_json().replace('"manifest_version":4', '"shape":1')
    store.put_bytes(ObjectKey.manifest(older), text.encode(), "application/json")
    write(store, numbered(model, 101))
    key = ObjectKey.manifest(altered)
    found = store.head(key)
    assert found is not None
    store._client.put_object(
        store.bucket, key, io.BytesIO(b"{}"), 2, metadata={"sha256": found.sha256}
    )
    whole = model.model_dump_json().encode()
    store.put_bytes(ObjectKey.manifest(other), whole, "application/json")
    store.put_bytes(ObjectKey.manifest(empty), b"", "application/json")
    return {
        older: "another version",
        altered: "damaged",
        other: "another video's",
        empty: "another version",
    }


def test_what_is_foreign_damaged_or_older_is_skipped_counted_and_logged(
    index: Index,
    store: ObjectStore,
    model: Manifest,
    foreign: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    problems = spoil(store, model)
    with caplog.at_level(logging.WARNING, "reelwright.index"):
        index.reconcile()
        index.recheck()
        assert walk(index, 10) == [model.content_id]
        skipped = index.skipped()
        assert skipped.count == len(problems) + len(foreign)
        for name in skipped.names[:4]:
            cid, _, words = name.removeprefix("videos/").partition(":")
            assert problems[cid] in words
        told = len(caplog.records)
        index.reconcile()
        index.recheck()
    assert len(caplog.records) == told  # the same again is no news
    assert f"{skipped.count} things" in caplog.text


def test_a_manifest_that_can_be_read_again_is_shown(
    database: Database, store_settings: StoreSettings, model: Manifest
) -> None:
    class Unwell(ObjectStore):
        """Its disk has a bad byte: the tag of the object stays what it was."""

        damaged = True

        def get_bytes(self, key: ObjectKey) -> bytes | None:
            if self.damaged:
                raise CorruptObjectError(f"{key} is damaged")
            return super().get_bytes(key)

    store = Unwell(store_settings)
    index = Index(database, store)
    index.reconcile()
    index.recheck()
    assert model.content_id in str(index.skipped().names)
    store.damaged = False
    assert index.recheck() == 1
    assert walk(index, 10) == [model.content_id]
    assert model.content_id not in str(index.skipped().names)
    assert index.recheck() == 0


def test_what_vanished_or_changed_in_the_bucket_is_noticed(
    index: Index, store: ObjectStore, model: Manifest
) -> None:
    put(store, model, range(4))
    index.reconcile()
    store.delete(ObjectKey.manifest(id_of(0)))
    changed = numbered(model, 1, ("autumn",))
    write(store, changed)
    assert index.recheck() == 2
    assert index.recheck() == 0
    assert index.page(1, VideoFilter("autumn")).videos[0].id == changed.content_id
    assert walk(index, 10) == [model.content_id, id_of(3), id_of(2), id_of(1)]
    for key in store.list_keys(f"videos/{id_of(2)}/"):
        store.delete(key)
    index.recheck()
    assert id_of(2) not in walk(index, 10)


def test_a_film_without_a_manifest_is_no_video(index: Index, store: ObjectStore) -> None:
    film = film_of(store, brief_of("a film that waits for approval"))
    index.reconcile()
    assert walk(index, 10) == []
    assert not index.has(film.plan.content_id)
    assert not index.refresh(film.plan.content_id)


def test_a_video_deleted_while_its_manifest_is_read_does_not_stay(
    database: Database, store: ObjectStore, store_settings: StoreSettings, model: Manifest
) -> None:
    class Ordered(ObjectStore):
        """Something happens right after a manifest was read."""

        then: Callable[[], None] | None = None

        def get_bytes(self, key: ObjectKey) -> bytes | None:
            found = super().get_bytes(key)
            if then := self.then:
                self.then = None
                then()
            return found

    ordered = Ordered(store_settings)
    index = Index(database, ordered)

    def delete() -> None:
        store.delete(ObjectKey.manifest(model.content_id))
        index.remove(model.content_id)

    ordered.then = delete
    assert not index.refresh(model.content_id)
    assert not index.has(model.content_id)

    write(store, model)
    ordered.then = delete
    index.reconcile()
    assert not index.has(model.content_id)


def test_a_video_published_while_the_bucket_is_listed_stays(
    database: Database, store: ObjectStore, store_settings: StoreSettings, model: Manifest
) -> None:
    class Late(ObjectStore):
        def folders(self, prefix: str) -> Iterator[str]:
            yield from ()  # the listing began before the first video
            index.refresh(model.content_id)

    index = Index(database, Late(store_settings))
    index.reconcile()
    assert index.has(model.content_id)
    index.reconcile()
    assert index.has(model.content_id)
    store.delete(ObjectKey.manifest(model.content_id))
    index.reconcile()
    assert not index.has(model.content_id)


def test_a_store_that_is_down_changes_nothing(
    index: Index, database: Database, store_settings: StoreSettings, model: Manifest
) -> None:
    index.reconcile()
    down = store_settings.model_copy(update={"endpoint": "127.0.0.1:9", "patience": 0.0})
    with pytest.raises(StoreError):
        Index(database, ObjectStore(down)).reconcile()
    assert walk(index, 10) == [model.content_id]
