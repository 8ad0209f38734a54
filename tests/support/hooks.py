"""Webhooks under test: a gateway that takes and sends them, and somebody else's endpoint."""

import hashlib
import hmac
import json
import queue
import secrets
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import yaml
from standardwebhooks import Webhook

from tests.conftest import Cli
from tests.support.gateway import Gateway, gateway

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
PAYLOAD = {
    "type": "product.created",
    "product": {"title": "a red ball", "seconds": 2, "tags": ["spring"]},
}


@dataclass
class Sender:
    """A system that sends us webhooks."""

    client: httpx.Client
    source: str = "shop"
    sent: list[str] = field(default_factory=list)

    def headers(self, body: str, delivery: str, when: datetime | None = None) -> dict[str, str]:
        when = when or datetime.now(UTC)
        return {
            "webhook-id": delivery,
            "webhook-timestamp": str(int(when.timestamp())),
            "webhook-signature": Webhook(SECRET).sign(delivery, when, body),
        }

    def send(self, payload: Any = PAYLOAD, delivery: str = "", **change: str) -> httpx.Response:
        body = json.dumps(payload)
        headers = self.headers(body, delivery or secrets.token_hex(8)) | change
        return self.client.post(f"/hooks/{self.source}", content=body, headers=headers)

    def github(self, body: bytes, delivery: str, event: str = "release") -> httpx.Response:
        signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {
            "X-Hub-Signature-256": f"sha256={signature}",
            "X-GitHub-Delivery": delivery,
            "X-GitHub-Event": event,
        }
        return self.client.post("/hooks/forge", content=body, headers=headers)


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


def settings_of(folder: Path, endpoints: list[dict[str, Any]]) -> dict[str, str]:
    """The environment of a gateway with three sources, and its file in `folder`."""
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
    return {"REELWRIGHT_GATEWAY_HOOKS": str(file), "HOOK_SECRET": SECRET}


@contextmanager
def hooked(deployed: Cli, folder: Path, endpoints: list[dict[str, Any]]) -> Iterator[Gateway]:
    """A gateway that takes webhooks and sends them."""
    with gateway(deployed, folder, **settings_of(folder, endpoints)) as found:
        yield found
