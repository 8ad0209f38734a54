"""A backup loses nothing, trusts nothing, and comes back as it was."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from infra.adapters.databases import Postgres
from infra.adapters.disk import exclusive, make_directory
from infra.adapters.object_store import ObjectStore
from infra.adapters.postgres import PostgresServer, binaries
from infra.adapters.settings import Settings, StoreSettings
from infra.apps.backup import take
from infra.apps.backup.parts import DATABASE, Parts
from infra.apps.backup.restore import restore
from infra.apps.backup.take import Copy, Report, backup
from infra.apps.backup.vault import Vault
from infra.apps.gateway import keys
from infra.apps.gateway.database import opened
from infra.apps.studio import environment, upgrade
from pipelines.errors import BackupError, SettingsError
from pipelines.schema.keys import Digest, ObjectKey
from pipelines.schema.manifest import StoredObject
from tests.conftest import Cli, slow

pytestmark = pytest.mark.xdist_group("backup")  # one database server for all of them

FIRST, SECOND = Digest("a" * 64), Digest("b" * 64)
MARK = ObjectKey("calendar/marks/morning.json")
STOP_AFTER = """
import os, signal, sys
from pathlib import Path
from infra.apps.backup.vault import Vault
from infra.adapters.settings import Settings
from infra.adapters.object_store import ObjectStore

count = int(sys.argv[3])
def dying(blocks):
    yield from blocks
    os.kill(os.getpid(), signal.SIGKILL)  # all is written, nothing has its name

if sys.argv[1] == "backup":
    from infra.apps.backup.take import backup as run
    whole = Vault.add
    def add(self, blocks, expected=None):
        return whole(self, blocks if self.added < count else dying(blocks), expected)
    Vault.add = add
else:
    from infra.apps.backup.restore import restore as run
    whole, seen = ObjectStore.put_file, []
    def put_file(self, *args):
        if len(seen) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        seen.append(args)
        return whole(self, *args)
    ObjectStore.put_file = put_file
run(Settings.load(), Path(sys.argv[2]), say=lambda _: None)
"""


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    server = PostgresServer(tmp_path_factory.mktemp("pg"))
    server.wait()
    yield server
    server.stop()


@dataclass
class Place:
    """A studio's state: a data directory, a bucket, a database."""

    env: dict[str, str]
    monkeypatch: pytest.MonkeyPatch
    database: Postgres

    def use(self) -> Settings:
        for name, value in self.env.items():
            self.monkeypatch.setenv(name, value)
        return Settings.load()

    @property
    def data(self) -> Path:
        return Path(self.env["REELWRIGHT_DATA_DIR"])

    @property
    def store(self) -> ObjectStore:
        return ObjectStore(self.use().store)

    def parts(self) -> Parts:
        return Parts(self.data, self.store, self.database)

    def killed(self, what: str, folder: Path, after: int) -> None:
        """The work in a process that is killed within its step `after`, counted from 0."""
        argv = [sys.executable, "-c", STOP_AFTER, what, str(folder), str(after)]
        done = subprocess.run(argv, env=os.environ | self.env, capture_output=True)
        assert done.returncode == -9, done.stderr


def place(
    folder: Path,
    name: str,
    settings: StoreSettings,
    postgres: PostgresServer,
    monkeypatch: pytest.MonkeyPatch,
) -> Place:
    """One with an empty database of its own."""
    socket = ["-h", str(postgres.socket), "-U", postgres.user]
    for command in (["dropdb", "--if-exists"], ["createdb"]):
        subprocess.run([binaries() / command[0], *command[1:], *socket, name], check=True)
    url = f"postgresql+asyncpg://{postgres.user}@/{name}?host={postgres.socket}"
    env = {
        "REELWRIGHT_DATA_DIR": str(folder),
        "REELWRIGHT_S3_ENDPOINT": settings.endpoint,
        "REELWRIGHT_S3_ACCESS_KEY": settings.access_key,
        "REELWRIGHT_S3_SECRET_KEY": settings.secret_key.get_secret_value(),
        "REELWRIGHT_S3_BUCKET": settings.bucket,
        DATABASE: url,
    }
    return Place(env, monkeypatch, Postgres.of(url))


