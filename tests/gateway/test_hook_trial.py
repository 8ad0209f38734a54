"""`reelwright hooks try` and the gateway say the same of every delivery."""

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid5

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from infra.adapters.settings import Settings
from infra.apps.gateway import receiving
from infra.apps.gateway.database import Database, opened
from infra.apps.gateway.hooks import Hooks, read_hooks
from infra.apps.gateway.limits import Limits
from infra.apps.gateway.problems import add_handlers
from infra.apps.gateway.state import Gateway
from infra.apps.hook_trial import try_delivery
from pipelines.documents.brief import Brief
from pipelines.errors import BriefError, ReelwrightError, SettingsError
from tests.support.hooks import PAYLOAD, SECRET, settings_of

Said = tuple[str, Any]


@dataclass
class Started:
    """In place of Prefect: what the gateway starts."""

    briefs: list[Brief] = field(default_factory=list)

    async def start(self, brief: Brief, key: str, tags: list[str], *, retry: bool) -> UUID:
        self.briefs.append(brief)
        return uuid5(UUID(int=0), key)


@dataclass
class Both:
    """The gateway's own route, and the command, with the same file of hooks."""

    client: TestClient
    started: Started
    hooks: Hooks
    database: Database
    file: Path
    folder: Path

    def gateway(self, source: str, headers: dict[str, str], body: bytes) -> Said:
        self.started.briefs.clear()
        self.database.run("delete from deliveries")  # what came before changes what a repeat gets
        answer = self.client.post(f"/hooks/{source}", content=body, headers=headers)
        if answer.status_code != 202:
            return "refused", (answer.status_code, answer.json()["error"]["message"])
        if not self.started.briefs:
            return "ignored", answer.json()["status"]
        (brief,) = self.started.briefs
        return "started", brief

    def command(
        self, source: str, body: bytes, event: str | None = None, headers: tuple[str, ...] = ()
    ) -> Said:
        payload = self.folder / "payload.json"
        payload.write_bytes(body)
        try:
            return "started", try_delivery(self.file, source, payload, event, headers)
        except BriefError as error:
            _, _, words = str(error).partition("the gateway would answer ")
            status, _, message = words.partition(": ")
            return "refused", (int(status), message)
        except ReelwrightError as error:
            return "ignored", str(error).removeprefix("nothing would be started: ")

    def compare(self, source: str, body: bytes, event: str | None = None) -> Said:
        """What both say; the sender's headers are made as the command makes them."""
        said = self.command(source, body, event)
        try:
            headers = self.hooks.sources[source].signed(body, event)
        except Exception:  # such a body cannot be signed: whatever a sender sends is refused
            headers = {"webhook-id": "x", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA"}
            assert said[0] == self.gateway(source, headers, body)[0] == "refused"
            return said
        assert said == self.gateway(source, headers, body)
        return said


@pytest.fixture
def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Both]:
    for name, value in settings_of(tmp_path, []).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("REELWRIGHT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("REELWRIGHT_GATEWAY_FREE_MB", "0")
    own = Settings.load()
    (tmp_path / "data").mkdir()
    hooks, started, app = read_hooks(own.gateway.hooks), Started(), FastAPI()
    monkeypatch.setattr("infra.apps.hook_trial.read_hooks", lambda _: hooks)  # read once
    add_handlers(app)
    app.include_router(receiving.router)
    with opened(own.paths.data_dir) as database:
        nothing = cast(Any, None)  # a delivery needs no more of the gateway
        app.state.gateway = Gateway(
            settings=own,
            database=database,
            store=nothing,
            runs=cast(Any, started),
            jobs=nothing,
            videos=nothing,
            limits=Limits(10**9),
            hooks=hooks,
            work=nothing,
            readiness=nothing,
            run_pages=nothing,
            needs=nothing,
            library=nothing,
            line=nothing,
            uses=nothing,
            meters=nothing,
            measures=nothing,
            disks=nothing,
        )
        with TestClient(app) as client:
            assert own.gateway.hooks is not None
            yield Both(client, started, hooks, database, own.gateway.hooks, tmp_path)


def payloads() -> st.SearchStrategy[bytes]:
    """Bodies near those that make a brief, and far from them."""
    leaf = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    tree = st.recursive(
        leaf, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
    )
    letters = st.text("abc é สุ", min_size=1, max_size=9).map(lambda words: f"x{words}x")
    title, tags = letters, st.lists(letters, max_size=2)
    number = st.sampled_from([0, 0.1, 2, "2", 4.5, 601, "long", None])
    good = st.fixed_dictionaries({"title": title, "seconds": st.just(2), "tags": tags})
    strange = st.fixed_dictionaries(
        {}, optional={"title": title | tree, "seconds": number | tree, "tags": tags | tree}
    )
    kinds = st.sampled_from(["product.created"] * 3 + ["product.deleted", "", 7, None])
    near = st.fixed_dictionaries({"type": kinds, "product": good | strange})
    bodies = (near | near | tree).map(lambda value: json.dumps(value).encode())
    return bodies | st.binary(max_size=40)


def test_the_command_and_the_gateway_agree_on_every_body_and_event(both: Both) -> None:
    seen: set[str] = set()

    @settings(
        max_examples=60,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(payloads(), st.sampled_from(["release", "release", None, "push", ""]))
    def one(body: bytes, event: str | None) -> None:
        seen.add(both.compare("shop", body)[0])
        seen.add(both.compare("forge", body + b" " * len(seen), event)[0])

    one()
    assert seen == {"started", "ignored", "refused"}


BODY = json.dumps(PAYLOAD).encode()
CASES: dict[str, tuple[str, bytes, str | None, str, str]] = {
    "a brief": ("shop", BODY, None, "started", ""),
    "another event in the body": (
        *("shop", b'{"type": "product.deleted"}', None, "ignored"),
        "'product.deleted' is not asked for; this source asks for product.created, and `type` in",
    ),
    "no event in the body": ("shop", b"{}", None, "ignored", "the event '' is not asked for"),
    "GitHub's event in a header": ("forge", BODY, "release", "started", ""),
    "another one of GitHub": ("forge", BODY, "push", "ignored", "the header X-GitHub-Event names"),
    "GitHub without an event": ("forge", BODY, None, "ignored", "the event '' is not asked for"),
    "the schema": ("forge", b"{}", "release", "refused", "'product' is a required property"),
    "no JSON": ("shop", b"{", None, "refused", "the body is no JSON"),
    "too large": ("slow", b" " * 1001, None, "refused", "may send 1,000 bytes at most"),
    "a rule of briefs": (
        *("shop", BODY.replace(b'"seconds": 2', b'"seconds": 900'), None, "refused"),
        "seconds 900 is outside 0.25 to 600",
    ),
}


@pytest.mark.parametrize(("source", "body", "event", "what", "words"), CASES.values(), ids=CASES)
def test_both_say_the_same_sentence(
    both: Both, source: str, body: bytes, event: str | None, what: str, words: str
) -> None:
    said, about = both.compare(source, body, event)
    assert said == what
    assert words in str(about)


def test_the_headers_of_a_real_delivery_are_proved(both: Both) -> None:
    signature = hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()
    headers = {
        "X-Hub-Signature-256": f"sha256={signature}",
        "X-GitHub-Delivery": "one",
        "X-GitHub-Event": "release",
    }
    as_given = tuple(f"{name}: {value}" for name, value in headers.items())
    said = both.command("forge", BODY, headers=as_given)
    assert said[0] == "started"
    assert both.gateway("forge", headers, BODY) == said
    other = (BODY + b" ", headers)
    refused = both.command("forge", other[0], headers=as_given)
    assert refused == (
        "refused",
        (401, "the signature is missing or not that of this body; nothing was started"),
    )
    assert both.gateway("forge", headers, other[0]) == refused


def test_options_that_cannot_be_meant_are_refused(both: Both, tmp_path: Path) -> None:
    payload = tmp_path / "payload.json"
    payload.write_bytes(BODY)
    wrong: list[tuple[str, str | None, list[str], str]] = [
        ("nobody", None, [], "there is no source 'nobody'; there are: shop, forge, slow"),
        ("forge", "release", ["X-GitHub-Event: push"], "--event and --header are both given"),
        ("forge", None, ["X-GitHub-Event"], "write 'NAME: VALUE'"),
        ("shop", "release", [], "leave out --event: `type` in the body names the event"),
    ]
    for source, event, headers, words in wrong:
        with pytest.raises(BriefError) as caught:
            try_delivery(both.file, source, payload, event, headers)
        assert words in str(caught.value)


SECRETS: dict[str, tuple[str, str, str]] = {
    "standard": ("standard", SECRET, "standard: a secret of 32 bytes; a delivery signed with it"),
    "a short one": ("standard", "whsec_YWJj", "a secret of 3 bytes, fewer than the 24"),
    "no clean base64": ("standard", "whsec_YW Jj!", "no clean base64"),
    "github": ("github", "s" * 40, "github: a secret of 40 bytes; a delivery signed with it is"),
    "a short one of github": ("github", "hunter2", "7 bytes, fewer than the 24 that are advised"),
}


@pytest.mark.parametrize(("scheme", "secret", "words"), SECRETS.values(), ids=SECRETS)
def test_check_proves_each_secret_by_its_scheme(
    hooks_with: Callable[[str, str], Hooks], scheme: str, secret: str, words: str
) -> None:
    (source,) = hooks_with(scheme, secret).sources.values()
    assert words in source.proof()
    assert secret not in source.proof()


@pytest.mark.parametrize("scheme", ["standard", "github"])
def test_an_empty_secret_signs_nothing(
    hooks_with: Callable[[str, str], Hooks], tmp_path: Path, scheme: str
) -> None:
    with pytest.raises(SettingsError, match="is empty; put the sender's secret there"):
        hooks_with(scheme, "")
    (source,) = hooks_with(scheme, SECRET).sources.values()
    (tmp_path / "secret").write_text("")  # emptied while the gateway runs
    with pytest.raises(SettingsError, match="the secret of this source is empty"):
        source.proof()


@pytest.fixture
def hooks_with(tmp_path: Path) -> Callable[[str, str], Hooks]:
    """A file of hooks with one source."""

    def read(scheme: str, secret: str) -> Hooks:
        (tmp_path / "secret").write_text(secret)
        source = {"name": "shop", "scheme": scheme, "secret": f"file:{tmp_path / 'secret'}"}
        file = tmp_path / "hooks.yaml"
        file.write_text(json.dumps({"sources": [source | {"brief": {"prompt": "x"}}]}))
        return read_hooks(file)

    return read
