"""A backup loses nothing, trusts nothing, and comes back as it was."""

import os
import shutil
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from infra.adapters.disk import exclusive, make_directory
from infra.adapters.settings import Settings
from infra.apps import environment
from infra.apps.backup import kept_settings
from infra.apps.backup.restore import check_room, restore
from infra.apps.backup.snapshot import KeptObject, KeptSettings, Snapshot
from infra.apps.backup.vault import Vault
from infra.apps.gateway import keys
from infra.apps.gateway.database import opened
from infra.apps.studio import upgrade
from pipelines.errors import BackupError, DiskFullError, SettingsError
from pipelines.schema.keys import ObjectKey
from tests.conftest import Cli, slow
from tests.support.backup import FIRST, SECOND, Place, bucket_of, publish, saved

pytest_plugins = ["tests.support.backup_fixtures"]
pytestmark = pytest.mark.xdist_group("backup")  # one database server for all of them


def test_it_comes_back_as_it_was(studio: Place, empty: Place, tmp_path: Path) -> None:
    before = bucket_of(studio)
    report = saved(studio, tmp_path / "backup")
    assert report.objects == len(before) == 4
    done = restore(empty.use(), tmp_path / "backup", say=lambda _: None)
    assert done.objects == 4
    assert bucket_of(empty) == before
    assert empty.database.ask("select state from run") == "published"
    with opened(empty.data) as database:
        assert [record.name for record in keys.listed(database)] == ["editor"]
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


