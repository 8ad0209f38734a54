"""Webhooks in: one signed delivery is one run. Webhooks out: told until they are heard."""

import asyncio
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
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook

from infra.apps.gateway.hooks import Endpoint, read_hooks
from infra.apps.gateway.outbox import allowed_address
from pipelines.errors import SettingsError
from tests.conftest import Cli
from tests.gateway import Gateway, brief, gateway
from tests.studio import wait_for

pytestmark = pytest.mark.xdist_group("gateway")
SECRET = "whsec_" + b64encode(b"a secret of this test, 32 bytes.").decode()
PAYLOAD = {
    "type": "product.created",
    "product": {"title": "a red ball", "seconds": 2, "tags": ["spring"]},
}
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


@pytest.fixture(scope="module")
def asked(deployed: Cli, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with hooked(deployed, tmp_path_factory.mktemp("hooks"), []) as found:
        yield found


@pytest.fixture
def sender(asked: Gateway) -> Iterator[Sender]:
    with asked.client() as client:
        yield Sender(client)


def test_a_signed_delivery_becomes_the_declared_brief(asked: Gateway, sender: Sender) -> None:
    answer = sender.send()
    assert answer.status_code == 202, answer.text
    run = asked.run_of(answer.json()["run"])
    found = run.parameters["brief"]
    assert found["prompt"] == "a red ball moves right"
    assert (found["seconds"], found["campaign"], found["style"]) == (2.0, "spring", "{calm}")
    assert "webhook:shop" in run.tags


def test_fifty_repeats_at_once_are_one_run(asked: Gateway, sender: Sender) -> None:
    body = json.dumps(PAYLOAD)
    headers = sender.headers(body, "delivery-50")

    async def together() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=asked.url, timeout=120) as client:
            requests = [
                client.post("/hooks/shop", content=body, headers=headers) for _ in range(50)
            ]
            return await asyncio.gather(*requests)

    before = len(asked.runs())
    answers = asyncio.run(together())
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["run"] for answer in answers}) == 1
    assert len(asked.runs()) == before + 1


def test_nothing_unsigned_starts_a_run(asked: Gateway, sender: Sender) -> None:
    before = len(asked.runs())
    body, good = json.dumps(PAYLOAD), sender.headers(json.dumps(PAYLOAD), "d")
    old = sender.headers(body, "old", datetime.now(UTC) - timedelta(minutes=6))
    early = sender.headers(body, "early", datetime.now(UTC) + timedelta(minutes=6))
    attempts = {
        "missing": {},
        "wrong": good | {"webhook-signature": "v1,AAAA"},
        "garbled": good | {"webhook-signature": "\u00ff v1 ,,"},
        "of another id": good | {"webhook-id": "other"},
        "of another time": good | {"webhook-timestamp": "1"},
        "no number": good | {"webhook-timestamp": "soon"},
        "stale": old,
        "from the future": early,
    }
    for name, headers in attempts.items():
        encoded = {key: value.encode("latin-1") for key, value in headers.items()}
        answer = sender.client.post("/hooks/shop", content=body, headers=encoded)
        assert answer.status_code == 401, name
    altered = sender.client.post("/hooks/shop", content=body + " ", headers=good)
    assert altered.status_code == 401
    assert len(asked.runs()) == before


