"""A video is deleted, or rejected, while other runs go on: no manifest is left without it."""

import threading
from collections.abc import Callable
from contextlib import suppress

import pytest

from infra.adapters.manifests import hold, read_manifest
from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import StoreSettings
from pipelines.documents.manifest import Film, StoredObject
from pipelines.errors import StoreError
from pipelines.schema.keys import Digest, ObjectKey
from tasks.discard import discard, is_there, remove_film
from tasks.publish import publish_film
from tests.support.films import brief_of, film_of

BRIEF = brief_of("a red ball moves right")
PARTS = (ObjectKey.video, ObjectKey.poster, ObjectKey.contact)


class SteppedStore(ObjectStore):
    """A real store that stands still before the call of a number, until it may go on."""

    def __init__(self, settings: StoreSettings, stop: int = -1) -> None:
        super().__init__(settings)
        self._stop = stop
        self.calls = 0
        self.standing = threading.Event()
        self.go_on = threading.Event()

    def _step(self) -> None:
        self.calls += 1
        if self.calls - 1 == self._stop:
            self.standing.set()
            assert self.go_on.wait(60)

    def head(self, key: ObjectKey) -> StoredObject | None:
        self._step()
        return super().head(key)

    def put_bytes(self, key: ObjectKey, data: bytes, content_type: str) -> StoredObject:
        self._step()
        return super().put_bytes(key, data, content_type)

    def delete(self, key: ObjectKey) -> None:
        self._step()
        super().delete(key)


Act = Callable[[ObjectStore], object]


class Actor:
    """One of two that work in the same bucket at the same time."""

    def __init__(self, store: SteppedStore, act: Act) -> None:
        self._store = store
        self._act = act
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            with suppress(StoreError):  # "run again"
                self._act(self._store)
        finally:
            self._store.standing.set()

    def start(self) -> None:
        """Until it stands still, or has ended."""
        self._thread.start()
        assert self._store.standing.wait(60)

    def finish(self) -> None:
        self._store.go_on.set()
        self._thread.join(60)
        assert not self._thread.is_alive()


def calls_of(settings: StoreSettings, act: Act) -> int:
    store = SteppedStore(settings)
    act(store)
    return store.calls


@pytest.mark.parametrize("first", ["publish", "remove"])
def test_no_order_of_a_rerun_and_a_deletion_leaves_a_manifest_without_its_video(
    store: ObjectStore, store_settings: StoreSettings, first: str
) -> None:
    """One works up to a call, then the other up to one, then each to its end."""
    film = film_of(store, BRIEF)
    cid = film.plan.content_id
    acts: dict[str, Act] = {
        "publish": lambda store: publish_film(store, BRIEF, film),
        "remove": lambda store: remove_film(store, cid),
    }
    second = "remove" if first == "publish" else "publish"
    counts = {name: calls_of(store_settings, acts[name]) for name in ("publish", "remove")}
    assert min(counts.values()) >= 4
    left = set()
    for i in range(counts[first]):
        for j in range(counts[second]):
            film_of(store, BRIEF)
            one = Actor(SteppedStore(store_settings, i), acts[first])
            other = Actor(SteppedStore(store_settings, j), acts[second])
            one.start()
            other.start()
            one.finish()
            other.finish()
            there = store.head(ObjectKey.manifest(cid)) is not None
            whole = all(store.head(part(cid)) is not None for part in PARTS)
            assert whole or not there, f"{first} up to call {i}, {second} up to call {j}"
            left.add((there, whole))
            remove_film(store, cid)
    assert (False, False) in left
    publish_film(store, BRIEF, film_of(store, BRIEF))
    assert store.head(ObjectKey.manifest(cid)) is not None


def test_what_was_deleted_while_it_was_published_is_published_by_the_next_run(
    store: ObjectStore, store_settings: StoreSettings
) -> None:
    film = film_of(store, BRIEF)
    cid = film.plan.content_id
    calls = calls_of(store_settings, lambda store: publish_film(store, BRIEF, film))
    remove_film(store, cid)
    film_of(store, BRIEF)
    last = SteppedStore(store_settings, calls - len(PARTS))  # the manifest is written
    errors: list[StoreError] = []

    def publish(store: ObjectStore) -> None:
        with pytest.raises(StoreError, match="deleted while it was published; run again") as told:
            publish_film(store, BRIEF, film)
        errors.append(told.value)

    actor = Actor(last, publish)
    actor.start()
    assert store.head(ObjectKey.manifest(cid)) is not None
    for part in PARTS:
        store.delete(part(cid))
    actor.finish()
    assert errors
    assert store.head(ObjectKey.manifest(cid)) is None


