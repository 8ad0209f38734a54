"""The index of a model's folder: every file's size and sha256, written when it was installed.

A file whose size and time of change are those of its last check is not read again; any other
change makes it be hashed. `reelwright models verify` hashes everything.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines.errors import WeightsError
from pipelines.schema.keys import Digest
from pipelines.schema.plan import digest_of

INDEX = "index.json"
_STAMPS = ".checked.json"


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

    @property
    def content(self) -> Digest:
        """Identity of the weights by their bytes, wherever they came from."""
        return digest_of({name: record.sha256 for name, record in self.files.items()})

    def size_of(self, part: str = "") -> int:
        """Bytes of all files whose path starts with `part`."""
        return sum(item.size for name, item in self.files.items() if name.startswith(part))


def write_index(folder: Path, source: str, revision: str) -> Index:
    """Hash every file in `folder` and write its index, last of all and in one step."""
    files = {str(path.relative_to(folder)): _record(path) for path in _files(folder)}
    index = Index(source=source, revision=revision, files=files)
    part = folder / f"{INDEX}.part"
    part.write_text(index.model_dump_json(indent=1), encoding="utf-8")
    part.replace(folder / INDEX)
    return index


def read_index(folder: Path) -> Index | None:
    """The index of `folder`; None if the model was never completely installed."""
    try:
        return Index.model_validate_json((folder / INDEX).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise WeightsError(f"{folder / INDEX} is damaged; delete it and install again") from error


def check_files(folder: Path, index: Index, *, everything: bool = False) -> None:
    """Raises WeightsError naming the first file that is missing, truncated or altered."""
    for name, fault in faults(folder, index, everything=everything):
        raise WeightsError(f"{folder / name} {fault}")


def faults(folder: Path, index: Index, *, everything: bool) -> Iterator[tuple[str, str]]:
    """(file, what is wrong with it) for each wrong file; files found right are remembered."""
    stamps = {} if everything else _read_stamps(folder)
    good: dict[str, list[int]] = {}
    for name, record in index.files.items():
        path = folder / name
        try:
            state = path.stat()
        except OSError:
            yield name, "is missing"
            continue
        stamp = [state.st_size, state.st_mtime_ns, state.st_ino]
        if state.st_size != record.size:
            yield name, f"has {state.st_size:,} of {record.size:,} bytes"
        elif stamps.get(name) != stamp and _sha256(path) != record.sha256:
            yield name, "is altered: its sha256 is not the one recorded when it was installed"
        else:
            good[name] = stamp
    if good != stamps:
        _write_stamps(folder, good)


def _read_stamps(folder: Path) -> dict[str, list[int]]:
    try:
        stamps = json.loads((folder / _STAMPS).read_bytes())
    except (OSError, ValueError):
        return {}
    return stamps if isinstance(stamps, dict) else {}


def _write_stamps(folder: Path, stamps: dict[str, list[int]]) -> None:
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
        and path.name not in (INDEX, _STAMPS)
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.suffix != ".part"
    )


def _record(path: Path) -> FileRecord:
    return FileRecord(size=path.stat().st_size, sha256=_sha256(path))


def _sha256(path: Path) -> Digest:
    with path.open("rb") as handle:
        return Digest(hashlib.file_digest(handle, "sha256").hexdigest())