def test_a_github_signature_is_good_for_one_delivery(asked: Gateway, sender: Sender) -> None:
    body = json.dumps(PAYLOAD | {"n": secrets.token_hex(4)}).encode()
    first = sender.github(body, "delivery-1")
    assert first.status_code == 202, first.text
    assert sender.github(body, "delivery-1").json()["run"] == first.json()["run"]
    before = len(asked.runs())
    assert sender.github(body, "delivery-2").status_code == 401
    wrong = sender.client.post(
        "/hooks/forge", content=body, headers={"X-Hub-Signature-256": "sha256=00"}
    )
    assert wrong.status_code == 401
    assert len(asked.runs()) == before
    assert "not asked for" in sender.github(body + b" ", "delivery-3", "push").json()["status"]


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({"type": "product.created"}, "'product' is a required property"),
        ({"type": "product.created", "product": {"title": 7}}, "product/title"),
        ({"type": "product.created", "product": {"title": "x", "seconds": 0}}, "seconds 0"),
        ({"type": "product.created", "product": {"title": "x", "seconds": "long"}}, "seconds"),
    ],
)
def test_a_payload_that_is_no_brief_says_why(
    asked: Gateway, sender: Sender, payload: Any, words: str
) -> None:
    before = len(asked.runs())
    answer = sender.send(payload)
    assert answer.status_code == 422
    assert words in answer.json()["error"]["message"]
    assert len(asked.runs()) == before


def test_other_events_unknown_senders_and_nonsense(sender: Sender) -> None:
    assert "not asked for" in sender.send({"type": "product.deleted"}).json()["status"]
    assert Sender(sender.client, "nobody").send().status_code == 404
    headers = sender.headers("{", "nonsense")
    assert sender.client.post("/hooks/shop", content="{", headers=headers).status_code == 400


def test_a_source_has_limits_of_its_own(sender: Sender) -> None:
    slow = Sender(sender.client, "slow")
    assert slow.send({"pad": "x" * 2000}).status_code == 413
    codes = [slow.send().status_code for _ in range(4)]
    assert codes == [202, 202, 429, 429]


def mutations() -> st.SearchStrategy[Any]:
    leaf = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    tree = st.recursive(leaf, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
    product = st.fixed_dictionaries(
        {}, optional={"title": tree, "seconds": tree, "tags": tree, "extra": tree}
    )
    return tree | st.fixed_dictionaries({"type": st.just("product.created"), "product": product})


def fuzz(asked: Gateway, sender: Sender, count: int) -> None:
    """Signed, but not by somebody who reads documentation."""
    memory = psutil.Process(asked.process.pid)
    sender.send()
    before, grown = len(asked.runs()), memory.memory_info().rss
    accepted = set()

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(mutations())
    def one(payload: Any) -> None:
        answer = sender.send(payload)
        assert answer.status_code in (202, 422), answer.text
        if answer.status_code == 202 and answer.json()["run"]:
            assert isinstance(payload["product"]["title"], str)
            accepted.add(answer.json()["run"])

    one()
    assert len(asked.runs()) == before + len(accepted)
    assert memory.memory_info().rss - grown < 40e6


def test_mutated_payloads_break_nothing(asked: Gateway, sender: Sender) -> None:
    fuzz(asked, sender, 300)


@pytest.mark.slow
def test_ten_thousand_mutated_payloads_break_nothing(asked: Gateway, sender: Sender) -> None:
    fuzz(asked, sender, 10_000)


def test_hooks_try_shows_the_brief_and_starts_nothing(asked: Gateway, tmp_path: Path) -> None:
    file = tmp_path / "payload.json"
    file.write_text(json.dumps(PAYLOAD))
    before = len(asked.runs())
    shown = asked.cli("hooks", "try", "shop", str(file))
    assert json.loads(shown.out)["prompt"] == "a red ball moves right"
    file.write_text(json.dumps({"product": {}}))
    refused = asked.cli("hooks", "try", "shop", str(file))
    assert refused.code == 2
    assert "'title' is a required property" in refused.err
    assert len(asked.runs()) == before


BROKEN = {
    "secret in the file": ({"secret": "hunter2"}, "must be env:NAME"),
    "scheme": ({"scheme": "plain"}, "scheme"),
    "jmespath": ({"brief": {"prompt": "{a..b}"}}, "no JMESPath"),
    "brace": ({"brief": {"prompt": "{a"}}, "not closed"),
    "schema": ({"schema": {"type": "flower"}}, "schema"),
}


@pytest.mark.parametrize(("change", "words"), BROKEN.values(), ids=BROKEN)
def test_a_broken_source_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], words: str
) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    source = {"name": "shop", "scheme": "standard", "secret": "env:HOOK_SECRET", "brief": BRIEF}
    file = tmp_path / "hooks.yaml"
    file.write_text(yaml.safe_dump({"sources": [source | change]}))
    with pytest.raises(SettingsError, match="sources shop") as caught:
        read_hooks(file)
    assert words in str(caught.value)


