"""One owner at a time, no rest of a killed run, no half-written file."""

import errno
import os
import tempfile
import threading
from pathlib import Path

import pytest

from infra.adapters import disk
from pipelines.errors import DiskFullError, ServerError, SettingsError


def test_the_second_owner_waits_and_says_so(tmp_path: Path) -> None:
    waiting, entered = threading.Event(), threading.Event()

    def second() -> None:
        with disk.exclusive(tmp_path / "lock", waiting.set):
            entered.set()

    thread = threading.Thread(target=second)
    with disk.exclusive(tmp_path / "lock", pytest.fail):
        thread.start()
        assert waiting.wait(60)
        assert not entered.is_set()
    thread.join(60)
    assert entered.is_set()


def test_scratch_is_gone_afterwards_also_after_an_error(tmp_path: Path) -> None:
    def fail() -> None:
        with disk.scratch(tmp_path / "scratch") as folder:
            (folder / "frame").touch()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list((tmp_path / "scratch").glob("run-*")) == []


def test_what_a_killed_run_left_is_swept_but_not_what_a_living_one_needs(tmp_path: Path) -> None:
    dead = tmp_path / "run-1-dead"
    dead.mkdir()
    (dead / "frame").touch()
    with disk.scratch(tmp_path) as living:
        (living / "frame").touch()
        with disk.scratch(tmp_path) as other:
            assert set(tmp_path.glob("run-*")) == {living, other}
        assert (living / "frame").exists()


def test_scratch_that_was_just_made_is_not_taken_for_a_dead_run_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run begins between the making of the folder and its lock."""
    parent = tmp_path / "scratch"
    parent.mkdir()
    began, make = threading.Event(), disk.make_directory

    def begin() -> None:
        with disk.scratch(parent):
            began.set()

    other = threading.Thread(target=begin)

    def make_and_let_another_begin(folder: Path, **options: bool) -> Path:
        made = make(folder, **options)
        if folder.parent == parent and other.ident is None:
            other.start()
            began.wait(0.5)  # it has to wait for us: this is how long we let it try
        return made

    monkeypatch.setattr(disk, "make_directory", make_and_let_another_begin)
    with disk.scratch(parent) as folder:
        assert other.ident
        (folder / "frame").touch()
        other.join(60)
        assert began.is_set()
        assert (folder / "frame").exists()


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        (errno.EROFS, SettingsError, "REELWRIGHT_DATA_DIR"),
        (errno.ENOSPC, DiskFullError, "free some room"),
    ],
    ids=["read-only", "full"],
)
def test_scratch_on_a_disk_that_takes_nothing_is_a_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    error: type[Exception],
    words: str,
) -> None:
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(disk, "exclusive", fail)
    with pytest.raises(error, match=words), disk.scratch(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_too_little_room_is_said_before_the_start(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError, match=r"1,000,000,000 MB are needed.*REELWRIGHT_DATA_DIR"):
        disk.check_room(tmp_path, 10**15)


def test_a_place_that_cannot_be_a_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="cannot be made"):
        disk.make_directory(tmp_path / "file" / "data")


def test_a_file_is_replaced_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "rates.json"
    disk.write_atomic(target, b"old")

    def full(_: Path, __: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        disk.write_atomic(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_replaced_file_is_on_disk_before_its_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "rates.json"
    target.write_bytes(b"old")
    synced: list[tuple[str, bytes]] = []
    fsync = os.fsync

    def watch(handle: int) -> None:
        synced.append((Path(f"/proc/self/fd/{handle}").readlink().name, target.read_bytes()))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", watch)
    disk.write_atomic(target, b"new")
    part = f"rates.json.{os.getpid()}.part"
    assert synced == [(part, b"old"), (tmp_path.name, b"new")]


def test_new_directories_are_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(disk, "sync", synced.append)
    disk.make_directory(tmp_path / "a" / "b")
    assert synced == [tmp_path / "a", tmp_path]
    synced.clear()
    disk.make_directory(tmp_path / "a" / "b")
    assert synced == []


def test_a_data_directory_is_ours_alone(tmp_path: Path) -> None:
    said: list[str] = []
    disk.make_data_directory(tmp_path / "new", said.append)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert said == []
    (tmp_path / "old").mkdir()
    (tmp_path / "old").chmod(0o755)
    for _ in range(2):
        disk.make_data_directory(tmp_path / "old", said.append)
        assert (tmp_path / "old").stat().st_mode & 0o777 == 0o700
    assert len(said) == 1
    assert "mode 755" in said[0]


def test_a_planted_link_is_not_taken_for_the_place_of_the_sockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The short name can be guessed; the link leads into a private folder of the victim's own."""
    own = tmp_path / "own"
    own.mkdir(mode=0o700)
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    deep = tmp_path / ("d" * 100)
    made = disk.socket_folder(deep)
    assert made.parent == place
    made.rmdir()
    made.symlink_to(own)
    with pytest.raises(ServerError, match="is a link"):
        disk.socket_folder(deep)
