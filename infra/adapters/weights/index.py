"""The index of a model's folder: every file's size and sha256, written when it was installed.

A file whose size and time of change are those of its last check is not read again; any other
change makes it be hashed. `reelwright models verify` hashes everything.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from infra.adapters.disk import write_atomic
from pipelines.errors import WeightsError
from pipelines.schema.keys import Digest

INDEX = "index.json"
_STAMPS = ".checked.json"
_JOURNAL = ".fetched.json"
_BESIDE = {".md", ".jpg", ".jpeg", ".png", ".gif", ".mp4", ".webp", ".pdf"}
"""Endings of files that only people look at. Not `.txt`: tokenizers have a `merges.txt`."""
Stamp = list[int]


class FileRecord(BaseModel):
    """What one file must be."""

    model_config = ConfigDict(frozen=True)

    size: int
    sha256: Digest


class Index(BaseModel):
    """What a model's folder must hold."""

    model_config = ConfigDict(frozen=True)

    source: str
    revision: str
    """The hub's commit, the package's version, or the file's address."""
    files: dict[str, FileRecord]
    originals: dict[str, FileRecord] = {}
    """The hub's float32 files of which `files` has a 16-bit copy under the same name."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(record.size for record in self.files.values())

    def components(self) -> Mapping[str, Digest]:
        """Identity of each subfolder by the bytes in it, and as `pipeline` of the files beside.

        It is the SHA-256 of the lines `<sha256>  <name below the subfolder>`, sorted by name, as
        `sha256sum` prints them: the same weights have it wherever they came from. Files that
        decide no pixels (README, licence, cards, pictures) are left out. A 16-bit copy has the
        identity of its original, which gives the same pixels in bfloat16.
        """
        return _components(self.files | self.originals)

    def components_as_they_lie(self, folder: Path) -> Mapping[str, Digest]:
        """The same for a run in float32, which sees the rounding: a 16-bit copy has its own."""
        return _components(self.lying(folder))

    def lying(self, folder: Path) -> dict[str, FileRecord]:
        """What each file in `folder` must be.

        Where shrinking was interrupted, an original may still lie in the place of its copy. It
        is twice as long, so its size tells.
        """
        lying = dict(self.files)
        for name, original in self.originals.items():
            if not size_fault(folder / name, original.size):
                lying[name] = original
        return lying

    def sizes(self) -> Mapping[str, int]:
        """Bytes of each component."""
        return {
            name: sum(record.size for record in files.values())
            for name, files in _parts(self.files).items()
        }


def _components(files: Mapping[str, FileRecord]) -> dict[str, Digest]:
    return {name: digest_of_files(part) for name, part in _parts(files).items()}


def _parts(files: Mapping[str, FileRecord]) -> dict[str, dict[str, FileRecord]]:
    parts: dict[str, dict[str, FileRecord]] = {}
    for name, record in files.items():
        if decides_pixels(name):
            part, separator, rest = name.partition("/")
            key, file = (part, rest) if separator else ("pipeline", name)
            parts.setdefault(key, {})[file] = record
    return parts


def digest_of_files(files: Mapping[str, FileRecord]) -> Digest:
    """SHA-256 of the lines that `sha256sum` would print for `files`, sorted by name."""
    lines = "".join(f"{files[name].sha256}  {name}\n" for name in sorted(files))
    return Digest(hashlib.sha256(lines.encode()).hexdigest())


def decides_pixels(name: str) -> bool:
    """Whether a model's file is one that a loader may read."""
    path = PurePosixPath(name)
    if any(part.startswith(".") for part in path.parts) or path.parts[0] in ("card", "assets"):
        return False
    if path.name.upper().startswith(("README", "LICENSE", "LICENCE", "NOTICE")):
        return False
    return path.suffix.lower() not in _BESIDE


def write_index(folder: Path, source: str, revision: str) -> Index:
    """Hash every file in `folder` and write its index, last of all and in one step."""
    files = {str(path.relative_to(folder)): record_of(path) for path in _files(folder)}
    return save_index(folder, source, revision, files)


def save_index(
    folder: Path,
    source: str,
    revision: str,
    files: Mapping[str, FileRecord],
    originals: Mapping[str, FileRecord] | None = None,
) -> Index:
    """Write the index of files that were just hashed; from then on the model is installed."""
    index = Index(
        source=source,
        revision=revision,
        files=dict(sorted(files.items())),
        originals=dict(sorted((originals or {}).items())),
    )
    _write_stamps(folder, {name: stamp_of(folder / name) for name in files})
    text = index.model_dump_json(indent=1, exclude_defaults=True)
    write_atomic(folder / INDEX, text.encode())
    (folder / _JOURNAL).unlink(missing_ok=True)
    return index


def read_index(folder: Path) -> Index | None:
    """The index of `folder`; None if the model was never completely installed.

    Raises WeightsError if it cannot be read.
    """
    try:
        return Index.model_validate_json((folder / INDEX).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValidationError) as error:
        raise WeightsError(f"{folder / INDEX} is damaged; delete it and install again") from error


