"""Conditional puts: how several hosts agree on who may pay for a job, and on the next entry."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import StoreSettings
from pipelines.schema.keys import Digest, ObjectKey

JSON = "application/json"
WRITERS = 6


def key(word: str) -> ObjectKey:
    return ObjectKey.job(Digest(hashlib.sha256(word.encode()).hexdigest()))


def test_of_many_writers_of_an_absent_object_one_wins(
    store_settings: StoreSettings,
) -> None:
    stores = [ObjectStore(store_settings) for _ in range(WRITERS)]
    stores[0].ensure_bucket()
    for attempt in range(4):
        place, gate = key(f"absent {attempt}"), Barrier(WRITERS)

        def write(number: int, place: ObjectKey = place, gate: Barrier = gate) -> bool:
            gate.wait(30)
            return stores[number].put_if_absent(place, b"%d" % number, JSON)

        with ThreadPoolExecutor(WRITERS) as pool:
            won = list(pool.map(write, range(WRITERS)))
        assert won.count(True) == 1
        assert stores[0].get_bytes(place) == b"%d" % won.index(True)


def test_of_many_writers_of_one_version_one_wins(store_settings: StoreSettings) -> None:
    stores = [ObjectStore(store_settings) for _ in range(WRITERS)]
    stores[0].ensure_bucket()
    place = key("unchanged")
    assert stores[0].put_if_absent(place, b"first", JSON)
    for attempt in range(4):
        gate = Barrier(WRITERS)
        before = stores[0].get_version(place)
        assert before is not None

        def write(number: int, attempt: int = attempt, gate: Barrier = gate) -> bool:
            version = stores[number].get_version(place)
            assert version is not None
            gate.wait(30)
            data = b"%d by %d" % (attempt, number)
            return stores[number].put_if_unchanged(place, data, JSON, version)

        with ThreadPoolExecutor(WRITERS) as pool:
            won = list(pool.map(write, range(WRITERS)))
        assert won.count(True) == 1
        assert stores[0].get_bytes(place) == b"%d by %d" % (attempt, won.index(True))
        assert not stores[0].put_if_unchanged(place, b"late", JSON, before)


def test_who_asks_again_with_the_same_bytes_has_won(store: ObjectStore) -> None:
    """Its first answer may have been lost."""
    assert store.put_if_absent(key("again"), b"mine", JSON)
    assert store.put_if_absent(key("again"), b"mine", JSON)
    assert not store.put_if_absent(key("again"), b"another's", JSON)
    before = store.get_version(key("again"))
    assert before is not None
    assert store.put_if_unchanged(key("again"), b"next", JSON, before)
    assert store.put_if_unchanged(key("again"), b"next", JSON, before)


def test_what_is_stored_conditionally_is_an_object_like_any_other(store: ObjectStore) -> None:
    assert store.get_version(key("like any other")) is None
    store.put_if_absent(key("like any other"), b"{}", JSON)
    found = store.head(key("like any other"))
    assert found is not None
    assert (found.size, found.content_type) == (2, JSON)
    store.verify(found)
