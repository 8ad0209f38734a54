"""Who gets in, and whose runs they reach."""

import secrets
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from infra.apps.gateway import keys
from infra.apps.gateway.database import opened
from pipelines.errors import BriefError
from tests.attacks.sockets import tunnel
from tests.conftest import Cli
from tests.support.gateway import Gateway, brief, gateway
from tests.support.hooks import PAYLOAD, Sender, settings_of
from tests.support.ports import free_ports
from tests.support.studio import wait_for

pytestmark = pytest.mark.xdist_group("gateway")
TOKEN = secrets.token_urlsafe(32)
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin")


@pytest.fixture(scope="module")
def asked(deployed: Cli, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """As `up` starts it: with a token, and without trust."""
    folder = tmp_path_factory.mktemp("access")
    env = settings_of(folder, []) | {
        "REELWRIGHT_GATEWAY_TRUST_LOCAL": "false",
        "REELWRIGHT_GATEWAY_TOKEN": TOKEN,
    }
    with gateway(deployed, folder, **env) as found:
        yield found


@pytest.fixture
def operator(asked: Gateway) -> Iterator[httpx.Client]:
    with asked.client(Authorization=f"Bearer {TOKEN}") as client:
        yield client


def client_of(asked: Gateway, name: str, *scopes: str) -> httpx.Client:
    """A client with a new key of that name, made as `reelwright keys add` makes it."""
    with opened(Path(asked.cli.env["REELWRIGHT_DATA_DIR"])) as database:
        key = keys.add(database, name, list(scopes) or ["read", "make", "approve"])
    return asked.client(Authorization=f"Bearer {key}")


def unique(name: str = "key") -> str:
    return f"{name}-{secrets.token_hex(4)}"


# Trust ----------------------------------------------------------------------------------------


@contextmanager
def nginx(url: str, folder: Path) -> Iterator[str]:
    """As its documentation begins: `proxy_pass`, and not one header."""
    (port,) = free_ports(1)
    (folder / "nginx.conf").write_text(
        "daemon off; error_log error.log; pid pid; events {}\n"
        "http { access_log off; client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f;"
        " uwsgi_temp_path u; scgi_temp_path s;\n"
        f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass {url}; }} }} }}\n"
    )
    assert NGINX is not None
    process = subprocess.Popen([NGINX, "-p", str(folder), "-c", "nginx.conf", "-e", "error.log"])
    try:
        there = f"http://127.0.0.1:{port}"

        def answers() -> bool:
            try:
                return httpx.get(f"{there}/health", timeout=60).is_success
            except httpx.TransportError:
                return False

        wait_for("nginx", answers)
        yield there
    finally:
        process.terminate()
        process.wait(20)


def refuses_strangers(url: str) -> bool:
    """And lets in whoever has the token."""
    for path in ("/runs", "/videos", "/models"):
        assert httpx.get(f"{url}{path}", timeout=60).status_code == 401, path
    assert httpx.post(f"{url}/briefs", json=brief(), timeout=60).status_code == 401
    assert httpx.get(f"{url}/", timeout=60).headers["location"].startswith("/login?to=")
    known = {"Authorization": f"Bearer {TOKEN}"}
    return httpx.get(f"{url}/runs", headers=known, timeout=60).status_code == 200


def test_being_on_this_machine_proves_nothing(asked: Gateway) -> None:
    assert refuses_strangers(asked.url)


def test_nobody_gets_in_through_a_tunnel(asked: Gateway) -> None:
    with tunnel(asked.url) as url:
        assert refuses_strangers(url)


@pytest.mark.skipif(NGINX is None, reason="no nginx here")
def test_nobody_gets_in_through_a_default_nginx(asked: Gateway, tmp_path: Path) -> None:
    with nginx(asked.url, tmp_path) as url:
        assert refuses_strangers(url)


def test_a_stranger_s_body_is_not_read(asked: Gateway) -> None:
    def never() -> Iterator[bytes]:
        yield b"x"
        raise AssertionError("it was read")

    with pytest.raises(AssertionError), asked.client() as client:
        client.post("/uploads", content=never())
    with asked.client() as client:
        large = client.post("/uploads", content=b"x" * 5_000_000)
        assert large.status_code == 401


def test_the_token_may_do_everything(asked: Gateway, operator: httpx.Client) -> None:
    run = operator.post("/briefs", json=brief()).json()["id"]
    assert operator.delete(f"/runs/{run}").status_code == 202
    assert operator.delete(f"/videos/{'0' * 64}.mp4").status_code == 404
    assert {"api", "client:operator", "owner:operator"} <= set(asked.run_of(run).tags)
    assert asked.cli("login", "--token").out.strip() == TOKEN


