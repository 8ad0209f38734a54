"""Webhooks in: one signed delivery is one run."""

import asyncio
import json
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from infra.apps.gateway.database import opened
from infra.apps.gateway.hooks import read_hooks
from pipelines.errors import SettingsError
from tests.conftest import Cli
from tests.support.gateway import Gateway
from tests.support.hooks import BRIEF, PAYLOAD, SECRET, Sender, hooked

pytestmark = pytest.mark.xdist_group("gateway")


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
    with opened(asked.cli.data) as database:  # a month later its run may be gone from Prefect
        database.run("update deliveries set seen = seen - ?", (31 * 24 * 3600,))
    late = sender.github(body, "delivery-1")
    assert late.status_code == 401
    assert "30 days" in late.json()["error"]["message"]
    assert len(asked.runs()) == before


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
    file.write_text(json.dumps({"type": "product.created", "product": {}}))
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
