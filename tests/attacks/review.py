"""A studio under attack: clients of every kind, and what must stay as it was."""

import json
import secrets
import socket
from dataclasses import dataclass
from typing import Any

import httpx
import psutil

from pipelines.schema.keys import ObjectKey
from pipelines.schema.names import DRAFT_STORYBOARD, PRODUCE_CONTENT, RENDER_VIDEO
from tests.support.studio import Studio, wait_for

SCOPES = ("read", "make", "approve", "manage")


@dataclass
class Target:
    """A studio that runs, as somebody sees it who wants something of it."""

    studio: Studio

    @property
    def port(self) -> int:
        return int(self.studio.cli.env["REELWRIGHT_STUDIO_GATEWAY_PORT"])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def key(self, *scopes: str) -> str:
        """A new API key."""
        options = [word for scope in scopes for word in ("--scope", scope)]
        made = self.studio.cli("keys", "add", f"attacker {secrets.token_hex(4)}", *options)
        assert made.code == 0, made.err
        return made.out.strip()

    def client(self, *scopes: str) -> httpx.Client:
        """With a key for `scopes`; without any, nobody's."""
        headers = {"Authorization": f"Bearer {self.key(*scopes)}"} if scopes else {}
        return httpx.Client(base_url=self.url, timeout=120, headers=headers)

    @property
    def gateway(self) -> psutil.Process:
        return psutil.Process(self.studio.pid_of("gateway"))

    def memory(self) -> int:
        """Bytes that the gateway holds."""
        return int(self.gateway.memory_info().rss)

    def runs(self) -> int:
        """How many runs there are that make something; the calendar's own come by the minute."""
        only = {"flows": {"name": {"any_": [PRODUCE_CONTENT, RENDER_VIDEO, DRAFT_STORYBOARD]}}}
        with self.studio.client() as client:
            return int(client._client.post("/flow_runs/count", json=only).json())

    def uploads(self) -> set[str]:
        return {str(key) for key in self.studio.store.list_keys("uploads/")}

    def answers(self) -> bool:
        """Whether it serves everybody else."""
        return httpx.get(f"{self.url}/health", timeout=60).status_code == 200

    def waiting_run(self, client: httpx.Client) -> str:
        """A run that asks a person and so stays as it is."""
        words = f"a red ball moves right {secrets.token_hex(4)}"
        started = client.post("/briefs", json={"prompt": words, "approval": "storyboard"})
        assert started.status_code == 202, started.text
        run = str(started.json()["id"])
        wait_for(
            "the question",
            lambda: client.get(f"/runs/{run}").json()["state"] == "awaiting_approval",
        )
        return run

    def raw(self, data: bytes, patience: float = 30.0) -> bytes:
        """What is answered to bytes that no client would send; empty if it is cut off."""
        with socket.create_connection(("127.0.0.1", self.port), patience) as connection:
            answer = b""
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                while block := connection.recv(65_536):
                    answer += block
            except (TimeoutError, ConnectionError):
                pass
            return answer


def status_of(answer: bytes) -> int:
    """Of a raw response; 0 if there was none."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """(method, path, description) of an OpenAPI document."""
    return [
        (method.upper(), path, values)
        for path, methods in document["paths"].items()
        for method, values in methods.items()
        if method in ("get", "put", "post", "delete", "patch", "head")
    ]


def published(studio: Studio, words: str) -> list[ObjectKey]:
    """Manifests of the videos of a prompt."""
    return [
        ObjectKey.manifest(item.content_id)
        for item in studio.manifests()
        if item.brief.prompt == words
    ]


def nested(depth: int) -> bytes:
    """JSON that is deeper than any stack."""
    return b'{"prompt":' + b"[" * depth + b"]" * depth + b"}"


def body_of(values: Any) -> bytes:
    return json.dumps(values).encode()
