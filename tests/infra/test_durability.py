"""What was acknowledged is on the disk, also if the power fails a moment later."""

import hashlib
import logging
import os
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ctypes.util import find_library
from importlib.util import find_spec
from pathlib import Path

import pytest

from infra.adapters import disk, flushing, object_store
from infra.adapters.flushing import Flusher, SharedPasses
from infra.adapters.object_store import ObjectStore
from infra.adapters.seaweed import SeaweedServer
from infra.adapters.settings import StoreSettings
from infra.apps.gateway.database import opened
from infra.apps.reach import reached_store
from pipelines.errors import StoreError
from pipelines.schema.keys import Digest, ObjectKey
from tests.support.losing_disk import after_power_cut, losing_disk

_HAS_FUSE = find_spec("mfusepy") and (find_library("fuse") or find_library("fuse3"))
needs_fuse = pytest.mark.skipif(
    not _HAS_FUSE or not os.access("/dev/fuse", os.W_OK) or os.geteuid() != 0,
    reason="needs mfusepy, the system's libfuse (Debian: libfuse2), /dev/fuse and root",
)


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The paths that are synced, in order; they really are."""
    paths: list[Path] = []

    def sync(path: Path) -> None:
        paths.append(path)
        disk.sync(path)

    monkeypatch.setattr(flushing, "sync", sync)
    return paths


def settings_of(server: SeaweedServer, data_dir: Path | None) -> StoreSettings:
    return StoreSettings(
        endpoint=server.endpoint,
        access_key=server.credentials.access_key,
        secret_key=server.credentials.secret_key,
        data_dir=data_dir,
        patience=0,
    )


def put(store: ObjectStore, data: bytes) -> ObjectKey:
    key = ObjectKey.chunk(Digest(hashlib.sha256(data).hexdigest()))
    store.put_bytes(key, data, "video/mp4")
    return key


class Writers:
    """Threads that store until the power fails, and what was acknowledged to them."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.stored: dict[ObjectKey, str] = {}
        self.enough = threading.Event()

    def write(self) -> None:
        for _ in range(200):
            data = os.urandom(50_000)
            try:
                key = put(self._store, data)
            except StoreError:
                return
            self.stored[key] = hashlib.sha256(data).hexdigest()
            if len(self.stored) >= 20:
                self.enough.set()


def write_until_the_power_fails(
    store: ObjectStore, file: Path, power: subprocess.Popen[bytes]
) -> tuple[dict[ObjectKey, str], ObjectKey]:
    """Returns the sha256 of each object that was acknowledged, and the key of a deleted one."""
    store.ensure_bucket()
    gone = put(store, os.urandom(1_000))
    store.delete(gone)
    file.write_bytes(os.urandom(6_000_000))
    large = ObjectKey.chunk(Digest("a" * 64))
    writers = Writers(store)
    writers.stored[large] = store.put_file(large, file, "video/mp4").sha256
    with ThreadPoolExecutor(4) as pool:
        works = [pool.submit(writers.write) for _ in range(4)]
        assert writers.enough.wait(120)
        power.kill()
        power.wait()
        for work in works:
            work.result()
    return writers.stored, gone


def after_restart(folder: Path, durable: Path, credentials: Path) -> SeaweedServer:
    """The server on what is left."""
    after_power_cut(durable, folder / "data")
    (folder / "credentials").write_bytes(credentials.read_bytes())
    server = SeaweedServer(folder)
    server.wait()
    return server


@needs_fuse
@pytest.mark.parametrize("flushed", [True, False])
def test_a_power_cut_loses_nothing_that_was_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flushed: bool
) -> None:
    """Without our syncs it does: so the disk of this test does lose what is not synced."""
    monkeypatch.setattr(object_store, "PART", 5 * 2**20)
    with losing_disk(tmp_path) as (place, durable, power):
        server = SeaweedServer(tmp_path / "store", data=place)
        try:
            server.wait()
            store = ObjectStore(settings_of(server, place if flushed else None))
            stored, gone = write_until_the_power_fails(store, tmp_path / "large", power)
        finally:
            server.server.stop(0)
        server.stop()
    server = after_restart(tmp_path / "after", durable, tmp_path / "store" / "credentials")
    try:
        found = ObjectStore(settings_of(server, None))
        whole = 0
        with suppress(StoreError):  # without the syncs there is no bucket either
            assert found.head(gone) is None
            for key, sha256 in stored.items():
                data = found.get_bytes(key)
                whole += data is not None and hashlib.sha256(data).hexdigest() == sha256
        assert whole == (len(stored) if flushed else 0)
    finally:
        server.stop()


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedServer]:
    server = SeaweedServer(tmp_path_factory.mktemp("embedded") / "store")
    server.wait()
    yield server
    server.stop()


def test_every_put_and_delete_syncs_data_index_and_names(
    embedded: SeaweedServer, synced: list[Path]
) -> None:
    store = ObjectStore(settings_of(embedded, embedded.data))
    store.ensure_bucket()
    for _ in range(3):
        synced.clear()
        key = put(store, os.urandom(1_000))
        assert {".dat", ".idx", ".log"} <= {path.suffix for path in synced}
    synced.clear()
    store.delete(key)
    assert ".log" in {path.suffix for path in synced}


