"""A FAKE of the Hugging Face hub: no machine of ours reaches the real one.

It speaks the part of the documented HTTP API that downloading needs: model info with file
metadata, and files with ETag, commit and ranges. As on the real hub, small texts are served at
once and have a git id; large files have a sha256 and are redirected to another host. A gated
repository lists its files to everybody and serves them to those with the right token. It can
break off or stop in the middle of a file, send other bytes than it announced, or announce files
that are larger than any disk.
"""

import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "c0ffee" + "0" * 34
_TEXTS = (".json", ".md", ".txt")


@dataclass
class FakeHub:
    """What the hub holds and how it misbehaves."""

    files: dict[str, bytes]
    url: str = ""
    port: int = 0
    token: str = ""
    """If it is set, the repository is gated, and this token opens it."""
    break_off: set[str] = field(default_factory=set)
    """Files that end halfway, once."""
    hold: dict[str, int] = field(default_factory=dict)
    """Files that stop after so many bytes until `go_on` is set."""
    go_on: threading.Event = field(default_factory=threading.Event)
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
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/"):
            self.hub.revisions.append(path.rpartition("/")[2])
            return self.info()
        if path.startswith("/elsewhere/"):
            if token := self.headers.get("Authorization"):
                self.hub.tokens_elsewhere.append(token)
            return self.file(path.removeprefix("/elsewhere/"), body)
        name = path.partition(f"/resolve/{COMMIT}/")[2]
        if not name:
            name = path.removeprefix("/file/")
            return self.file(name, body) if name in self.hub.files else self.empty(404)
        if name not in self.hub.files:
            return self.empty(404, {"X-Error-Code": "EntryNotFound"})
        if self.hub.token and (status := self.refused()):
            return self.empty(status, {"X-Error-Code": "GatedRepo"})
        if name.endswith(_TEXTS):
            return self.file(name, body)
        return self.empty(302, {"Location": f"http://localhost:{self.hub.port}/elsewhere/{name}"})

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

    def info(self) -> None:
        siblings = [self.sibling(name, data) for name, data in self.hub.files.items()]
        gated = "auto" if self.hub.token else False
        body = {"id": "x/y", "sha": COMMIT, "gated": gated, "siblings": siblings}
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def sibling(self, name: str, data: bytes) -> dict[str, Any]:
        size = self.hub.announced.get(name, len(data))
        found: dict[str, Any] = {"rfilename": name, "size": size}
        if name.endswith(_TEXTS):
            found["blobId"] = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            return found
        sha256 = hashlib.sha256(data).hexdigest()
        found["blobId"] = hashlib.sha1(sha256.encode()).hexdigest()  # of the pointer, not the file
        found["lfs"] = {"sha256": sha256, "size": size, "pointerSize": 134}
        return found

    def file(self, name: str, body: bool) -> None:
        data = self.hub.files[name]
        etag = hashlib.sha256(data).hexdigest()
        if name in self.hub.altered:
            data = bytes(len(data))
        start = int((self.headers.get("Range") or "bytes=0-")[6:].partition("-")[0] or 0)
        if start >= len(data) > 0:
            return self.empty(416, {"Content-Range": f"bytes */{len(data)}"})
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("ETag", f'"{etag}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if body:
            self.hub.sent.append((name, start))
            self.body(name, data, start)
        return None

    def body(self, name: str, data: bytes, start: int) -> None:
        if name in self.hub.break_off:
            self.hub.break_off.discard(name)
            self.wfile.write(data[start : len(data) // 2])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)  # close() waits for the streams on it
            self.close_connection = True
            return
        if stop := self.hub.hold.pop(name, 0):
            self.wfile.write(data[start:stop])
            self.wfile.flush()
            self.hub.go_on.wait(60)
            start = stop
        self.wfile.write(data[start:])


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
