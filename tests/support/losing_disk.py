"""A disk that loses, in a power cut, whatever was not synced: a FUSE layer over a directory.

Run as a script with three directories: LIVE (what processes see through the mount), MOUNT, and
DURABLE (what survives). A sync of a file copies its bytes to DURABLE, a sync of a directory its
names. That is stricter than most file systems, which write much of it unasked. `after_power_cut`
builds what the next boot finds.
"""

import errno
import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = 0


class Disk:
    """The operations that a database and an object store need; see FUSE's for their meaning."""

    use_ns = True

    def __init__(self, live: str, durable: str) -> None:
        self._live = live
        self._durable = Path(durable)
        self._lock = threading.Lock()
        self._numbers = itertools.count(ROOT + 1)
        self._names: dict[int, int] = {os.stat(live).st_ino: ROOT}  # noqa: PTH116
        """Number of a file by its inode; the kernel uses an inode again after a removal."""

    def _at(self, path: str) -> str:
        return self._live + path

    def _number(self, found: os.stat_result) -> int:
        return self._names[found.st_ino]

    def _new(self, found: os.stat_result) -> None:
        with self._lock:
            self._names[found.st_ino] = next(self._numbers)

    def _keep(self, name: str, data: bytes) -> None:
        part = self._durable / f"{name}.{threading.get_ident()}.part"
        part.write_bytes(data)
        part.rename(self._durable / name)

    def fsync(self, _path: str, _data_only: int, handle: int) -> int:
        found = os.fstat(handle)
        self._keep(str(self._number(found)), os.pread(handle, found.st_size, 0))
        return 0

    def fsyncdir(self, path: str, _data_only: int, _handle: int) -> int:
        entries = [
            (entry.name, entry.is_dir(), self._number(entry.stat(follow_symlinks=False)))
            for entry in os.scandir(self._at(path))
        ]
        own = self._number(os.stat(self._at(path)))  # noqa: PTH116
        self._keep(f"{own}.names", json.dumps(entries).encode())
        return 0

    def getattr(self, path: str, _handle: int | None = None) -> dict[str, int]:
        found = os.lstat(self._at(path))
        names = ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size", "st_ino", "st_blocks")
        times = {f"st_{c}time": getattr(found, f"st_{c}time_ns") for c in "amc"}
        return {name: getattr(found, name) for name in names} | times

    def create(self, path: str, mode: int, _info: Any = None) -> int:
        handle = os.open(self._at(path), os.O_RDWR | os.O_CREAT, mode)
        self._new(os.fstat(handle))
        return handle

    def open(self, path: str, flags: int) -> int:
        # The kernel gives the place of every write, also of one that appends; O_APPEND here
        # would ignore it. A file that was opened for writing only is read by a sync.
        kept = flags & ~(os.O_APPEND | os.O_ACCMODE | os.O_CREAT | os.O_EXCL)
        return os.open(self._at(path), kept | os.O_RDWR)

    def mkdir(self, path: str, mode: int) -> None:
        Path(self._at(path)).mkdir(mode)
        self._new(os.lstat(self._at(path)))

    def readdir(self, path: str, _handle: int) -> list[str]:
        return [".", "..", *os.listdir(self._at(path))]  # noqa: PTH208

    def read(self, _path: str, size: int, offset: int, handle: int) -> bytes:
        return os.pread(handle, size, offset)

    def write(self, _path: str, data: bytes, offset: int, handle: int) -> int:
        return os.pwrite(handle, data, offset)

    def truncate(self, path: str, length: int, _handle: int | None = None) -> None:
        os.truncate(self._at(path), length)

    def release(self, _path: str, handle: int) -> None:
        os.close(handle)

    def flush(self, _path: str, _handle: int) -> int:
        return 0  # of a close; it promises nothing

    def unlink(self, path: str) -> None:
        Path(self._at(path)).unlink()

    def rmdir(self, path: str) -> None:
        Path(self._at(path)).rmdir()

    def rename(self, old: str, new: str, *_flags: int) -> None:
        Path(self._at(old)).replace(self._at(new))

    def chmod(self, path: str, mode: int) -> None:
        Path(self._at(path)).chmod(mode)

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> None:
        os.utime(self._at(path), ns=times)

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self._at(path))
        names = ("f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_files", "f_ffree", "f_frsize")
        return {name: getattr(found, name) for name in names} | {"f_namemax": 255}


def mount(live: str, place: str, durable: str) -> None:
    """Serve the mount until it is ended."""
    import mfusepy

    disk = Disk(live, durable)

    class Operations(mfusepy.Operations):
        """The disk's methods in the class that the library wants."""

        use_ns = True

    for name in (name for name in vars(Disk) if not name.startswith("_") and name != "use_ns"):
        setattr(Operations, name, staticmethod(getattr(disk, name)))
    mfusepy.FUSE(Operations(), place, foreground=True, attr_timeout=0, entry_timeout=0)


@contextmanager
def losing_disk(folder: Path) -> Iterator[tuple[Path, Path, subprocess.Popen[bytes]]]:
    """`folder`/disk is such a disk. Yields it, what survives, and the process whose end is the
    power cut. Raises OSError if it cannot be mounted here."""
    live, place, durable = (folder / name for name in ("live", "disk", "durable"))
    for path in (live, place, durable):
        path.mkdir()
    argv = [sys.executable, __file__, str(live), str(place), str(durable)]
    with (folder / "disk.log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        while not place.is_mount():
            if process.poll() is not None:
                raise OSError(errno.ENODEV, (folder / "disk.log").read_text())
            time.sleep(0.05)
        yield place, durable, process
    finally:
        process.kill()
        process.wait()
        subprocess.run(["umount", "-l", str(place)], check=False, capture_output=True)


def after_power_cut(durable: Path, target: Path, number: int = ROOT) -> None:
    """Make `target` what the disk holds: synced names with the bytes of their last sync."""
    target.mkdir(parents=True)
    names = durable / f"{number}.names"
    for name, is_folder, inner in json.loads(names.read_bytes()) if names.exists() else []:
        if is_folder:
            after_power_cut(durable, target / name, inner)
        elif (durable / str(inner)).exists():
            shutil.copyfile(durable / str(inner), target / name)
        else:
            (target / name).touch()


if __name__ == "__main__":
    mount(*sys.argv[1:4])