def test_a_command_that_starts_the_store_syncs_it(
    tmp_path: Path, synced: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `verify`, `retention`, `backup` and `restore` do, where no studio runs."""
    monkeypatch.setenv("REELWRIGHT_DATA_DIR", str(tmp_path / "data"))
    with reached_store(lambda _: None) as store:
        synced.clear()
        put(store, b"video")
    assert ".dat" in {path.suffix for path in synced}


def test_a_store_of_others_is_not_synced(embedded: SeaweedServer, synced: list[Path]) -> None:
    store = ObjectStore(settings_of(embedded, None))
    store.ensure_bucket()
    put(store, b"video")
    assert synced == []


def test_a_folder_that_is_not_here_is_said_once(
    embedded: SeaweedServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = ObjectStore(settings_of(embedded, tmp_path / "elsewhere"))
    with caplog.at_level(logging.WARNING):
        store.ensure_bucket()
        key = put(store, b"video")
        store.delete(key)
    assert len([r for r in caplog.records if "REELWRIGHT_S3_DATA_DIR" in r.getMessage()]) == 1


def test_a_disk_that_refuses_fails_the_put(
    embedded: SeaweedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> None:
        raise OSError(5, "Input/output error")

    store = ObjectStore(settings_of(embedded, embedded.data))
    store.ensure_bucket()
    monkeypatch.setattr(flushing, "sync", refuse)
    with pytest.raises(StoreError, match=r"did not take the last write \(Input/output error\)"):
        put(store, b"video")


def test_an_empty_variable_is_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELWRIGHT_S3_DATA_DIR", "")
    assert StoreSettings().data_dir is None


def test_the_gateway_s_database_syncs_every_statement(tmp_path: Path) -> None:
    with opened(tmp_path) as database:
        assert database.rows("pragma synchronous") == [(2,)]
        assert database.rows("pragma journal_mode") == [("wal",)]


def age(folder: Path) -> None:
    """As if all of it had been written long ago."""
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (1_000_000_000, 1_000_000_000))


def test_only_what_changed_is_synced_again(tmp_path: Path, synced: list[Path]) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "file").write_bytes(b"one")
    (tmp_path / "other").write_bytes(b"one")
    age(tmp_path)
    flusher = Flusher(tmp_path)
    flusher.flush()
    assert set(synced) == {*tmp_path.rglob("*"), tmp_path}
    assert synced.index(tmp_path / "inner" / "file") < synced.index(tmp_path / "inner")
    synced.clear()
    flusher.flush()
    assert synced == []
    (tmp_path / "inner" / "file").write_bytes(b"changed")
    flusher.flush()
    assert synced == [tmp_path / "inner" / "file"]
    synced.clear()
    age(tmp_path)
    flusher.flush()
    synced.clear()
    (tmp_path / "new").touch()
    flusher.flush()
    assert synced == [tmp_path / "new", tmp_path]


def test_callers_that_come_during_a_pass_share_the_next_one() -> None:
    """None of them trusts the pass at work, which may have been past their files."""
    passes: list[int] = []
    entered, leave = threading.Event(), threading.Event()

    def work() -> None:
        passes.append(len(passes))
        entered.set()
        assert leave.wait(60)

    shared = SharedPasses(work)
    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(shared.run)
        assert entered.wait(60)
        others = [pool.submit(shared.run) for _ in range(5)]
        while shared.waiting < 5:
            assert not any(other.done() for other in others)
        leave.set()
        for future in (first, *others):
            future.result(60)
    assert passes == [0, 1]


def test_a_failed_pass_fails_all_who_wait() -> None:
    """The kernel reports a lost write once; the next sync of the same file would be content."""
    entered, leave = threading.Event(), threading.Event()

    def work() -> None:
        entered.set()
        assert leave.wait(60)
        raise OSError(5, "Input/output error")

    shared = SharedPasses(work)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(shared.run)
        assert entered.wait(60)
        second = pool.submit(shared.run)
        while not shared.waiting:
            assert not second.done()
        leave.set()
        for future in (first, second):
            with pytest.raises(OSError, match="Input/output"):
                future.result(60)


def test_a_pass_that_is_broken_off_is_done_again_by_one_who_waits() -> None:
    """Ctrl-C or a cancellation ended it somewhere: nothing says that it reached their files."""
    passes: list[int] = []
    entered, leave = threading.Event(), threading.Event()

    class CancelledError(BaseException):
        pass

    def work() -> None:
        passes.append(len(passes))
        entered.set()
        assert leave.wait(60)
        if passes[-1] == 1:
            raise CancelledError

    shared = SharedPasses(work)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(shared.run)
        assert entered.wait(60)
        others = [pool.submit(shared.run) for _ in range(3)]
        while shared.waiting < 3:
            assert not any(other.done() for other in others)
        leave.set()
        assert first.result(60) is None
        ends = [other.exception(60) for other in others]
    assert sorted(map(str, map(type, filter(None, ends)))) == [str(CancelledError)]
    assert passes == [0, 1, 2]