def test_no_rerun_is_done_whose_video_was_deleted_before_it_ended(
    store: ObjectStore, store_settings: StoreSettings
) -> None:
    """A run that found the video published waits, at each call in turn, while it is deleted."""
    film = film_of(store, BRIEF)
    cid = film.plan.content_id
    publish_film(store, BRIEF, film)
    count = calls_of(store_settings, lambda store: publish_film(store, BRIEF, film))
    ends = set()
    for i in range(count):
        publish_film(store, BRIEF, film_of(store, BRIEF))
        done: list[bool] = []

        def publish(store: ObjectStore, done: list[bool] = done) -> None:
            publish_film(store, BRIEF, film)
            done.append(True)

        rerun = Actor(SteppedStore(store_settings, i), publish)
        rerun.start()
        remove_film(store, cid)
        rerun.finish()
        there = [store.head(part(cid)) is not None for part in (ObjectKey.manifest, *PARTS)]
        assert not any(there), f"at call {i}: {there}"
        ends.add(bool(done))
    assert ends == {False}


def test_a_video_in_the_trash_is_published_again_by_the_run_that_waited_with_it(
    store: ObjectStore, store_settings: StoreSettings
) -> None:
    film = film_of(store, BRIEF)
    cid = film.plan.content_id
    manifest = publish_film(store, BRIEF, film)
    data = store.get_bytes(ObjectKey.manifest(cid))
    assert data is not None
    calls = calls_of(store_settings, lambda store: publish_film(store, BRIEF, film))
    rerun = Actor(
        SteppedStore(store_settings, calls - 1), lambda store: publish_film(store, BRIEF, film)
    )
    rerun.start()  # it has read the manifest
    hold(store, cid, data)
    rerun.finish()
    assert read_manifest(store, cid).manifest == manifest


def test_a_poster_that_was_encoded_otherwise_is_named_by_the_manifest(store: ObjectStore) -> None:
    film = film_of(store, BRIEF)
    publish_film(store, BRIEF, film)
    poster = store.put_bytes(film.poster.key, b"the same picture, other bytes", "image/jpeg")
    again = publish_film(store, BRIEF, film.model_copy(update={"poster": poster}))
    assert poster in again.objects
    read = read_manifest(store, film.plan.content_id).manifest
    assert read is not None
    assert poster in read.objects
    assert not again.run.already_published


def test_a_rejected_film_is_removed_and_its_chunks_stay(store: ObjectStore) -> None:
    film = film_of(store, BRIEF)
    chunk = ObjectKey.chunk(Digest("a" * 64))
    store.put_bytes(chunk, b"a chunk", "video/mp4")
    discard(store, film)
    assert not is_there(store, film.plan.content_id)
    assert store.list_keys() == [chunk]


def test_a_rejected_film_that_another_brief_has_published_stays(store: ObjectStore) -> None:
    film: Film = film_of(store, BRIEF)
    publish_film(store, BRIEF, film)
    before = store.list_keys()
    discard(store, film)
    assert store.list_keys() == before


def test_a_store_that_went_away_in_a_deletion_is_asked_again(
    store: ObjectStore, store_settings: StoreSettings
) -> None:
    film = film_of(store, BRIEF)
    cid = film.plan.content_id
    publish_film(store, BRIEF, film)

    class Failing(ObjectStore):
        def delete(self, key: ObjectKey) -> None:
            if key == ObjectKey.poster(cid):
                raise StoreError("the store went away")
            super().delete(key)

    with pytest.raises(StoreError, match="went away"):
        remove_film(Failing(store_settings), cid)
    assert store.head(ObjectKey.manifest(cid)) is None
    assert is_there(store, cid)
    remove_film(store, cid)
    assert not is_there(store, cid)
