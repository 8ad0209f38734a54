"""A backup of a bucket and a database that change while they are read, or are damaged."""

import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra.adapters.databases import Postgres
from infra.adapters.object_store import ObjectStore
from infra.adapters.seaweed import SeaweedServer
from infra.adapters.settings import Settings, StoreSettings
from infra.apps.backup import take
from infra.apps.backup.parts import Parts
from infra.apps.backup.restore import restore
from infra.apps.backup.take import Copy
from infra.apps.backup.vault import Vault
from pipelines.errors import BackupError
from pipelines.schema.keys import ObjectKey
from tests.conftest import Cli
from tests.support.backup import FIRST, MARK, SECOND, Place, publish, saved
from tests.support.damage import flip_on_disk

pytest_plugins = ["tests.support.backup_fixtures"]
pytestmark = pytest.mark.xdist_group("backup")  # one database server for all of them


class Busy(Postgres):
    """A database whose studio goes on with its work while it is read."""

    store: ObjectStore

    def dump(self, target: Path) -> None:
        publish(self.store, SECOND, b"published before the dump")
        self.store.put_bytes(MARK, b'{"seen": "2027-05-02T07:00:00Z"}', "application/json")
        super().dump(target)


def test_marks_are_older_than_the_database_and_videos_newer(studio: Place, tmp_path: Path) -> None:
    database = Busy(studio.database.url, studio.database.options, studio.database.env)
    object.__setattr__(database, "store", studio.store)
    vault = Vault(tmp_path / "backup")
    with vault.writing(lambda: None):
        take.save(studio.use(), vault, replace(studio.parts(), database=database), "", 0)
    kept = {item.key: item for item in vault.load().objects}
    assert b"2027-05-01" in vault.read(kept[MARK])
    assert ObjectKey.manifest(SECOND) in kept
    assert ObjectKey.video(SECOND) in kept


@pytest.fixture
def copy(studio: Place, tmp_path: Path) -> Iterator[Copy]:
    vault = Vault(tmp_path / "backup")
    with vault.writing(lambda: None):
        yield Copy(vault, studio.store)


def test_what_vanishes_while_it_is_copied_is_left_out(copy: Copy, studio: Place) -> None:
    entries = list(studio.store.entries())
    studio.store.delete(MARK)
    copy.objects(entries)
    copy.close()
    assert MARK not in copy.kept
    assert len(copy.kept) == 3
    assert not copy.damaged


def test_a_video_that_is_deleted_meanwhile_is_left_out_whole(copy: Copy, studio: Place) -> None:
    def listing() -> Iterator[Any]:
        for entry in list(studio.store.entries()):
            yield entry
            if entry.key.endswith("manifest.json"):  # the video comes after it
                for part in (ObjectKey.manifest, ObjectKey.video):
                    studio.store.delete(part(FIRST))

    copy.objects(listing())
    copy.close()
    assert not [key for key in copy.kept if key.startswith("videos/")]
    assert not copy.damaged


def test_a_video_that_is_made_again_meanwhile_is_read_again(copy: Copy, studio: Place) -> None:
    entries = list(studio.store.entries())
    copy.objects(item for item in entries if "manifest" in item.key)
    publish(studio.store, FIRST, b"another film")
    copy.objects(item for item in entries if "manifest" not in item.key)
    copy.close()
    film = studio.store.head(ObjectKey.video(FIRST))
    manifest = studio.store.head(ObjectKey.manifest(FIRST))
    assert film is not None
    assert manifest is not None
    assert copy.kept[ObjectKey.video(FIRST)].sha256 == film.sha256
    assert copy.kept[ObjectKey.manifest(FIRST)].sha256 == manifest.sha256
    assert not copy.damaged


def test_a_lost_film_is_reported_and_comes_from_an_older_snapshot(
    studio: Place, empty: Place, tmp_path: Path
) -> None:
    saved(studio, tmp_path / "backup")
    studio.store.delete(ObjectKey.video(FIRST))
    said = Cli(dict(os.environ) | studio.env)("backup", str(tmp_path / "backup"))
    assert said.code == 1
    assert f"DAMAGED: videos/{FIRST}/video.mp4" in said.out
    restore(empty.use(), tmp_path / "backup", say=lambda _: None)
    assert empty.store.get_bytes(ObjectKey.video(FIRST)) == b"the first film"


def test_a_film_that_was_altered_in_the_store_is_reported(studio: Place, tmp_path: Path) -> None:
    key = ObjectKey.video(FIRST)
    found = studio.store.head(key)
    assert found is not None
    with closing(studio.store.stream(key, 0, 0)) as blocks:
        data = bytearray(b"".join(blocks))
    data[0] ^= 1
    studio.store._client.put_object(
        studio.store.bucket, key, io.BytesIO(data), len(data), metadata={"sha256": found.sha256}
    )
    (said, *_) = saved(studio, tmp_path / "backup").damaged
    assert said.startswith(f"{key} does not match")


@pytest.mark.slow
def test_a_byte_that_went_bad_on_the_disk_is_reported_and_the_rest_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of SeaweedFS's own: it answers 500 or ends the body early, after 13 s of trying."""
    monkeypatch.setenv("REELWRIGHT_DATA_DIR", str(tmp_path))
    server = SeaweedServer(tmp_path / "store")
    try:
        server.wait()
        store = ObjectStore(server.settings(StoreSettings()))
        store.ensure_bucket()
        film = hashlib.shake_256(b"film").digest(3_000)
        publish(store, FIRST, film)
        publish(store, SECOND, b"the second film")
        flip_on_disk(server.data, film)
        vault = Vault(tmp_path / "backup")
        with vault.writing(lambda: None):
            report = take.save(Settings.load(), vault, Parts(tmp_path, store, None), "", 0)
    finally:
        server.stop()
    kept = {item.key for item in vault.load().objects}
    assert {ObjectKey.video(SECOND), ObjectKey.manifest(FIRST)} <= kept
    (said,) = report.damaged
    assert said.split()[0] in {ObjectKey.chunk(FIRST), ObjectKey.video(FIRST)} - kept
    assert "cannot be read" in said


def test_a_foreign_object_is_counted_and_left(studio: Place, tmp_path: Path) -> None:
    studio.store._client.put_object(studio.store.bucket, "holiday.jpg", io.BytesIO(b"x"), 1)
    try:
        report = saved(studio, tmp_path / "backup")
    finally:
        studio.store._client.remove_object(studio.store.bucket, "holiday.jpg")
    assert (report.foreign, report.objects) == (1, 4)


def test_a_password_of_the_database_is_no_argument() -> None:
    found = Postgres.of("postgresql+asyncpg://rw:s3cret@db.example:5433/prefect?ssl=require")
    assert found.options == ("-h", "db.example", "-p", "5433", "-U", "rw", "-d", "prefect")
    assert (found.env["PGPASSWORD"], found.env["PGSSLMODE"]) == ("s3cret", "require")
    assert "s3cret" not in repr(found)


@pytest.mark.parametrize("url", ["sqlite+aiosqlite:////tmp/prefect.db", "no url"])
def test_a_database_that_cannot_be_kept_is_named(url: str) -> None:
    with pytest.raises(BackupError, match=r"PostgreSQL|URL"):
        Postgres.of(url)
