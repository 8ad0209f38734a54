"""Webhooks under attack, in both directions; guesses at the login; bombs in the operator's YAML."""

import json
import secrets
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from tests.conftest import Cli, Result
from tests.support.gateway import Gateway, brief, gateway
from tests.support.hooks import BRIEF, PAYLOAD, Receiver, Sender, settings_of
from tests.support.studio import wait_for

pytestmark = [pytest.mark.attacks, pytest.mark.xdist_group("gateway"), pytest.mark.timeout(900)]
OTHER = "whsec_" + "b3RoZXIgc2VjcmV0IG9mIHRoaXMgdGVzdCwgMzIgYnl0ZXMu"


class Redirector:
    """An endpoint that sends us on to another address."""

    def __init__(self, target: str) -> None:
        asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked.append(self.path)
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(307)
                self.send_header("Location", target)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.asked = asked
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def attacked(deployed: Cli, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with two sources, each with a secret of its own."""
    folder = tmp_path_factory.mktemp("attacked")
    env = settings_of(folder, [])
    file = Path(env["REELWRIGHT_GATEWAY_HOOKS"])
    values = yaml.safe_load(file.read_text())
    values["sources"].append(
        {"name": "rival", "scheme": "standard", "secret": "env:RIVAL_SECRET", "brief": BRIEF}
    )
    file.write_text(yaml.safe_dump(values))
    with gateway(deployed, folder, RIVAL_SECRET=OTHER, **env) as found:
        yield found


def test_a_signature_of_one_source_is_worth_nothing_at_another(attacked: Gateway) -> None:
    before = len(attacked.runs())
    body = json.dumps(PAYLOAD)
    with attacked.client() as client:
        sender = Sender(client)
        signed = sender.headers(body, "delivery")
        assert client.post("/hooks/rival", content=body, headers=signed).status_code == 401
        assert client.post("/hooks/nobody", content=body, headers=signed).status_code == 404
    assert len(attacked.runs()) == before


def test_a_recorded_delivery_repeats_nothing(attacked: Gateway) -> None:
    """The same bytes and headers, any number of times, and with a new id: one run."""
    before = len(attacked.runs())
    body = json.dumps(PAYLOAD)
    with attacked.client() as client:
        recorded = Sender(client).headers(body, secrets.token_hex(8))
        answers = [client.post("/hooks/shop", content=body, headers=recorded) for _ in range(20)]
        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.json()["run"] for answer in answers}) == 1
        renamed = recorded | {"webhook-id": "another"}
        assert client.post("/hooks/shop", content=body, headers=renamed).status_code == 401
    assert len(attacked.runs()) == before + 1


def test_a_redirect_leads_us_nowhere(deployed: Cli, tmp_path: Path) -> None:
    """Not even to an address that the operator allows: what was named is what is asked."""
    inside = Receiver()
    redirector = Redirector(inside.url)
    there = {
        "name": "cms",
        "url": redirector.url,
        "secret": "env:HOOK_SECRET",
        "networks": ["127.0.0.0/8"],
    }
    try:
        env = settings_of(tmp_path, [there])
        with gateway(deployed, tmp_path, **env) as found, found.client() as client:
            client.post("/briefs", json=brief())
            wait_for("the redirect", lambda: redirector.asked)
            wait_for("its note", lambda: "307" in _errors(tmp_path))
        assert inside.received.empty()
    finally:
        redirector.close()
        inside.close()


def _errors(folder: Path) -> str:
    with closing(sqlite3.connect(folder / "gateway" / "gateway.db", timeout=30)) as database:
        return str(database.execute("select error from events").fetchall())


def test_the_words_of_a_brief_reach_no_header(deployed: Cli, tmp_path: Path) -> None:
    """Neither of our responses nor of the webhooks that we send."""
    receiver = Receiver()
    words = 'ball", evil: "1 \u2028 Set-Cookie: a=b; <x> %0d%0aX-Evil: 1'
    there = {
        "name": "cms",
        "url": receiver.url,
        "secret": "env:HOOK_SECRET",
        "networks": ["127.0.0.0/8"],
    }
    try:
        env = settings_of(tmp_path, [there])
        with gateway(deployed, tmp_path, **env) as found, found.client() as client:
            body = brief(prompt=words, campaign="a; Set-Cookie: b=c")
            answer = client.post("/briefs", json=body)
            assert answer.status_code == 202, answer.text
            headers, event = receiver.next()
            pages = [client.get("/"), client.get(f"/jobs/{answer.json()['id']}"), answer]
        assert event["data"]["campaign"] == "a; Set-Cookie: b=c"
        for sent in (headers, *(dict(page.headers) for page in pages)):
            assert "evil" not in str(sent).lower()
            assert "x-evil" not in sent
            assert "set-cookie" not in sent
    finally:
        receiver.close()


@pytest.mark.parametrize("name", ["campaign", "prompt", "style"])
def test_a_line_break_in_words_is_refused_or_made_a_space(attacked: Gateway, name: str) -> None:
    with attacked.client() as client:
        body = brief() | {name: f"a{secrets.token_hex(3)}\r\nSet-Cookie: a=b\r\n\r\n<html>"}
        answer = client.post("/briefs", json=body)
    assert answer.status_code in (202, 422)
    assert "set-cookie" not in answer.headers
    if answer.status_code == 202:
        kept = attacked.run_of(answer.json()["id"]).parameters["brief"][name]
        assert "\r" not in kept
        assert "\n" not in kept


def test_guesses_at_the_login_are_slowed_down(deployed: Cli, tmp_path: Path) -> None:
    """Of 256 bits nobody guesses one, but nobody shall make the gateway work for it either."""
    limited = {"REELWRIGHT_GATEWAY_WRITES_PER_MINUTE": "30"}
    with gateway(deployed, tmp_path, **limited) as found, found.client() as client:
        statuses = [
            client.post("/login", data={"key": f"rw_{secrets.token_urlsafe(32)}"}).status_code
            for _ in range(80)
        ]
        assert set(statuses) == {401, 429}
        assert statuses.count(401) < 60
        assert client.get("/health").status_code == 200


LAUGHS = "a0: &a0 [ha,ha,ha,ha,ha,ha,ha,ha,ha]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
YAML_BOMBS = {
    "laughs in a prompt": LAUGHS
    + "WORD: [{name: x, brief: {prompt: *a11}, secret: *a11, cron: *a11}]",
    "laughs as the list": LAUGHS + "WORD: *a11",
    "itself": "WORD: &a [*a]",
    "itself in an entry": "WORD: [&a {name: x, brief: *a}]",
    "100,000 levels": "WORD: " + "[" * 100_000,
    "code": "WORD: [!!python/object/apply:os.system ['touch /tmp/reelwright-owned']]",
    "a wide number": 'WORD: [{name: x, cron: "0 7 * * *", brief: {prompt: "{item:>999999999}"}}]',
}


@pytest.mark.parametrize("text", YAML_BOMBS.values(), ids=YAML_BOMBS)
@pytest.mark.parametrize("kind", ["hooks", "calendar"])
def test_a_bomb_in_yaml_is_a_sentence(bare_cli: Cli, tmp_path: Path, kind: str, text: str) -> None:
    """In 4 GB of addresses and 60 s of the processor, which a check never needs."""
    file = tmp_path / "bomb.yaml"
    file.write_text(text.replace("WORD", "sources" if kind == "hooks" else "entries"))
    bare_cli.env["REELWRIGHT_GATEWAY_HOOKS"] = str(file)
    args = ("hooks", "check") if kind == "hooks" else ("calendar", "check", str(file))
    found = _bounded(bare_cli, *args)
    assert found.code == 1, found.out[:500] + found.err[:500]
    assert "Traceback" not in found.err
    assert "unexpected" not in found.err
    assert len(found.err + found.out) < 5_000
    assert not Path("/tmp/reelwright-owned").exists()


def _bounded(cli: Cli, *args: str) -> Result:
    limits = ["prlimit", f"--as={4 * 2**30}", "--cpu=60", *cli.argv(*args)]
    done = subprocess.run(limits, env=cli.env, capture_output=True, text=True, timeout=300)
    return Result(done.returncode, done.stdout, done.stderr)
