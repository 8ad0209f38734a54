"""People log in to a real gateway, by a password or by the operator's proxy, and leave a record."""

import json
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from infra.apps.cli import app
from infra.apps.gateway import keys, sessions, users
from infra.apps.gateway.database import opened
from pipelines.errors import BriefError
from tests.conftest import Cli
from tests.support.gateway import Gateway, brief, gateway
from tests.support.studio import wait_for

pytestmark = pytest.mark.xdist_group("gateway")
TOKEN, SECRET = secrets.token_urlsafe(32), secrets.token_hex(32)
WORDS = "ladder orbit velvet trout"
ANN = {"X-Forwarded-User": "ann", "X-Reelwright-Proxy": SECRET}


@pytest.fixture(scope="module")
def asked(deployed: Cli, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One with single sign-on beside passwords."""
    env = {
        "REELWRIGHT_GATEWAY_TRUST_LOCAL": "false",
        "REELWRIGHT_GATEWAY_TOKEN": TOKEN,
        "REELWRIGHT_GATEWAY_PROXY_HEADER": "X-Forwarded-User",
        "REELWRIGHT_GATEWAY_PROXY_ADDRESS": "127.0.0.1",
        "REELWRIGHT_GATEWAY_PROXY_SECRET": SECRET,
    }
    with gateway(deployed, tmp_path_factory.mktemp("login"), **env) as found:
        with opened(Path(found.cli.env["REELWRIGHT_DATA_DIR"])) as database:
            users.add(database, "ann", ["editor"], WORDS)
            users.add(database, "ada", ["approver"])
            users.add(database, "ทีมวิดีโอ", ["editor"])
        yield found


@pytest.fixture
def operator(asked: Gateway) -> Iterator[httpx.Client]:
    with asked.client(Authorization=f"Bearer {TOKEN}") as client:
        yield client


def log(operator: httpx.Client, **filters: str) -> list[tuple[str, str, str]]:
    found = operator.get("/api/v1/audit", params=filters).raise_for_status().json()
    return [(entry["who"], entry["action"], entry["detail"]) for entry in found]


@contextmanager
def logged_in(asked: Gateway, name: str = "ann", password: str = WORDS) -> Iterator[httpx.Client]:
    with asked.client() as browser:
        answer = browser.post("/login", data={"name": name, "password": password, "to": "/new"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/new"), answer.text
        yield browser


def command(asked: Gateway, *words: str) -> str:
    """What a command prints, run in this process with the gateway's data directory."""
    folder = {"REELWRIGHT_DATA_DIR": asked.cli.env["REELWRIGHT_DATA_DIR"]}
    done = CliRunner().invoke(app, words, env=folder, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


# Passwords ------------------------------------------------------------------------------------


def test_a_user_logs_in_works_and_logs_out(asked: Gateway, operator: httpx.Client) -> None:
    with logged_in(asked) as browser:
        assert browser.get("/api/v1/me").json() == {
            "name": "ann",
            "scopes": ["approve", "make", "read"],
        }
        assert "logged in as ann" in browser.get("/login").text
        run = browser.post("/briefs", json=brief()).json()["id"]
        assert "client:ann" in asked.run_of(run).tags
        assert browser.delete(f"/videos/{'0' * 64}.mp4").status_code == 404
        assert browser.get("/api/v1/audit").status_code == 403
        foreign = browser.post("/logout", headers={"Origin": "https://evil.example"})
        assert foreign.status_code == 403
        token = browser.cookies["reelwright_session"]
        assert browser.post("/logout").headers["location"] == "/login"
        assert (
            browser.get("/runs", headers={"Cookie": f"reelwright_session={token}"}).status_code
            == 401
        )
    mine = log(operator, who="ann", action="session")
    assert mine[:2] == [
        ("ann", "session.ended", "logged out"),
        ("ann", "session.begun", "password"),
    ]


def test_a_wrong_password_is_refused_in_the_same_words_for_every_name(asked: Gateway) -> None:
    texts = set()
    with asked.client() as browser:
        for name, password in [("ann", "wrong wrong wrong"), ("nobody-here", WORDS), ("ada", "")]:
            answer = browser.post("/login", data={"name": name, "password": password})
            assert answer.status_code == 401
            assert not answer.cookies
            texts.add(answer.text)
        foreign = {"Origin": "https://evil.example"}
        answer = browser.post("/login", data={"name": "ann", "password": WORDS}, headers=foreign)
        assert answer.status_code == 403
    assert len(texts) == 1


def test_guessing_is_stopped_and_stands_in_the_log(asked: Gateway, operator: httpx.Client) -> None:
    def guess(_: int) -> httpx.Response:
        with asked.client() as browser:
            return browser.post("/login", data={"name": "victim", "password": "x"})

    with ThreadPoolExecutor(16) as pool:  # at once: what comes slowly is no guessing
        answers = list(pool.map(guess, range(16)))
    stopped = [answer for answer in answers if answer.status_code == 429]
    assert stopped
    assert all(int(answer.headers["retry-after"]) > 0 for answer in stopped)
    with logged_in(asked):
        pass  # others go on
    assert ("", "session.refused", "a wrong password for 'victim'") in log(operator)


def test_a_link_logs_in_as_a_user_and_ending_the_session_shuts_the_browser_out(
    asked: Gateway,
) -> None:
    link = (
        f"{asked.url}/login?" + command(asked, "login", "--user", "ada").strip().partition("?")[2]
    )
    with asked.client() as browser:
        assert browser.get(link).status_code == 303
        assert browser.get("/api/v1/me").json()["name"] == "ada"
        (line,) = [x for x in command(asked, "sessions", "list").splitlines() if " ada " in x]
        assert "link" in line
        assert command(asked, "sessions", "end", line.split()[0]) == "1 session ended\n"
        assert browser.get("/api/v1/me").status_code == 401
    with pytest.raises(BriefError, match="there is no session"):
        command(asked, "sessions", "end", line.split()[0])
    with pytest.raises(BriefError, match="there is no user"):
        command(asked, "login", "--user", "nobody-here")


# Keys of users --------------------------------------------------------------------------------


def test_a_key_of_a_user_acts_as_that_user_and_starts_no_session(asked: Gateway) -> None:
    key = command(asked, "keys", "add", "ann-laptop", "--user", "ann", "--days", "30").strip()
    with logged_in(asked) as browser:
        run = browser.post("/briefs", json=brief()).json()["id"]
        with asked.client(Authorization=f"Bearer {key}") as program:
            assert program.get(f"/runs/{run}").status_code == 200
            assert program.get("/api/v1/me").json()["scopes"] == ["make", "read"]
            refused = program.post("/login", data={"key": key})
            assert refused.status_code == 401
            assert "for programs" in refused.text

    def is_noted() -> bool:
        (line,) = [x for x in command(asked, "keys", "list").splitlines() if "ann-laptop" in x]
        return "last used never" not in line

    wait_for("the last use of the key", is_noted)
    with opened(Path(asked.cli.env["REELWRIGHT_DATA_DIR"])) as database:
        database.run(
            "update keys set expires = '2026-01-02T03:04:05+00:00' where name = 'ann-laptop'"
        )
    with asked.client(Authorization=f"Bearer {key}") as program:
        over = program.get("/runs")
        assert (over.status_code, "expired at 2026-01-02T03:04" in over.text) == (401, True)


# Approvers ------------------------------------------------------------------------------------


def test_an_approver_sees_everybody_s_runs_and_cancels_none(asked: Gateway) -> None:
    with opened(Path(asked.cli.env["REELWRIGHT_DATA_DIR"])) as database:
        cid = users.add(database, "eva", ["editor", "approver"])
        token = sessions.begin(database, cid.client)
    with logged_in(asked) as ann:
        run = ann.post("/briefs", json=brief()).json()["id"]
        ann_videos = ann.get("/runs?limit=100").text
    with asked.client(Cookie=f"reelwright_session={token}") as eva:
        own = eva.post("/briefs", json=brief()).json()["id"]
        assert eva.get(f"/runs/{run}").status_code == 200
        assert own not in ann_videos
        answer = eva.post(f"/runs/{run}/answer", json={"decision": "approve"})
        assert answer.status_code == 409  # it waits for nobody; it is not hidden
        for refused in (eva.delete(f"/runs/{run}"), eva.post(f"/jobs/{run}/cancel")):
            assert (refused.status_code, "manage" in refused.text) == (403, True)
        assert eva.delete(f"/runs/{own}").status_code == 202


# Single sign-on -------------------------------------------------------------------------------


def test_the_proxy_says_who_it_is(asked: Gateway, operator: httpx.Client) -> None:
    with asked.client(**ANN) as browser:
        assert browser.get("/api/v1/me").json()["name"] == "ann"
        assert browser.get("/new").status_code == 200
        run = browser.post("/briefs", json=brief()).json()["id"]
        with logged_in(asked) as other:  # the same person, however they came
            assert other.get(f"/runs/{run}").status_code == 200
    assert ("ann", "run.started", asked.run_of(run).parameters["brief"]["prompt"]) in log(
        operator, subject=run
    )


def test_a_name_in_another_script_is_understood(asked: Gateway) -> None:
    with asked.client() as browser:
        headers = ANN | {"X-Forwarded-User": "ทีมวิดีโอ".encode()}  # type: ignore[dict-item]
        assert browser.get("/api/v1/me", headers=headers).json()["name"] == "ทีมวิดีโอ"


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-User": "ann"},
        {"X-Forwarded-User": "ann", "X-Reelwright-Proxy": "x" * 64},
        {"X-Forwarded-User": "", "X-Reelwright-Proxy": ""},
    ],
    ids=["no secret", "a wrong secret", "an empty one"],
)
def test_a_program_that_is_not_the_proxy_is_nobody(asked: Gateway, headers: dict[str, str]) -> None:
    with asked.client(**headers) as stranger:
        for answer in (stranger.get("/runs"), stranger.post("/briefs", json=brief())):
            assert answer.status_code == 401
            assert "operator's proxy alone" in answer.json()["error"]["message"]


