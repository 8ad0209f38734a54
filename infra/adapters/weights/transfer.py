"""One file over HTTP: resumed where it broke off, hashed while it arrives.

The hub's own client (2.4) throws an unfinished file away when its process ends, and a file of
10 GB would begin anew after each interruption; so only the hub's documented addresses are used.
"""

import hashlib
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Protocol

import httpx

from infra.adapters.disk import full_disk_as, sync
from infra.adapters.weights.index import FileRecord
from pipelines.errors import WeightsError
from pipelines.schema.keys import Digest

_BLOCK = 2**20
_PAUSES = (0.2, 1.0, 3.0)
"""Seconds before each further try; new bytes start the row again."""
_PASSING = (408, 429, 500, 502, 503, 504)
_TIMEOUT = httpx.Timeout(60, connect=10)


class Progress(Protocol):
    """Who shows how far a model is."""

    def begin(self, name: str, total: int, done: int) -> None:
        """`done` of `total` bytes are there already."""

    def advance(self, size: int) -> None:
        """`size` further bytes are there."""

    def end(self) -> None:
        """Nothing follows for this model."""


class NoProgress:
    """Shows nothing."""

    def begin(self, *_: object) -> None:
        return

    def advance(self, *_: object) -> None:
        return

    def end(self) -> None:
        return


class UnreachableError(WeightsError):
    """The network or the server failed; what arrived is kept."""


class RefusedError(WeightsError):
    """The server does not give the file to us."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch, and what is known of its bytes before they arrive."""

    name: str
    url: str
    size: int | None
    sha256: str = ""
    git_id: str = ""
    """Git's object id, which the hub has for small files instead of a sha256."""

    def is_record(self, record: FileRecord, path: Path) -> bool:
        """Whether the file at `path`, which `record` describes, is this one."""
        if self.size is not None and record.size != self.size:
            return False
        if self.sha256:
            return record.sha256 == self.sha256
        return not self.git_id or _git_id(path) == self.git_id


@dataclass
class _Part:
    """The unfinished file beside its final place."""

    path: Path
    have: int = 0
    sha256: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def read(self, limit: int | None) -> None:
        """Take in what an earlier process left; more than there can be is thrown away."""
        if not self.path.exists():
            return
        if limit is not None and self.path.stat().st_size > limit:
            self.path.unlink()
            return
        with self.path.open("rb") as handle:
            while block := handle.read(_BLOCK):
                self.sha256.update(block)
                self.have += len(block)

    def goes_on(self, answer: httpx.Response) -> bool:
        """Whether an answer begins at the byte after those that we have."""
        if answer.status_code == 200:
            return self.have == 0
        return str(answer.headers.get("Content-Range", "")).startswith(f"bytes {self.have}-")

    def restart(self) -> None:
        """Begin at the first byte: the server ignored where we wanted to go on."""
        self.path.write_bytes(b"")
        self.have, self.sha256 = 0, hashlib.sha256()


def fetch_file(
    file: RemoteFile, path: Path, progress: Progress, headers: Mapping[str, str]
) -> FileRecord:
    """Bring `file` to `path`, which appears only when it is whole, right and on disk.

    Raises UnreachableError, RefusedError, DiskFullError, or WeightsError if other bytes arrived
    than were announced; those are deleted.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _Part(part_of(path))
    part.read(file.size)
    tries = list(_PAUSES)
    full = (
        f"the disk of {path.parent} is full; what arrived is kept: free some room and run the same "
        "command again"
    )
    while True:
        before = part.have
        try:
            with full_disk_as(full):
                _receive(file, part, progress, headers)
            break
        except (httpx.TransportError, _PassingError) as error:
            tries = list(_PAUSES) if part.have > before else tries
            if not tries:
                raise UnreachableError(f"{type(error).__name__}: {error}") from error
            time.sleep(tries.pop(0))
    record = FileRecord(size=part.have, sha256=Digest(part.sha256.hexdigest()))
    if not file.is_record(record, part.path):
        part.path.unlink()
        raise WeightsError(
            f"{file.name} arrived altered (its size or sha256 is not the one announced) and was "
            "deleted; run the same command again"
        )
    sync(part.path)  # before the rename: the name must not outlive a power cut without the bytes
    part.path.replace(path)
    return record


def http_client() -> httpx.Client:
    """It follows redirects, which lose the token on their way to another host, and heeds the
    variables that name a proxy."""
    return httpx.Client(follow_redirects=True, timeout=_TIMEOUT, verify=_certificates())


@cache
def _certificates() -> ssl.SSLContext:
    return httpx.create_ssl_context()  # 0.1 s of work, too much for each small file


def part_of(path: Path) -> Path:
    """Where the bytes of an unfinished `path` lie."""
    return path.with_name(f"{path.name}.part")


def announced_size(url: str, headers: Mapping[str, str]) -> int | None:
    """Bytes that the server says it would send; None if it does not say."""
    try:
        with http_client() as client:
            answer = client.head(url, headers={**headers, "Accept-Encoding": "identity"})
    except httpx.HTTPError:
        return None
    length = answer.headers.get("Content-Length", "")
    return int(length) if answer.status_code == 200 and length.isdecimal() else None


class _PassingError(Exception):
    """A status that may pass."""


def _receive(file: RemoteFile, part: _Part, progress: Progress, headers: Mapping[str, str]) -> None:
    if file.size is not None and part.have == file.size:
        part.path.touch()  # an empty file is fetched, too
        return
    asked = {**headers, "Accept-Encoding": "identity"}  # else offsets would count packed bytes
    if part.have:
        asked["Range"] = f"bytes={part.have}-"
    with (
        http_client() as client,
        client.stream("GET", file.url, headers=asked) as answer,
    ):
        if answer.status_code == 416:  # nothing is left to fetch
            return
        if answer.status_code in _PASSING:
            raise _PassingError(f"HTTP {answer.status_code}")
        if answer.status_code not in (200, 206):
            raise RefusedError(answer.status_code, f"HTTP {answer.status_code}")
        if not part.goes_on(answer):
            progress.advance(-part.have)
            part.restart()
        _write(answer, part, progress, file.size)
    if file.size is not None and part.have < file.size:
        raise _PassingError(f"{part.have:,} of {file.size:,} bytes arrived")


def _write(answer: httpx.Response, part: _Part, progress: Progress, limit: int | None) -> None:
    with part.path.open("ab") as handle:
        for block in answer.iter_raw(_BLOCK):
            handle.write(block)
            part.sha256.update(block)
            part.have += len(block)
            progress.advance(len(block))
            if limit is not None and part.have > limit:
                return  # not what was announced: it is thrown away, however long it is


def _git_id(path: Path) -> str:
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
