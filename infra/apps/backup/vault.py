"""The folder of a backup: every file once, under the hash of its bytes.

A file gets its name when all of it is on the disk: written under another name, fsynced, renamed,
read again from the disk and hashed. So a name is a promise, and a killed backup leaves no false
ones.
"""

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import BinaryIO

from infra.adapters.disk import exclusive, full_disk_as, make_directory, shared, sync
from infra.apps.backup.snapshot import Blob, Snapshot, pack, unpack
from pipelines.errors import BackupError, CorruptObjectError
from pipelines.schema.keys import Digest

SCRATCH = ".dump-"
"""What the folders begin with that a backup makes for its duration."""
_BLOCK = 2**20
_TIME = "%Y%m%dT%H%M%S%fZ"
"""To the microsecond: two in one second are two."""


class Vault:
    """One backup folder. Its files are ours alone (mode 0600)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._objects = folder / "objects"
        self._snapshots = folder / "snapshots"
        self.added = self.added_size = 0
        """Files and bytes that this object put there."""

    @classmethod
    def at(cls, folder: Path) -> "Vault":
        """Open an existing vault. Raises BackupError if `folder` is none."""
        vault = cls(folder)
        if not vault.names():
            raise BackupError(f"{folder} holds no finished backup; name the folder of one")
        return vault

    @contextmanager
    def writing(self, on_wait: Callable[[], None]) -> Iterator[None]:
        """Make it if need be, and write to it alone. What a killed backup left half is removed."""
        if self.folder.exists() and not self._objects.exists() and any(self.folder.iterdir()):
            raise BackupError(
                f"{self.folder} holds other files and no backup; name a new or an empty folder"
            )
        for folder in (self.folder, self._objects, self._snapshots):
            make_directory(folder, private=True)
        with exclusive(self.folder / "lock", on_wait):
            for part in [*self._objects.glob("*/.*.part"), *self._snapshots.glob(".*.part")]:
                part.unlink()
            for left in self.folder.glob(f"{SCRATCH}*"):
                shutil.rmtree(left)
            yield

    @contextmanager
    def reading(self, on_wait: Callable[[], None]) -> Iterator[None]:
        """No backup writes to it, and so removes nothing, until the block ends."""
        lock = self.folder / "lock"
        with suppress(OSError):  # a copy that nobody can write to needs none
            lock.touch()
        with shared(lock, on_wait) if lock.exists() else nullcontext():
            yield

    def path(self, digest: Digest) -> Path:
        """The path of the file with this hash, whether it exists or not."""
        return self._objects / digest[:2] / digest

    def has(self, digest: Digest, size: int) -> bool:
        """Whether a file of that hash and size (bytes) is there; its bytes are not read."""
        try:
            return self.path(digest).stat().st_size == size
        except OSError:
            return False

    def add(self, blocks: Iterable[bytes], expected: Digest | None = None) -> Blob:
        """Keep these bytes. Raises CorruptObjectError if their hash is not the `expected` one."""
        sha256, size = hashlib.sha256(), 0
        part = self._objects / "00" / f".{secrets.token_hex(8)}.part"
        make_directory(part.parent, private=True)
        full = (
            f"the disk of {self.folder} is full; what was copied is kept: free some room, for "
            "example with --keep, and run it again"
        )
        try:
            with full_disk_as(full), _new_file(part) as file:
                for block in blocks:
                    sha256.update(block)
                    size += len(block)
                    file.write(block)
                file.flush()
                os.fsync(file.fileno())
            digest = Digest(sha256.hexdigest())
            if expected not in (None, digest):
                raise CorruptObjectError(f"the bytes do not match their sha256 {expected}")
            if not self.has(digest, size):
                with full_disk_as(full):
                    self._name(part, digest)
                self.added, self.added_size = self.added + 1, self.added_size + size
        finally:
            part.unlink(missing_ok=True)
        return Blob(sha256=digest, size=size)

    def add_bytes(self, data: bytes) -> Blob:
        """Add `data` as a file."""
        return self.add([data])

    def add_file(self, path: Path) -> Blob:
        """Add a copy of the file."""
        return self.add(_blocks(path))

    def read(self, blob: Blob) -> bytes:
        """The bytes of a file. Raises BackupError if their hash is not its name."""
        self.check(blob)
        return self.path(blob.sha256).read_bytes()

    def check(self, blob: Blob) -> Path:
        """The file of `blob`, after every byte was hashed. Raises BackupError."""
        path = self.path(blob.sha256)
        fault = self._fault(blob)
        if fault:
            raise BackupError(
                f"{path} {fault}; restore an older snapshot, or repair the file from another copy"
            )
        return path

    def names(self) -> list[str]:
        """Names of all snapshots, the oldest first."""
        return sorted(path.stem for path in self._snapshots.glob("*.json"))

    def load(self, name: str = "") -> Snapshot:
        """A snapshot; the latest without a name. Raises BackupError."""
        names = self.names()
        if name and name not in names:
            raise BackupError(f"there is no snapshot {name!r}; there are: {', '.join(names)}")
        if not names:
            raise BackupError(f"{self.folder} holds no finished backup")
        path = self._snapshots / f"{name or names[-1]}.json"
        return unpack(path.read_bytes(), str(path))

    def finish(self, snapshot: Snapshot) -> str:
        """Write the snapshot, whose files are all here. Returns its name."""
        name = snapshot.created.strftime(_TIME)
        part, path = self._snapshots / f".{name}.part", self._snapshots / f"{name}.json"
        part.unlink(missing_ok=True)
        with _new_file(part) as file:
            file.write(pack(snapshot))
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
        sync(self._snapshots)
        unpack(path.read_bytes(), str(path))
        return name

    def faults(self) -> Iterator[str]:
        """Read everything that any snapshot needs; a sentence for what is not as it was."""
        seen: set[Digest] = set()
        for name in self.names():
            try:
                blobs = self.load(name).blobs()
            except BackupError as error:
                yield str(error)
                continue
            for digest, size in blobs.items():
                if digest in seen:
                    continue
                seen.add(digest)
                fault = self._fault(Blob(sha256=digest, size=size))
                if fault:
                    yield f"{self.path(digest)} {fault}"

    def prune(self, keep: int) -> int:
        """Remove all snapshots but the last `keep`, and every file that only they needed.

        Returns how many files went. Raises BackupError if a snapshot that stays cannot be read:
        nobody knows then what it needs.
        """
        names = self.names()
        needed: set[Digest] = set()
        for name in names[-keep:]:
            needed |= self.load(name).blobs().keys()
        for name in names[:-keep]:
            (self._snapshots / f"{name}.json").unlink()
        sync(self._snapshots)
        gone = [path for path in self._objects.glob("*/*") if path.name not in needed]
        for path in gone:
            path.unlink()
        return len(gone)

    def _name(self, part: Path, digest: Digest) -> None:
        path = self.path(digest)
        make_directory(path.parent, private=True)
        part.replace(path)
        sync(path.parent)
        sync(self._objects)
        if _hash(path) != digest:
            path.unlink()
            raise BackupError(f"the disk of {self.folder} does not give back what was written")

    def _fault(self, blob: Blob) -> str:
        path = self.path(blob.sha256)
        try:
            size = path.stat().st_size
            if size != blob.size:
                return f"has {size} bytes and had {blob.size}"
            return "" if _hash(path) == blob.sha256 else "does not match its sha256"
        except FileNotFoundError:
            return "is missing"
        except OSError as error:
            return f"cannot be read ({error.strerror})"


def _new_file(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _hash(path: Path) -> str:
    """Of what the disk has: pages that are still in memory are let go first."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return hashlib.file_digest(file, "sha256").hexdigest()


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block