def test_the_secret_from_another_address_opens_nothing(asked: Gateway) -> None:
    elsewhere = httpx.HTTPTransport(local_address="127.0.0.2")
    with httpx.Client(base_url=asked.url, transport=elsewhere, headers=ANN, timeout=60) as stranger:
        assert stranger.get("/runs").status_code == 401


def test_two_names_are_no_name(asked: Gateway) -> None:
    twice = [
        ("X-Forwarded-User", "ann"),
        ("X-Forwarded-User", "ada"),
        ("X-Reelwright-Proxy", SECRET),
    ]
    answer = httpx.get(f"{asked.url}/runs", headers=twice, timeout=60)
    assert answer.status_code == 401
    assert "2 times" in answer.json()["error"]["message"]


def test_whoever_the_proxy_knows_and_the_operator_does_not_is_told_what_to_do(
    asked: Gateway,
) -> None:
    for name, words in (("stranger", "users add"), ("ann", "users enable")):
        if name == "ann":
            command(asked, "users", "disable", "ann")
        with asked.client(**(ANN | {"X-Forwarded-User": name})) as browser:
            for path in ("/runs", "/", "/new"):
                answer = browser.get(path)
                assert (answer.status_code, words in answer.text) == (403, True), path
    command(asked, "users", "enable", "ann")


