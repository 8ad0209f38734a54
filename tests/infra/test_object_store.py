"""The object store keeps bytes exactly, says plainly what is wrong, and is closed to others."""

import hashlib
import logging
import os
import secrets
import socket
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from minio.error import S3Error

from infra.adapters import object_store
from infra.adapters import seaweed as seaweed_module
from infra.adapters.object_store import ObjectStore
from infra.adapters.seaweed import SeaweedServer, load_credentials
from infra.adapters.settings import StoreSettings
from pipelines.errors import CorruptObjectError, SettingsError, StoreError
from pipelines.schema.keys import Digest, ObjectKey
from tests.conftest import Seaweed
from tests.support.ports import free_ports

KEY = ObjectKey.chunk(Digest("a" * 64))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(os.urandom(300_000))
    return path


def test_bytes_come_back_with_their_sha256(store: ObjectStore, file: Path, tmp_path: Path) -> None:
    put = store.put_file(KEY, file, "video/mp4")
    assert put.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert store.head(KEY) == put
    store.get_file(put, tmp_path / "back.mp4")
    assert (tmp_path / "back.mp4").read_bytes() == file.read_bytes()
    assert store.list_keys() == [KEY]


def test_a_large_file_goes_up_in_parts(
    store: ObjectStore, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "PART", 5 * 2**20)
    file.write_bytes(os.urandom(12_000_000))
    put = store.put_file(KEY, file, "video/mp4")
    store.get_file(put, tmp_path / "back.mp4")
    assert (tmp_path / "back.mp4").read_bytes() == file.read_bytes()


def test_a_foreign_object_is_listed_apart(store: ObjectStore, file: Path) -> None:
    store.put_file(KEY, file, "video/mp4")
    store._client.fput_object(store.bucket, "notes/holiday.txt", str(file))
    try:
        assert store.list_keys() == [KEY]
        assert [entry.key for entry in store.entries()] == [KEY, "notes/holiday.txt"]
        # A folder whose objects are gone may be listed for a while.
        assert {"chunks", "notes"} <= set(store.folders(""))
    finally:
        store._client.remove_object(store.bucket, "notes/holiday.txt")


def test_all_bytes_are_compared(store: ObjectStore, file: Path) -> None:
    put = store.put_file(KEY, file, "video/mp4")
    store.verify(put)
    with pytest.raises(CorruptObjectError, match="does not match"):
        store.verify(put.model_copy(update={"sha256": Digest("b" * 64)}))


def test_what_is_not_there_is_none(store: ObjectStore) -> None:
    assert store.head(KEY) is None
    assert store.get_bytes(KEY) is None
    store.delete(KEY)


def test_altered_bytes_are_found_out(
    store: ObjectStore, store_settings: StoreSettings, file: Path, tmp_path: Path
) -> None:
    """Somebody replaces the object behind our back and keeps its metadata."""
    put = store.put_file(KEY, file, "video/mp4")
    with (tmp_path / "other").open("wb") as handle:
        handle.write(os.urandom(300_000))
    store._client.fput_object(
        store_settings.bucket, KEY, str(tmp_path / "other"), metadata={"sha256": put.sha256}
    )
    with pytest.raises(CorruptObjectError, match="does not match"):
        store.get_file(put, tmp_path / "back.mp4")
    with pytest.raises(CorruptObjectError, match="does not match"):
        store.get_bytes(KEY)
    assert not (tmp_path / "back.mp4").exists()
    assert list(tmp_path.glob("*.part")) == []