def unindexed_quantised(folder: Path, index: Index) -> list[str]:
    """Quantised weights (`*.gguf`) that somebody laid beside a component's own after it was
    indexed: a backend prefers them, so they must be in the identity."""
    parts = {name.partition("/")[0] for name in index.files if "/" in name}
    found = (path for part in parts for path in (folder / part).glob("*.gguf"))
    names = (str(path.relative_to(folder)) for path in found)
    return sorted(name for name in names if name not in index.files)


def check_files(folder: Path, index: Index, *, everything: bool = False) -> None:
    """Raises WeightsError naming the first file that is missing, truncated or altered."""
    for name, fault in faults(folder, index, everything=everything):
        raise WeightsError(f"{folder / name} {fault}")


def faults(folder: Path, index: Index, *, everything: bool) -> Iterator[tuple[str, str]]:
    """(file, what is wrong with it) for each wrong file; files found right are remembered."""
    stamps = {} if everything else _read_stamps(folder)
    good: dict[str, Stamp] = {}
    for name, record in index.lying(folder).items():
        path = folder / name
        if fault := size_fault(path, record.size):
            yield name, fault
            continue
        stamp = stamp_of(path)
        if stamps.get(name) != stamp and record_of(path).sha256 != record.sha256:
            yield name, "is altered: its sha256 is not the one recorded when it was installed"
        else:
            good[name] = stamp
    if good != stamps:
        _write_stamps(folder, good)


def size_fault(path: Path, size: int) -> str:
    """What is wrong with a file as far as its size tells; empty if it is right."""
    try:
        found = path.stat().st_size
    except OSError:
        return "is missing"
    return "" if found == size else f"has {found:,} of {size:,} bytes"


class Journal:
    """Files of an unfinished installation that were hashed already, so that a killed download
    goes on without reading them again."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _JOURNAL
        self._entries: dict[str, _Entry] = {}
        try:
            self._entries = _JOURNAL_FORMAT.validate_json(self._path.read_bytes())
        except (OSError, ValidationError):
            self._entries = {}

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Whether an installation into `folder` was not finished."""
        return (folder / _JOURNAL).exists()

    def get(self, name: str) -> FileRecord | None:
        """The record of a file that did not change since it was added."""
        entry = self._entries.get(name)
        try:
            return entry[0] if entry and stamp_of(self._path.parent / name) == entry[1] else None
        except OSError:
            return None

    def original(self, name: str) -> FileRecord | None:
        """The hub's file of which a copy was added."""
        entry = self._entries.get(name)
        return entry[2] if entry and len(entry) == 3 else None

    def add(self, name: str, record: FileRecord) -> None:
        """Remember a file that lies at its place."""
        self._write(name, (record, stamp_of(self._path.parent / name)))

    def add_copy(self, name: str, record: FileRecord, part: Path, original: FileRecord) -> None:
        """Remember the copy of `original` that lies as `part` and will be renamed to its place.

        A rename changes nothing of the stamp, so that the copy is known also if the process is
        killed just after it.
        """
        self._write(name, (record, stamp_of(part), original))

    def _write(self, name: str, entry: "_Entry") -> None:
        self._entries[name] = entry
        write_atomic(self._path, _JOURNAL_FORMAT.dump_json(self._entries))


_Entry = tuple[FileRecord, Stamp] | tuple[FileRecord, Stamp, FileRecord]
_JOURNAL_FORMAT: TypeAdapter[dict[str, _Entry]] = TypeAdapter(dict[str, _Entry])


def record_of(path: Path) -> FileRecord:
    """Reads the whole file."""
    with path.open("rb") as handle:
        sha256 = Digest(hashlib.file_digest(handle, "sha256").hexdigest())
    return FileRecord(size=path.stat().st_size, sha256=sha256)


def stamp_of(path: Path) -> Stamp:
    """What changes when a file is written to. Raises OSError if it is missing."""
    state = path.stat()
    return [state.st_size, state.st_mtime_ns, state.st_ino]


def _read_stamps(folder: Path) -> dict[str, Stamp]:
    try:
        stamps = json.loads((folder / _STAMPS).read_bytes())
    except (OSError, ValueError):
        return {}
    return stamps if isinstance(stamps, dict) else {}


def _write_stamps(folder: Path, stamps: Mapping[str, Stamp]) -> None:
    """Only spares hashing: a folder that we may not write to is hashed again next time."""
    part = folder / f"{_STAMPS}.{os.getpid()}.part"
    try:
        part.write_text(json.dumps(stamps), encoding="utf-8")
        part.replace(folder / _STAMPS)
    except OSError:
        part.unlink(missing_ok=True)


def _files(folder: Path) -> Iterable[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path.name != INDEX
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.suffix != ".part"
    )