def test_a_token_that_can_be_guessed_is_refused(deployed: Cli, tmp_path: Path) -> None:
    env = {"REELWRIGHT_DATA_DIR": str(tmp_path), "REELWRIGHT_GATEWAY_TOKEN": "letmein"}
    found = deployed("gateway", **env)
    assert found.code == 1
    assert "7 characters" in found.err
    assert "letmein" not in found.err


def test_a_login_link_works_once_and_leaves_no_token_behind(asked: Gateway) -> None:
    link = httpx.URL(asked.cli("login").out.strip())
    token = link.params["token"]
    database = Path(asked.cli.env["REELWRIGHT_DATA_DIR"]) / "gateway"
    with asked.client() as browser:
        assert browser.head(link).status_code == 405
        looked = browser.get(link, headers={"Sec-Purpose": "prefetch;prerender"})
        assert (looked.status_code, looked.cookies) == (204, httpx.Cookies())
        done = browser.get(link)
        assert (done.status_code, done.headers["location"]) == (303, "/")
        cookie = done.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert TOKEN not in cookie
        assert token not in cookie
        session = browser.cookies["reelwright_session"]
        for file in database.iterdir():
            for secret in (token, session, TOKEN):
                assert secret.encode() not in file.read_bytes(), file
        assert browser.get("/new").status_code == 200
        made = browser.post("/briefs", json=brief())
        assert made.status_code == 202
        foreign = browser.post("/briefs", json=brief(), headers={"Origin": "https://evil.example"})
        assert foreign.status_code == 401
    with asked.client() as other:
        again = other.get(link)
        assert again.status_code == 401
        assert "reelwright login" in again.text


def test_an_old_link_and_an_old_session_are_worth_nothing(asked: Gateway) -> None:
    database = Path(asked.cli.env["REELWRIGHT_DATA_DIR"]) / "gateway" / "gateway.db"
    link = asked.cli("login").out.strip()
    with sqlite3.connect(database, timeout=30) as connection:
        connection.execute("update logins set expires = expires - 901")
    with asked.client() as browser:
        assert browser.get(link).status_code == 401
        assert browser.get(asked.cli("login").out.strip()).status_code == 303
        assert browser.get("/runs").status_code == 200
        with sqlite3.connect(database, timeout=30) as connection:
            connection.execute("update sessions set expires = expires - 7 * 86400 - 1")
        assert browser.get("/runs").status_code == 401


def test_revoking_the_operator_ends_sessions_and_links(asked: Gateway) -> None:
    with asked.client() as browser:
        assert browser.get(asked.cli("login").out.strip()).status_code == 303
        unused = asked.cli("login").out.strip()
        assert asked.cli("keys", "revoke", "operator").code == 0
        assert browser.get("/runs").status_code == 401
        assert browser.get(unused).status_code == 401


def test_a_revoked_key_ends_its_browser_s_session(asked: Gateway) -> None:
    name = unique()
    with opened(Path(asked.cli.env["REELWRIGHT_DATA_DIR"])) as database:
        key = keys.add(database, name, ["read"])
        with asked.client() as browser:
            assert browser.post("/login", data={"key": key}).status_code == 303
            assert key not in str(browser.cookies)
            assert browser.get("/runs").status_code == 200
            keys.revoke(database, name)
            keys.add(database, name, ["read"])
            assert browser.get("/runs").status_code == 401


# Names ----------------------------------------------------------------------------------------

MISTAKABLE = [
    *("operator", "Operator", "OPERATOR ", "ｏｐｅｒａｔｏｒ", "ope-rator", "opérator", "𝐨𝐩𝐞𝐫𝐚𝐭𝐨𝐫"),
    *("this machine", "This Machine", "this-machine", "thismachine", "this\u00a0machine"),
    *(
        "оperator",
        "\u03bfperator",
        "",
        "...",
        "a" * 61,
        "a\nb",
        "a\u200bb",
        "CMS",
        "ｃｍｓ",
        "cms ",
    ),
]


@pytest.mark.parametrize("name", MISTAKABLE, ids=range(len(MISTAKABLE)))
def test_no_key_has_a_name_that_could_be_mistaken(tmp_path: Path, name: str) -> None:
    with opened(tmp_path) as database:
        keys.add(database, "cms", ["read"])
        with pytest.raises(BriefError):
            keys.add(database, name, ["read"])
        assert [record.name for record in keys.listed(database)] == ["cms"]


@pytest.mark.parametrize("name", ["cms-2", "Ann Müller", "Иван", "東京オフィス", "a" * 60])
def test_other_names_can_be_had(tmp_path: Path, name: str) -> None:
    with opened(tmp_path) as database:
        keys.add(database, "cms", ["read"])
        keys.add(database, name, ["read"])
        with pytest.raises(BriefError, match="already"):
            keys.add(database, name, ["read"])


# Owners ---------------------------------------------------------------------------------------


