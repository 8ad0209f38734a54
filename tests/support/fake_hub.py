"""A FAKE of the Hugging Face hub: no machine of ours reaches the real one.

It speaks the part of the documented HTTP API that downloading needs: model info with file
metadata, and files with ETag, commit and ranges. As on the real hub, small texts are served at
once and have a git id; large files have a sha256 and are redirected to another host. A gated
repository lists its files to everybody and serves them to those with the right token. It can
break off or stop in the middle of a file, send other bytes than it announced, or announce files
that are larger than any disk. Files may lie on disk: they are streamed and never held in memory.
"""

import hashlib
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

COMMIT = "c0ffee" + "0" * 34
_TEXTS = (".json", ".md", ".txt")
_BLOCK = 2**20


@dataclass(frozen=True)
class FileOnDisk:
    """A file that is streamed; its size and digest are known beforehand."""

    path: Path
    size: int
    sha256: str


Content = bytes | FileOnDisk
Files = Mapping[str, Content]


@dataclass
class FakeHub:
    """What the hub holds and how it misbehaves."""

    files: dict[str, bytes]
    """Of every repository, unless `repositories` has files for each."""
    repositories: Mapping[str, Files] = field(default_factory=dict)
    commits: Mapping[str, str] = field(default_factory=dict)
    """Commit of a repository, if it is not `COMMIT`."""
    others: dict[str, Content] = field(default_factory=dict)
    """Files at addresses of their own, `/file/<name>`, beside `files`."""
    spend: bool = False
    """Delete a file on disk as soon as it was sent to its end."""
    url: str = ""
    port: int = 0
    token: str = ""
    """If it is set, the repository is gated, and this token opens it."""
    break_off: set[str] = field(default_factory=set)
    """Files that end halfway, once."""
    hold: dict[str, int] = field(default_factory=dict)
    """Files that stop after so many bytes until `go_on` is set."""
    go_on: threading.Event = field(default_factory=threading.Event)
    patience: float = 60
    """Seconds after which it goes on by itself."""
    altered: set[str] = field(default_factory=set)
    """Files whose bytes are not those announced."""
    announced: dict[str, int] = field(default_factory=dict)
    """Sizes in the list of files that are not the true ones."""
    sent: list[tuple[str, int]] = field(default_factory=list)
    """(file, first byte) of every answer."""
    revisions: list[str] = field(default_factory=list)
    tokens_elsewhere: list[str] = field(default_factory=list)
    """Tokens that reached the host to which large files are redirected."""

    def names(self) -> list[str]:
        """Files that were sent, in order."""
        return [name for name, _ in self.sent]

    def of(self, repository: str) -> Files:
        """The files of a repository."""
        return self.repositories.get(repository, {}) if self.repositories else self.files

    def commit(self, repository: str) -> str:
        """The only commit of a repository."""
        return self.commits.get(repository, COMMIT)

    @staticmethod
    def sha256(content: Content) -> str:
        """The digest of a file."""
        if isinstance(content, FileOnDisk):
            return content.sha256
        return hashlib.sha256(content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, hub: FakeHub, *request: Any) -> None:
        self.hub = hub
        super().__init__(*request)

    def log_message(self, *_: object) -> None:
        return

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        path = unquote(self.path.partition("?")[0])
        if path.startswith("/api/models/"):
            repository, _, revision = path.removeprefix("/api/models/").partition("/revision/")
            self.hub.revisions.append(revision)
            return self.info(repository)
        if path.startswith("/elsewhere/"):
            if token := self.headers.get("Authorization"):
                self.hub.tokens_elsewhere.append(token)
            repository, _, name = path.removeprefix("/elsewhere/").partition("/resolve/")
            return self.file(name, self.hub.of(repository)[name], body)
        if path.startswith("/file/"):
            name = path.removeprefix("/file/")
            content = self.hub.others.get(name) or self.hub.files.get(name)
            return self.empty(404) if content is None else self.file(name, content, body)
        repository, _, rest = path[1:].partition("/resolve/")
        commit, _, name = rest.partition("/")
        files = self.hub.of(repository)
        if commit != self.hub.commit(repository) or name not in files:
            return self.empty(404, {"X-Error-Code": "EntryNotFound"})
        if self.hub.token and (status := self.refused()):
            return self.empty(status, {"X-Error-Code": "GatedRepo"})
        if name.endswith(_TEXTS):
            return self.file(name, files[name], body)
        place = f"http://localhost:{self.hub.port}/elsewhere/{repository}/resolve/{name}"
        return self.empty(302, {"Location": place})

    def refused(self) -> int:
        given = self.headers.get("Authorization")
        if given == f"Bearer {self.hub.token}":
            return 0
        return 403 if given else 401

    def empty(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def info(self, repository: str) -> None:
        files = self.hub.of(repository)
        if not files and self.hub.repositories:
            return self.empty(404, {"X-Error-Code": "RepoNotFound"})
        siblings = [self.sibling(name, content) for name, content in files.items()]
        gated = "auto" if self.hub.token else False
        commit = self.hub.commit(repository)
        body = {"id": repository, "sha": commit, "gated": gated, "siblings": siblings}
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
        return None

    def sibling(self, name: str, content: Content) -> dict[str, Any]:
        size = self.hub.announced.get(name, size_of(content))
        found: dict[str, Any] = {"rfilename": name, "size": size}
        if name.endswith(_TEXTS):
            assert isinstance(content, bytes), f"{name}: small files are held in memory"
            data = content
            found["blobId"] = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            return found
        sha256 = self.hub.sha256(content)
        found["blobId"] = hashlib.sha1(sha256.encode()).hexdigest()  # of the pointer, not the file
        found["lfs"] = {"sha256": sha256, "size": size, "pointerSize": 134}
        return found

    def file(self, name: str, content: Content, body: bool) -> None:
        etag, size = self.hub.sha256(content), size_of(content)
        if name in self.hub.altered:
            content = bytes(size)
        start = int((self.headers.get("Range") or "bytes=0-")[6:].partition("-")[0] or 0)
        if start >= size > 0:
            return self.empty(416, {"Content-Range": f"bytes */{size}"})
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(size - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.send_header("ETag", f'"{etag}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if body:
            self.hub.sent.append((name, start))
            self.body(name, content, start, size)
        return None

    def body(self, name: str, content: Content, start: int, size: int) -> None:
        if name in self.hub.break_off:
            self.hub.break_off.discard(name)
            self.write(content, start, size // 2)
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)  # close() waits for the streams on it
            self.close_connection = True
            return
        if stop := self.hub.hold.pop(name, 0):
            self.write(content, start, stop)
            self.wfile.flush()
            self.hub.go_on.wait(self.hub.patience)
            start = stop
        self.write(content, start, size)

    def write(self, content: Content, start: int, stop: int) -> None:
        """The bytes from `start` to `stop`, a block at a time."""
        if isinstance(content, bytes):
            self.wfile.write(content[start:stop])
            return
        with content.path.open("rb") as handle:
            handle.seek(start)
            while start < stop and (block := handle.read(min(_BLOCK, stop - start))):
                self.wfile.write(block)
                start += len(block)
        if self.hub.spend and stop == content.size:
            content.path.unlink(missing_ok=True)


def size_of(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.size


@contextmanager
def fake_hub(files: dict[str, bytes]) -> Iterator[FakeHub]:
    hub = FakeHub(files)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, hub))
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients hang up
    hub.port = server.server_port
    hub.url = f"http://127.0.0.1:{hub.port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()