# Out ------------------------------------------------------------------------------------------


def endpoint(url: str, **values: Any) -> dict[str, Any]:
    return {"name": "cms", "url": url, "secret": "env:HOOK_SECRET"} | values


def test_events_are_signed_told_again_and_keep_their_ids(deployed: Cli, tmp_path: Path) -> None:
    receiver = Receiver(refusals=1)
    try:
        there = endpoint(receiver.url, networks=["127.0.0.0/8"])
        with hooked(deployed, tmp_path, [there]) as found, found.client() as client:
            run = client.post("/briefs", json=brief()).json()["id"]
            first, event = receiver.next()
            assert (event["type"], event["data"]["id"]) == ("run.accepted", run)
            second, again = receiver.next()
            assert second["webhook-id"] == first["webhook-id"]
            assert again == event
            client.delete(f"/runs/{run}")
            _, ended = receiver.next()
            assert (ended["type"], ended["data"]["state"]) == ("run.failed", "cancelled")
        with hooked(deployed, tmp_path, [there]) as found, found.client() as client:
            other = client.post("/briefs", json=brief()).json()["id"]
            _, event = receiver.next()  # and nothing of the old one after a restart
            assert event["data"]["id"] == other
    finally:
        receiver.close()


def test_an_event_that_nobody_takes_is_kept_among_the_dead(deployed: Cli, tmp_path: Path) -> None:
    receiver = Receiver()
    receiver.close()
    there = endpoint(receiver.url, networks=["127.0.0.0/8"], events=["accepted"])
    with hooked(deployed, tmp_path, [there]) as found, found.client() as client:
        client.post("/briefs", json=brief())
        database = tmp_path / "gateway" / "gateway.db"

        def change(statement: str) -> list[Any]:
            import sqlite3

            with sqlite3.connect(database, timeout=30) as connection:
                return connection.execute(statement).fetchall()

        wait_for("an attempt", lambda: change("select id from events where tries > 0"))
        change("update events set tries = 11, due = 0")
        wait_for("its end", lambda: change("select id from events where state = 'dead'"))
        (line,) = found.cli("hooks", "dead").out.splitlines()
        assert "cms" in line
        assert "ConnectError" in line
        assert found.cli("hooks", "retry", line.split()[0]).code == 0
        assert found.cli("hooks", "dead").out == ""
        assert found.cli("hooks", "retry", "evt_0").code == 2


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://localhost:4200/api",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data",
        "http://192.168.1.1/",
        "http://0.0.0.0/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://100.64.0.1/",
        "http://224.0.0.1/",
        "http://[fe80::1]/",
        "http://[fd00::1]/",
    ],
)
def test_no_request_goes_where_the_operator_did_not_allow(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    there = Endpoint(name="x", url=url, secret="env:HOOK_SECRET")
    with pytest.raises((ValueError, OSError)):
        allowed_address(there)


@pytest.mark.parametrize(
    "url", ["ftp://a.example/", "http://user@a.example/", "file:///etc/passwd"]
)
def test_an_address_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    with pytest.raises(ValueError, match="url"):
        Endpoint(name="x", url=url, secret="env:HOOK_SECRET")


def test_public_and_named_networks_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    public = Endpoint(name="x", url="http://93.184.216.34/", secret="env:HOOK_SECRET")
    assert allowed_address(public) == "93.184.216.34"
    own = public.model_copy(update={"url": "http://10.1.2.3/", "networks": ("10.1.0.0/16",)})
    assert allowed_address(own) == "10.1.2.3"