def test_a_backup_from_elsewhere_has_the_webhooks_that_the_studio_was_started_with(
    studio: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As from cron, whose environment has none of the studio's variables."""
    (tmp_path / "key").write_text("of a file")
    (tmp_path / "hooks.yaml").write_text(
        f"sources: [{{secret: 'env:HOOK_SECRET'}}, {{secret: 'file:{tmp_path / 'key'}'}}]"
    )
    (tmp_path / "calendar.yaml").write_text("entries: []")
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as operator:
        operator.setenv("REELWRIGHT_GATEWAY_HOOKS", "hooks.yaml")
        operator.setenv("REELWRIGHT_CALENDAR_FILE", "calendar.yaml")
        operator.setenv("REELWRIGHT_RETENTION_VIDEOS_DAYS", "400")
        chosen = environment.chosen({})
    monkeypatch.chdir("/")
    environment.write(studio.use(), chosen)
    report = saved(studio, tmp_path / "backup", passphrase="correct horse")
    (said,) = report.left_out
    assert "env:HOOK_SECRET, which is not set" in said
    vault = Vault(tmp_path / "backup")
    kept = vault.load().settings
    assert vault.read(kept.files["calendar.yaml"]) == b"entries: []"
    assert kept.variables["REELWRIGHT_RETENTION_VIDEOS_DAYS"] == "400"
    secret = kept_settings.opened(kept, vault, "correct horse")
    assert secret["hooks.yaml"] == (tmp_path / "hooks.yaml").read_text()
    assert "of a file" in secret.values()
    (tmp_path / "hooks.yaml").unlink()
    (said,) = saved(studio, tmp_path / "backup", passphrase="correct horse").left_out
    assert said.startswith(f"REELWRIGHT_GATEWAY_HOOKS={tmp_path / 'hooks.yaml'}, which cannot be")


def test_a_backup_has_the_backends_with_their_keys_the_policy_and_the_caps(
    studio: Place, empty: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text("AIza-of-the-service")
    (tmp_path / "look.json").write_text('{"3": {}}')
    (tmp_path / "look.yaml").write_text("title: My look")
    (tmp_path / "backends.yaml").write_text(
        f"backends: [{{key: 'file:{tmp_path / 'key'}', workflow: {tmp_path / 'look.json'}}}, "
        "{key: 'env:OTHER_KEY'}]"
    )
    (tmp_path / "policy.yaml").write_text("local: only")
    (tmp_path / "caps.yaml").write_text("month: 100")
    monkeypatch.setenv("REELWRIGHT_BACKENDS", str(tmp_path / "backends.yaml"))
    monkeypatch.setenv("REELWRIGHT_ROUTING_POLICY", str(tmp_path / "policy.yaml"))
    monkeypatch.setenv("REELWRIGHT_COSTS_FILE", str(tmp_path / "caps.yaml"))
    studio.use()
    environment.write(Settings.load(), environment.chosen({}))
    (said,) = saved(studio, tmp_path / "backup", passphrase="correct horse").left_out
    assert "the backend's key env:OTHER_KEY, which is not set" in said
    plain = b"".join(path.read_bytes() for path in (tmp_path / "backup").rglob("*.json"))
    assert b"AIza" not in plain
    restore(empty.use(), tmp_path / "backup", passphrase="correct horse", say=lambda _: None)
    texts = {path.name: path.read_text() for path in (empty.data / "restored").iterdir()}
    assert texts["policy.yaml"] == "local: only"
    assert texts["caps.yaml"] == "month: 100"
    assert texts["backends.yaml"] == (tmp_path / "backends.yaml").read_text()
    assert {"AIza-of-the-service", '{"3": {}}', "title: My look"} <= set(texts.values())
    # The new host has them elsewhere, or not at all.
    assert not set(environment.FILES) & set(environment.read(empty.use()))


def test_without_its_passphrase_a_backup_gives_the_settings_and_says_what_stayed(
    studio: Place, empty: Place, tmp_path: Path
) -> None:
    saved(studio, tmp_path / "backup", passphrase="correct horse")
    done = restore(empty.use(), tmp_path / "backup", say=lambda _: None)
    assert any("--passphrase-file" in note for note in done.notes)
    text = (empty.data / "restored" / "settings.env").read_text()
    assert f"REELWRIGHT_S3_BUCKET={studio.store.bucket}\n" in text
    assert studio.env["REELWRIGHT_S3_SECRET_KEY"] not in text
    assert not environment.path_of(empty.use()).exists()


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


def test_who_reads_a_backup_and_who_writes_it_wait_for_each_other(tmp_path: Path) -> None:
    """Else `--keep` would remove what is being restored."""
    vault, waiting, entered = Vault(tmp_path / "backup"), threading.Event(), threading.Event()

    def enter(how: Callable[[Callable[[], None]], AbstractContextManager[None]]) -> None:
        with how(waiting.set):
            entered.set()

    for first, second in (("writing", "reading"), ("reading", "writing")):
        waiting.clear()
        entered.clear()
        thread = threading.Thread(target=enter, args=(getattr(vault, second),))
        with getattr(vault, first)(pytest.fail):
            thread.start()
            assert waiting.wait(60)
            assert not entered.is_set()
        thread.join(60)
        assert entered.is_set()
    with vault.reading(pytest.fail), Vault(vault.folder).reading(pytest.fail):
        pass


def test_a_restore_asks_for_the_room_that_it_still_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = KeptObject(
        key=ObjectKey.video(FIRST),
        sha256=FIRST,
        size=1_000_000,
        content_type="video/mp4",
        etag="",
        modified=datetime.now(UTC),
    )
    snapshot = Snapshot(
        created=datetime.now(UTC),
        software={},
        bucket="b",
        objects=(film,),
        dumps=(),
        settings=KeptSettings(),
    )
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=500_000))
    monkeypatch.setenv("REELWRIGHT_DATA_DIR", str(tmp_path))
    with pytest.raises(DiskFullError, match=r"1 MB more are to be restored.*goes on"):
        check_room(Settings.load(), snapshot)
    (tmp_path / "store" / "data").mkdir(parents=True)
    (tmp_path / "store" / "data" / "1.dat").write_bytes(os.urandom(600_000))  # of an earlier try
    check_room(Settings.load(), snapshot)
    (tmp_path / "store" / "data" / "1.dat").unlink()
    monkeypatch.setenv("REELWRIGHT_S3_ENDPOINT", "127.0.0.1:9")  # its disk is not ours to measure
    check_room(Settings.load(), snapshot)


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
    assert report.pruned in (3, 3 + 1)  # and the dump, unless it is of the same second
    assert not list(vault.faults())
