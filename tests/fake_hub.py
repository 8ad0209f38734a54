"""A FAKE of the Hugging Face hub: no machine of ours reaches the real one.

It speaks the part of the protocol that downloading needs, through the real client library:
model info with file metadata, and files with ETag, commit and ranges. It can break off in the
middle of a file, or send other bytes than it announced.
"""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "c0ffee" + "0" * 34


@dataclass
class FakeHub:
    """What the hub holds and how it misbehaves."""

    files: dict[str, bytes]
    url: str = ""
    break_off: set[str] = field(default_factory=set)
    """Files that end halfway, once."""
    altered: set[str] = field(default_factory=set)
    """Files whose bytes are not those announced."""
    sent: list[tuple[str, int]] = field(default_factory=list)
    """(file, first byte) of every answer."""
    revisions: list[str] = field(default_factory=list)


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
        name = path.partition(f"/resolve/{COMMIT}/")[2] or path.removeprefix("/file/")
        if name not in self.hub.files:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        return self.file(name, body)

    def info(self) -> None:
        siblings = [
            {
                "rfilename": name,
                "size": len(data),
                "lfs": {
                    "sha256": hashlib.sha256(data).hexdigest(),
                    "size": len(data),
                    "pointerSize": 100,
                },
            }
            for name, data in self.hub.files.items()
        ]
        text = json.dumps({"id": "x/y", "sha": COMMIT, "siblings": siblings}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def file(self, name: str, body: bool) -> None:
        data = self.hub.files[name]
        etag = hashlib.sha256(data).hexdigest()
        if name in self.hub.altered:
            data = bytes(len(data))
        start = int((self.headers.get("Range") or "bytes=0-")[6:].partition("-")[0] or 0)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("ETag", f'"{etag}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if not body:
            return
        self.hub.sent.append((name, start))
        if name in self.hub.break_off:
            self.hub.break_off.discard(name)
            self.wfile.write(data[start : len(data) // 2])
            self.wfile.flush()
            self.connection.close()
            return
        self.wfile.write(data[start:])


@contextmanager
def fake_hub(files: dict[str, bytes]) -> Iterator[FakeHub]:
    hub = FakeHub(files)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, hub))
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients hang up
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
