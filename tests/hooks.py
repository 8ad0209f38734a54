"""Webhooks under test: a gateway that takes and sends them, and somebody else's endpoint."""

import queue
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml
from standardwebhooks import Webhook

from tests.conftest import Cli
from tests.gateway import Gateway, gateway

SECRET = "whsec_" + b64encode(b"a secret of this test, 32 bytes.").decode()
SCHEMA = {
    "type": "object",
    "required": ["product"],
    "properties": {
        "product": {
            "type": "object",
            "required": ["title"],
            "properties": {"title": {"type": "string"}},
        }
    },
}
BRIEF = {
    "prompt": "{product.title} moves right",
    "seconds": "{product.seconds}",
    "campaign": "{product.tags[0]}",
    "style": "{{calm}}",
}


class Receiver:
    """An endpoint of somebody else; refuses so many requests first."""

    def __init__(self, refusals: int = 0) -> None:
        received: queue.Queue[tuple[dict[str, str], bytes]] = queue.Queue()
        left = refusals

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                nonlocal left
                body = self.rfile.read(int(self.headers["content-length"]))
                received.put(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(500 if left > 0 else 204)
                left -= 1
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.received = received
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def next(self) -> tuple[dict[str, str], dict[str, Any]]:
        """The next event, its signature verified."""
        headers, body = self.received.get(timeout=120)
        return headers, Webhook(SECRET).verify(body, headers)


@contextmanager
def hooked(deployed: Cli, folder: Path, endpoints: list[dict[str, Any]]) -> Iterator[Gateway]:
    """A gateway that takes webhooks and sends them."""
    file = folder / "hooks.yaml"
    common = {"secret": "env:HOOK_SECRET", "brief": BRIEF, "schema": SCHEMA}
    sources = [
        common
        | {
            "name": "shop",
            "scheme": "standard",
            "events": ["product.created"],
            "per_minute": 100000,
        },
        common | {"name": "forge", "scheme": "github", "events": ["release"]},
        common | {"name": "slow", "scheme": "standard", "per_minute": 2, "max_bytes": 1000},
    ]
    file.write_text(yaml.safe_dump({"sources": sources, "endpoints": endpoints}))
    env = {"REELWRIGHT_GATEWAY_HOOKS": str(file), "HOOK_SECRET": SECRET}
    with gateway(deployed, folder, **env) as found:
        yield found