@pytest.fixture
def studio(
    store: ObjectStore,
    store_settings: StoreSettings,
    postgres: PostgresServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Place:
    """One that has been used."""
    found = place(tmp_path / "data", "old", store_settings, postgres, monkeypatch)
    with opened(found.data) as database:
        keys.add(database, "editor", ["read"])
    found.database.ask("create table run as select 'published' as state")
    publish(store, FIRST, b"the first film")
    store.put_bytes(MARK, b'{"seen": "2027-05-01T07:00:00Z"}', "application/json")
    found.use()
    environment.write(Settings.load(), {"PREFECT_API_AUTH_STRING": "studio:secret"})
    return found


@pytest.fixture
def empty(
    store_settings: StoreSettings,
    postgres: PostgresServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Place]:
    """Where a backup shall come back."""
    name = f"{store_settings.bucket}-restored"
    other = store_settings.model_copy(update={"bucket": name})
    found = place(tmp_path / "restored", "new", other, postgres, monkeypatch)
    yield found
    target = ObjectStore(other)
    target.ensure_bucket()
    for entry in target.entries():
        target.delete(ObjectKey(entry.key))


def publish(store: ObjectStore, cid: Digest, film: bytes) -> None:
    """A video as `publish` leaves it: the manifest last."""
    made = [
        store.put_bytes(ObjectKey.chunk(cid), film * 2, "video/mp4"),
        store.put_bytes(ObjectKey.video(cid), film, "video/mp4"),
    ]
    content = json.dumps({"objects": [item.model_dump(mode="json") for item in made]})
    store.put_bytes(ObjectKey.manifest(cid), content.encode(), "application/json")


def saved(place: Place, folder: Path, **options: Any) -> Report:
    return backup(place.use(), folder, say=lambda _: None, **options)


def bucket_of(place: Place) -> dict[str, StoredObject | None]:
    store = place.store
    return {key: store.head(key) for key in store.list_keys()}


def test_it_comes_back_as_it_was(studio: Place, empty: Place, tmp_path: Path) -> None:
    before = bucket_of(studio)
    report = saved(studio, tmp_path / "backup")
    assert report.objects == len(before) == 4
    done = restore(empty.use(), tmp_path / "backup", say=lambda _: None)
    assert done.objects == 4
    assert bucket_of(empty) == before
    assert empty.database.ask("select state from run") == "published"
    with opened(empty.data) as database:
        assert [name for name, _, _ in keys.listed(database)] == ["editor"]
    assert not (empty.data / upgrade.MARKER).exists()
    upgrade.check(empty.data)


def test_a_second_backup_copies_only_what_is_new(studio: Place, tmp_path: Path) -> None:
    first = saved(studio, tmp_path / "backup")
    film = b"the second film"
    publish(studio.store, SECOND, film)
    second = saved(studio, tmp_path / "backup")
    assert second.objects == first.objects + 3
    # PostgreSQL's dump carries its second, the gateway's database is the same.
    assert second.new_objects in (3, 3 + 1)
    assert len(Vault(tmp_path / "backup").names()) == 2
    assert not list(Vault(tmp_path / "backup").faults())


@pytest.mark.parametrize("after", [slow(0), 1, slow(3), 5])
def test_a_killed_backup_goes_on(studio: Place, tmp_path: Path, after: int) -> None:
    folder = tmp_path / "backup"
    studio.killed("backup", folder, after)
    assert list(folder.glob("objects/*/.*.part"))
    with pytest.raises(BackupError, match="no finished backup"):
        Vault.at(folder)
    report = saved(studio, folder)
    assert not list(folder.rglob("*.part"))
    assert not [path for path in folder.iterdir() if path.name.startswith(".dump")]
    # What had its name before the kill is not copied again; a dump made anew may be.
    whole = 4 + 2
    assert report.new_objects in (whole - after, whole - after + 1)
    assert not list(Vault.at(folder).faults())


@pytest.mark.parametrize("after", [slow(0), 2, slow(3)])
def test_a_killed_restore_goes_on(studio: Place, empty: Place, tmp_path: Path, after: int) -> None:
    saved(studio, tmp_path / "backup")
    empty.killed("restore", tmp_path / "backup", after)
    with pytest.raises(SettingsError, match="was not finished"):
        upgrade.check(empty.data)
    assert not [key for key in empty.store.list_keys() if key.endswith("manifest.json")]
    saved(studio, tmp_path / "backup")  # a newer one must not be mixed in
    with pytest.raises(BackupError, match="begun and not finished"):
        restore(
            empty.use(),
            tmp_path / "backup",
            snapshot=Vault(tmp_path / "backup").names()[-1],
            say=lambda _: None,
        )
    done = restore(empty.use(), tmp_path / "backup", say=lambda _: None)
    assert done.snapshot == Vault(tmp_path / "backup").names()[0]
    assert len(empty.store.list_keys()) == 4
    assert empty.database.ask("select count(*) from run") == "1"


def test_a_flipped_byte_is_named(studio: Place, empty: Place, tmp_path: Path) -> None:
    saved(studio, tmp_path / "backup")
    vault = Vault.at(tmp_path / "backup")
    found = studio.store.head(ObjectKey.video(FIRST))
    assert found is not None
    path = vault.path(found.sha256)
    data = bytearray(path.read_bytes())
    data[3] ^= 1
    path.write_bytes(data)
    assert list(vault.faults()) == [f"{path} does not match its sha256"]
    said = Cli(dict(os.environ))("backup", "verify", str(vault.folder))
    assert said.code == 1
    assert str(path) in said.err
    with pytest.raises(BackupError, match=f"{path} does not match"):
        restore(empty.use(), vault.folder, say=lambda _: None)
    path.unlink()  # as the sentence says
    saved(studio, vault.folder)
    assert not list(vault.faults())


def test_a_snapshot_that_was_altered_is_named(studio: Place, tmp_path: Path) -> None:
    name = saved(studio, tmp_path / "backup").snapshot
    path = tmp_path / "backup" / "snapshots" / f"{name}.json"
    path.write_text(path.read_text().replace("video/mp4", "video/mp3", 1))
    assert any(
        "does not match its own sha256" in item for item in Vault(tmp_path / "backup").faults()
    )
    path.write_text(path.read_text()[:-10])
    assert "not a whole snapshot" in "".join(Vault(tmp_path / "backup").faults())


def test_secrets_need_the_passphrase(studio: Place, empty: Place, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    saved(studio, folder)
    saved(studio, folder, passphrase="correct horse")
    plain = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert b"studio:secret" not in plain
    assert studio.env["REELWRIGHT_S3_SECRET_KEY"].encode() not in plain
    with pytest.raises(BackupError, match="passphrase is not the one"):
        restore(empty.use(), folder, passphrase="wrong horse", say=lambda _: None)
    with pytest.raises(BackupError, match="without a passphrase"):
        restore(
            empty.use(),
            folder,
            snapshot=Vault(folder).names()[0],
            passphrase="correct horse",
            say=lambda _: None,
        )
    assert not empty.data.exists()
    restore(empty.use(), folder, passphrase="correct horse", say=lambda _: None)
    assert environment.read(empty.use()) == {"PREFECT_API_AUTH_STRING": "studio:secret"}


def test_without_a_passphrase_it_says_what_is_missing(studio: Place, tmp_path: Path) -> None:
    (said,) = saved(studio, tmp_path / "backup").left_out
    for name in ("REELWRIGHT_S3_SECRET_KEY", "PREFECT_API_AUTH_STRING", "studio.env"):
        assert name in said
    kept = Vault(tmp_path / "backup").load().settings
    assert kept.variables["REELWRIGHT_S3_SECRET_KEY"] is None
    assert kept.variables["REELWRIGHT_S3_BUCKET"] == studio.env["REELWRIGHT_S3_BUCKET"]


def test_a_directory_that_is_used_is_not_restored_into(
    studio: Place, empty: Place, tmp_path: Path
) -> None:
    folder = tmp_path / "backup"
    saved(studio, folder)
    with pytest.raises(BackupError, match="is not empty \\(gateway"):
        restore(studio.use(), folder, say=lambda _: None)
    make_directory(empty.data / "studio")
    with (
        exclusive(empty.data / "studio" / "lock", lambda: None),
        pytest.raises(BackupError, match="a studio runs"),
    ):
        restore(empty.use(), folder, say=lambda _: None)
    with_bucket = replace(empty, env=empty.env | {"REELWRIGHT_S3_BUCKET": studio.store.bucket})
    with pytest.raises(BackupError, match="is not empty"):
        restore(with_bucket.use(), folder, say=lambda _: None)


def test_a_backup_does_not_go_into_other_files(studio: Place, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="holds other files"):
        saved(studio, tmp_path)
    with pytest.raises(BackupError, match="lies in the data directory"):
        saved(studio, studio.data / "backup")


def test_old_snapshots_go_with_what_only_they_needed(studio: Place, tmp_path: Path) -> None:
    vault = Vault(tmp_path / "backup")
    saved(studio, vault.folder)
    film = studio.store.head(ObjectKey.video(FIRST))
    assert film is not None
    for part in (ObjectKey.manifest, ObjectKey.video, ObjectKey.chunk):
        studio.store.delete(part(FIRST))
    report = saved(studio, vault.folder, keep=1)
    assert vault.names() == [report.snapshot]
    assert not vault.has(film.sha256, film.size)
    assert report.pruned == 3 + 1  # and the database as it was
    assert not list(vault.faults())


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