def is_hidden(client: httpx.Client, run: str) -> bool:
    """There is no such run, whatever is tried."""
    yes = {"decision": "approve"}
    answers = [
        client.get(f"/runs/{run}"),
        client.get(f"/runs/{run}/events"),
        client.post(f"/runs/{run}/answer", json=yes),
        client.delete(f"/runs/{run}"),
        client.get(f"/jobs/{run}"),
        client.post(f"/jobs/{run}/answer", data=yes),
        client.post(f"/jobs/{run}/cancel"),
    ]
    assert [answer.status_code for answer in answers] == [404] * len(answers)
    assert run not in client.get("/runs?limit=100").text
    return run not in client.get("/").text


def test_a_key_reaches_its_own_runs_alone(asked: Gateway, operator: httpx.Client) -> None:
    body = brief()
    with client_of(asked, unique()) as ann, client_of(asked, unique()) as bob:
        run = ann.post("/briefs", json=body).json()["id"]
        assert is_hidden(bob, run)
        for client in (ann, operator):
            assert client.get(f"/runs/{run}").json()["prompt"] == body["prompt"]
            assert run in client.get("/runs?limit=100").text
            assert run in client.get(f"/jobs/{run}").text
        answer = ann.post(f"/runs/{run}/answer", json={"decision": "approve"})
        assert answer.status_code == 409  # it is hers, and does not wait
        assert ann.delete(f"/runs/{run}").status_code == 202


def test_who_manages_reaches_everybody_s(asked: Gateway) -> None:
    scopes = ("read", "make", "manage")
    with client_of(asked, unique()) as ann, client_of(asked, unique(), *scopes) as mia:
        run = ann.post("/briefs", json=brief()).json()["id"]
        refused = mia.post(f"/runs/{run}/answer", json={"decision": "approve"})
        assert refused.status_code == 403  # for that it needs `approve` too
        assert mia.delete(f"/runs/{run}").status_code == 202


def test_a_key_of_the_same_name_inherits_nothing(asked: Gateway) -> None:
    name = unique()
    with client_of(asked, name) as first:
        run = first.post("/briefs", json=brief(), headers={"Idempotency-Key": "1"}).json()["id"]
    with opened(Path(asked.cli.env["REELWRIGHT_DATA_DIR"])) as database:
        keys.revoke(database, name)
    with client_of(asked, name) as second:
        assert is_hidden(second, run)
        other = second.post("/briefs", json=brief(), headers={"Idempotency-Key": "1"})
        assert other.status_code == 202


def test_long_names_do_not_collide(asked: Gateway) -> None:
    start = f"{unique():x<57}"
    with client_of(asked, f"{start}aaa") as ann, client_of(asked, f"{start}bbb") as bob:
        run = ann.post("/briefs", json=brief()).json()["id"]
        assert is_hidden(bob, run)


def test_a_brief_brings_no_tags(asked: Gateway) -> None:
    with client_of(asked, unique()) as ann:
        names = {"campaign": "owner:operator", "style": "client:operator"}
        run = ann.post("/briefs", json=brief(**names)).json()["id"]
        tags = asked.run_of(run).tags
        assert not {"owner:operator", "client:operator"} & set(tags)
        for field in ({"tags": ["owner:operator"]}, {"owner": "operator"}):
            assert ann.post("/briefs", json=brief(**field)).status_code == 422


def test_idempotency_keys_are_each_client_s_own(asked: Gateway) -> None:
    key = {"Idempotency-Key": "order 18"}
    with client_of(asked, unique()) as ann, client_of(asked, unique()) as bob:
        hers, his = (
            ann.post("/briefs", json=brief(), headers=key),
            bob.post("/briefs", json=brief(), headers=key),
        )
        assert (hers.status_code, his.status_code) == (202, 202)
        assert hers.json()["id"] != his.json()["id"]


def test_a_webhook_s_run_belongs_to_nobody(asked: Gateway, operator: httpx.Client) -> None:
    with asked.client() as sender, client_of(asked, unique()) as ann:
        run = Sender(sender).send(PAYLOAD).json()["run"].removeprefix("/runs/")
        assert is_hidden(ann, run)
        assert operator.get(f"/runs/{run}").status_code == 200


def test_runs_of_other_flows_are_none(asked: Gateway, operator: httpx.Client) -> None:
    with (
        temporary_settings({PREFECT_API_URL: asked.cli.env["PREFECT_API_URL"]}),
        get_client(sync_client=True) as client,
    ):
        deployment = client.read_deployment_by_name("content-calendar/minutely")
        run = client.create_flow_run_from_deployment(deployment.id, tags=["owner:operator"])
    assert is_hidden(operator, str(run.id))
    state = asked.run_of(str(run.id)).state
    assert state is not None
    assert state.is_scheduled()