def test_another_site_changes_and_shows_nothing_through_the_proxy_s_cookie(
    asked: Gateway,
) -> None:
    with asked.client(**ANN) as browser:
        foreign = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
        assert browser.post("/briefs", json=brief(), headers=foreign).status_code == 401
        embedded = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
        assert browser.get("/runs", headers=embedded).status_code == 401


# The log --------------------------------------------------------------------------------------


def test_the_log_is_for_operators_and_goes_on_page_by_page(
    asked: Gateway, operator: httpx.Client
) -> None:
    with logged_in(asked) as ann:
        assert ann.get("/api/v1/audit").status_code == 403
        run = ann.post("/briefs", json=brief()).json()["id"]
        ann.delete(f"/runs/{run}")
    entries = operator.get("/api/v1/audit", params={"subject": run}).json()
    assert [(entry["who"], entry["action"]) for entry in entries] == [
        ("ann", "run.cancelled"),
        ("ann", "run.started"),
    ]
    first = operator.get("/api/v1/audit", params={"limit": 1, "subject": run})
    second = operator.get(first.links["next"]["url"])
    assert [*first.json(), *second.json()] == entries
    assert "next" not in second.links


def test_commands_stand_in_the_log_and_show_it(asked: Gateway) -> None:
    assert command(asked, "users", "add", "kim", "--role", "approver", "--no-password")
    command(asked, "users", "roles", "kim", "--role", "operator")
    command(asked, "keys", "add", "cms-7")
    command(asked, "keys", "revoke", "cms-7")
    lines = command(asked, "audit", "--since", "1d", "--limit", "4").splitlines()
    assert [line.split("(command line)")[1].split() for line in lines] == [
        ["key.revoked", "cms-7"],
        ["key.added", "cms-7", "read", "make"],
        ["user.roles", "kim", "operator"],
        ["user.added", "kim", "approver"],
    ]
    (kim,) = [
        user
        for user in json.loads(command(asked, "users", "list", "--json"))
        if user["name"] == "kim"
    ]
    assert (kim["roles"], kim["password"], kim["disabled"]) == (["operator"], False, None)
    with pytest.raises(BriefError, match="neither a date nor a number of days"):
        command(asked, "audit", "--since", "yesterday")
    with pytest.raises(BriefError, match="--password-file"):
        command(asked, "users", "add", "lee")


def test_a_password_comes_from_a_file(asked: Gateway, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{WORDS} two\n")
    command(asked, "users", "add", "max", "--password-file", str(file))
    with logged_in(asked, "max", f"{WORDS} two"):
        pass
    file.write_text("\n")
    with pytest.raises(BriefError, match="holds no password"):
        command(asked, "users", "password", "max", "--password-file", str(file))


def test_the_operator_s_key_may_still_do_everything(operator: httpx.Client) -> None:
    assert set(operator.get("/api/v1/me").json()["scopes"]) == set(keys.SCOPES)