def test_an_upload_whose_bytes_change_on_the_way_is_refused(
    store: ObjectStore, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = Digest("b" * 64)
    monkeypatch.setattr(object_store, "_hash_file", lambda path: (wrong, path.stat().st_size))
    with pytest.raises(StoreError, match=r"BadDigest|checksum"):
        store.put_file(KEY, file, "video/mp4")
    assert store.head(KEY) is None


def test_unfinished_uploads_are_aborted_once_they_are_stale(
    store: ObjectStore, store_settings: StoreSettings
) -> None:
    """Also the contract with the SDK's private calls that this needs."""
    store._client._create_multipart_upload(store_settings.bucket, str(KEY), {})
    assert store.abort_stale_uploads(timedelta(hours=1)) == 0
    assert store.abort_stale_uploads(timedelta(0)) == 1
    assert store.abort_stale_uploads(timedelta(0)) == 0


@pytest.mark.parametrize("field", ["access_key", "secret_key"])
def test_wrong_keys_are_named(store_settings: StoreSettings, field: str) -> None:
    wrong = store_settings.model_copy(
        update={field: type(getattr(store_settings, field))("wrong-key")}
    )
    with pytest.raises(StoreError, match=r"refuses our keys.*REELWRIGHT_S3_SECRET_KEY") as refusal:
        ObjectStore(wrong).ensure_bucket()
    assert store_settings.secret_key.get_secret_value() not in str(refusal.value)


def test_a_store_that_is_down_is_named(store_settings: StoreSettings) -> None:
    (port,) = free_ports(1)
    down = store_settings.model_copy(update={"endpoint": f"127.0.0.1:{port}"})
    with pytest.raises(StoreError, match=rf"127\.0\.0\.1:{port}.*cannot be reached"):
        ObjectStore(down).head(KEY)


def test_a_bucket_that_another_process_makes_at_the_same_time_is_no_error(
    store_settings: StoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = f"test-made-at-once-{secrets.token_hex(4)}"
    late = ObjectStore(store_settings.model_copy(update={"bucket": bucket}))
    exists, answers = late._client.bucket_exists, [False]
    monkeypatch.setattr(
        late._client, "bucket_exists", lambda name: answers.pop() if answers else exists(name)
    )
    late._client.make_bucket(bucket)  # after the look, before our own
    with pytest.raises(S3Error, match="Already"):
        late._client.make_bucket(bucket)
    late.ensure_bucket()
    assert late.head(KEY) is None


def test_something_else_on_the_port_is_an_error(store_settings: StoreSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.close()
        other = store_settings.model_copy(update={"endpoint": "127.0.0.1:9/path"})
        with pytest.raises(SettingsError, match="write host:port"):
            ObjectStore(other)


def test_a_large_file_that_arrives_altered_is_deleted(
    store: ObjectStore, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "PART", 5 * 2**20)
    file.write_bytes(os.urandom(6_000_000))
    wrong = Digest("b" * 64)
    monkeypatch.setattr(object_store, "_hash_file", lambda path: (wrong, path.stat().st_size))
    with pytest.raises(CorruptObjectError, match="arrived altered"):
        store.put_file(KEY, file, "video/mp4")
    assert store.head(KEY) is None


def test_every_port_of_the_embedded_store_is_on_the_loopback(seaweed: Seaweed) -> None:
    process = psutil.Process(seaweed.pid)
    listening = [c for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert listening
    assert {connection.laddr.ip for connection in listening} == {"127.0.0.1"}


def test_no_port_gives_an_object_away_without_keys(
    seaweed: Seaweed, store: ObjectStore, store_settings: StoreSettings, file: Path
) -> None:
    store.put_file(KEY, file, "video/mp4")
    secret = file.read_bytes()
    process = psutil.Process(seaweed.pid)
    ports = {
        c.laddr.port for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN
    }
    asked = 0
    for port in ports:
        for path in (f"buckets/{store_settings.bucket}/{KEY}", f"{store_settings.bucket}/{KEY}"):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=5) as answer:
                    assert secret not in answer.read()
            except (urllib.error.URLError, OSError):
                asked += 1
    assert asked >= len(ports)


def test_credentials_are_private_and_stay(tmp_path: Path) -> None:
    first = load_credentials(tmp_path / "store")
    assert load_credentials(tmp_path / "store") == first
    assert (tmp_path / "store" / "credentials").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "store").stat().st_mode & 0o777 == 0o700


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path, file: Path) -> None:
    server = SeaweedServer(tmp_path / "store")
    server.wait()

    def settings() -> StoreSettings:
        return StoreSettings(
            endpoint=server.endpoint,
            access_key=server.credentials.access_key,
            secret_key=server.credentials.secret_key,
        )

    try:
        store = ObjectStore(settings())
        store.ensure_bucket()
        put = store.put_file(KEY, file, "video/mp4")
        server.server._process.kill()
        server.server._process.wait()
        server._start()
        server.wait()
        ObjectStore(settings()).get_file(put, tmp_path / "back.mp4")
        assert (tmp_path / "back.mp4").read_bytes() == file.read_bytes()
    finally:
        server.stop()


def test_a_data_directory_of_a_version_without_certificates_goes_on_working(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also, what the master of an earlier start left is swept."""

    def started() -> tuple[SeaweedServer, ObjectStore]:
        server = SeaweedServer(tmp_path / "store")
        server.wait()
        settings = StoreSettings(
            endpoint=server.endpoint,
            access_key=server.credentials.access_key,
            secret_key=server.credentials.secret_key,
        )
        return server, ObjectStore(settings)

    with monkeypatch.context() as before:
        before.setattr(seaweed_module, "mutual_tls", lambda _: {})
        server, store = started()
        store.ensure_bucket()
        put = store.put_file(KEY, file, "video/mp4")
        server.stop()
    masters = set((tmp_path / "store" / "data").glob("m[0-9]*"))
    assert masters
    server, store = started()
    try:
        store.verify(put)
        assert not masters & set((tmp_path / "store" / "data").glob("m[0-9]*"))
    finally:
        server.stop()


def test_more_calls_at_once_than_connections_are_kept_leave_no_warning(
    store_settings: StoreSettings, store: ObjectStore, caplog: pytest.LogCaptureFixture
) -> None:
    key = ObjectKey.calendar()
    store.put_bytes(key, b"x" * 100_000, "application/yaml")
    few = ObjectStore(store_settings, connections=1)
    with caplog.at_level(logging.WARNING), ThreadPoolExecutor(8) as pool:
        streams = [few.stream(key, 0, 100_000) for _ in range(8)]
        assert all(pool.map(next, streams))  # each has a connection of its own now
        for stream in streams:
            list(stream)
    assert [record.getMessage() for record in caplog.records] == []
