"""The local disk: free space is checked before work starts, and locks give a directory one
owner."""

import errno
import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from pipelines.errors import DiskFullError, ServerError, SettingsError

_FULL = 2_000_000
"""Bytes: less than a database or a clip needs to go on."""
_LONGEST_SOCKET = 90
"""Bytes; the kernel's limit is 107 with the file's name."""


def is_full_disk(error: BaseException) -> bool:
    """Whether `error` says that a disk, or somebody's share of it, is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def full_disk_as(text: str) -> Iterator[None]:
    """Raises DiskFullError with `text` in place of the OSError of a full disk."""
    try:
        yield
    except OSError as error:
        if is_full_disk(error):
            raise DiskFullError(text) from error
        raise


def make_directory(path: Path, *, private: bool = False) -> Path:
    """`path` as a directory, on disk with its name. A new one is ours alone if it is `private`.

    Raises SettingsError or DiskFullError if it cannot be one.
    """
    new = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700 if private else 0o777)
        for folder in new:
            sync(folder.parent)
    except OSError as error:
        raise _unusable(path, error) from error
    return path


def _unusable(path: Path, error: OSError) -> DiskFullError | SettingsError:
    if is_full_disk(error):
        return DiskFullError(f"the disk of {path} is full; free some room")
    return SettingsError(
        f"the directory {path} cannot be made ({error.strerror}); "
        "set REELWRIGHT_DATA_DIR to a place you may write to"
    )


def make_data_directory(path: Path, say: Callable[[str], None]) -> Path:
    """`path` as a directory that nobody else may enter; `say` names one that had to be closed.

    Raises SettingsError or DiskFullError if it cannot be one.
    """
    make_directory(path, private=True)
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        try:
            path.chmod(mode & 0o700)
        except OSError as error:
            raise SettingsError(
                f"{path} is open to other users (mode {mode:o}) and cannot be closed "
                f"({error.strerror}); set REELWRIGHT_DATA_DIR to a directory of your own"
            ) from error
        say(f"{path} was open to other users (mode {mode:o}); it is closed to them now")
    return path


def socket_folder(folder: Path) -> Path:
    """`folder`/socket, or a private place with a shorter name if that is too long for a socket.

    Raises ServerError if it is a link, or if somebody else can enter it.
    """
    wanted = folder / "socket"
    if len(os.fsencode(wanted)) > _LONGEST_SOCKET:
        name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
        wanted = Path(tempfile.gettempdir()) / f"reelwright-{os.getuid()}-{name}"
    make_directory(wanted, private=True)
    # The shorter name can be guessed, and anybody may make a link of that name in /tmp: followed,
    # it would lead us into a folder of our own, which the servers then clear of old sockets.
    found = wanted.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise ServerError(
            f"{wanted} is a link, belongs to somebody else or is open to others; remove it"
        )
    return wanted


def read_text(path: Path, name: str) -> str:
    """A text file that the operator wrote. Raises SettingsError, which calls it `name`."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingsError(f"{name} cannot be read: {reason}") from error


def check_room(path: Path, needed: int) -> None:
    """Raises DiskFullError if the disk of `path` has fewer than `needed` bytes free."""
    free = shutil.disk_usage(path).free
    if free < needed:
        raise DiskFullError(
            f"about {needed / 1e6:,.0f} MB are needed, {free / 1e6:,.0f} MB are free in {path}: "
            "free some room or set REELWRIGHT_DATA_DIR to a larger disk; nothing was started"
        )


def is_full(path: Path) -> bool:
    """Whether the disk of `path` has less than _FULL bytes free. An operation that failed then is
    taken to have failed because the disk is full."""
    return path.exists() and shutil.disk_usage(path).free < _FULL


@contextmanager
def exclusive(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file `path`; `on_wait` is called once if somebody else holds it.

    A device is a file too: it is opened, not made.
    """
    with path.open("rb" if path.is_char_device() else "a") as handle:
        _lock(handle, fcntl.LOCK_EX, on_wait)
        yield


@contextmanager
def shared(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file `path`, which must exist, together with others who hold it so; `on_wait`
    is called once if somebody has it `exclusive`."""
    with path.open("rb") as handle:
        _lock(handle, fcntl.LOCK_SH, on_wait)
        yield


def _lock(handle: IO[Any], kind: int, on_wait: Callable[[], None]) -> None:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        on_wait()
        fcntl.flock(handle, kind)


@contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """A folder for one run, deleted afterwards; folders that a killed run left are deleted too.

    The owner of a folder holds a lock inside it, which the kernel drops when it dies.
    Raises SettingsError or DiskFullError if the folder cannot be made.
    """
    make_directory(parent)
    folder = parent / f"run-{os.getpid()}-{os.urandom(4).hex()}"
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        try:
            # While we hold this lock, no other run is between making its folder and locking it.
            # So a folder that nobody has locked now belongs to a run that was killed.
            with exclusive(parent / "lock", lambda: None):
                left = list(parent.glob("run-*"))
                make_directory(folder)
                stack.enter_context(exclusive(folder / "lock", lambda: None))
        except OSError as error:
            raise _unusable(parent, error) from error
        for old in left:
            _sweep(old)
        yield folder


def _sweep(folder: Path) -> None:
    try:
        with (folder / "lock").open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        return  # its owner lives, or it is gone already


def write_atomic(path: Path, data: bytes) -> None:
    """Replace `path` in one step: a reader sees the old bytes or the new, never half.

    When it returns, the new bytes survive a power cut.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        sync(part)  # before the rename: else the name could outlive a power cut without the bytes
        part.replace(path)
        sync(path.parent)
    finally:
        part.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Put the file's bytes, or the directory's names, on disk, whoever wrote them.

    Raises OSError if they cannot be written. A file system that knows no sync of a directory
    keeps its names by itself.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)
