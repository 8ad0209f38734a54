"""Who gets in, and where to: keys of another scope, names that lead elsewhere, no password."""

import asyncio
import http.client
import re
import secrets
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import websockets

from tests.attacks.review import SCOPES, Target, operations
from tests.conftest import Cli
from tests.support.studio import start_studio

pytestmark = [pytest.mark.attacks, pytest.mark.xdist_group("attacks"), pytest.mark.timeout(900)]

OPEN = {"/health", "/ready", "/hooks/{source}"}
"""Addresses without a key: the last one wants a signature."""
DELETING = ("manage", "make")
"""Either will do: who makes may delete what is their own."""
RULES = {
    ("POST", "/api/v1/route"): ("read",),
    ("POST", "/briefs/check"): ("read",),
    ("POST", "/runs/{run}/answer"): ("approve",),
    ("GET", "/runs/{run}/storyboard"): ("approve",),
    ("GET", "/videos/{cid}/note"): ("make",),  # it says which links there are
    ("GET", "/videos/{cid}/share"): ("make",),
    ("DELETE", "/videos/{name}"): DELETING,
    ("POST", "/videos/{cid}/trash"): DELETING,
    ("POST", "/videos/{cid}/restore"): DELETING,
    ("GET", "/api/v1/audit"): ("manage",),
    ("GET", "/api/v1/costs"): ("manage",),
    ("POST", "/webhooks/{endpoint}/test"): ("manage",),
}
"""Scopes that do not follow from the method: who reads, reads; who changes, makes."""
NAMES = (
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "../../../../etc/passwd",
    "..\\..\\etc\\passwd",
    "....//....//etc/passwd",
    "%252e%252e%252fetc%252fpasswd",
    "%2fetc%2fpasswd",
    "a%00.mp4",
    "%c0%ae%c0%ae%2fetc%2fpasswd",
    "x" * 5000,
    "%20",
    "*",
)
PAGES = ("/watch/{}", "/jobs/{}", "/stills/{}.png", "/static/{}", "/{}")


@pytest.fixture(scope="module")
def target(operator: Cli) -> Iterator[Target]:
    operator.env["REELWRIGHT_GATEWAY_WRITES_PER_MINUTE"] = "100000"
    studio = start_studio(operator)
    yield Target(studio)
    studio.stop()


@pytest.fixture(scope="module")
def document(target: Target) -> dict[str, Any]:
    return httpx.get(f"{target.url}/openapi.json", timeout=60).json()  # type: ignore[no-any-return]


def filled(path: str, run: str) -> str:
    for name, value in {
        "run": run,
        "video": run,
        "cid": "0" * 64,
        "name": f"{'0' * 64}.mp4",
        "source": "a",
        "endpoint": "a",
    }.items():
        path = path.replace(f"{{{name}}}", value)
    return path


def needed(method: str, path: str) -> tuple[str, ...]:
    return RULES.get((method, path)) or ("read" if method in ("GET", "HEAD") else "make",)


def test_a_key_of_another_scope_opens_nothing(target: Target, document: dict[str, Any]) -> None:
    """Every operation of the document: without a key, with a made-up one, and with a key that has
    every scope but the one. A path that stands in no rule here is tried like its neighbours."""
    run, before = "00000000-0000-4000-8000-000000000000", target.runs()
    wanted = {needed(method, path) for method, path, _ in operations(document)}
    lacking = {
        scopes: target.key(*(other for other in SCOPES if other not in scopes)) for scopes in wanted
    }
    opened = []
    host = {"Host": "videos.example"}  # not this machine's own name, as a proxy hands it on
    for method, path, _ in operations(document):
        if path in OPEN:
            continue
        address = f"{target.url}{filled(path, run)}"
        body = {"json": {}} if method in ("POST", "PUT", "PATCH") else {}
        if path == "/uploads":
            body = {"files": {"file": b"x"}}  # type: ignore[dict-item]
        nobody = httpx.request(method, address, headers=host, timeout=60, **body)  # type: ignore[arg-type]
        assert nobody.status_code == 401, (method, path)
        forged = {"Authorization": f"Bearer rw_{secrets.token_urlsafe(32)}"}
        wrong = httpx.request(method, address, headers=forged, timeout=60, **body)  # type: ignore[arg-type]
        assert wrong.status_code == 401, (method, path)
        other = {"Authorization": f"Bearer {lacking[needed(method, path)]}"}
        found = httpx.request(method, address, headers=other, timeout=60, **body)  # type: ignore[arg-type]
        if found.status_code != 403:
            opened.append((method, path, found.text))
    assert opened == []
    assert target.runs() == before


def test_no_name_in_a_path_leads_elsewhere(target: Target, document: dict[str, Any]) -> None:
    key, before = target.key(*SCOPES), target.uploads()
    paths = [
        (method, re.sub(r"{\w+}", "{}", path))
        for method, path, _ in operations(document)
        if "{" in path
    ]
    assert len(paths) >= 6
    for method, path in [*paths, *(("GET", page) for page in PAGES)]:
        for name in NAMES:
            # As it stands: an ordinary client would tidy the path before it sends it.
            connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=60)
            headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
            connection.request(method, path.format(name), headers=headers)
            answer = connection.getresponse()
            text = answer.read()
            connection.close()
            assert 300 <= answer.status < 500, (method, path, name, answer.status)
            assert b"root:" not in text
            assert b"def " not in text
            where = answer.headers.get("location", "/")
            assert where.startswith(("/", target.url)), where
            assert not where.startswith("//")
    assert target.uploads() == before
    assert target.answers()


@pytest.mark.parametrize(
    "there",
    ["//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil.example", "\n//evil",
     "/%0d%0aSet-Cookie:%20a=b", "javascript:alert(1)", "/\r\nSet-Cookie: a=b", "///evil.example"],
)  # fmt: skip
def test_a_login_leads_nowhere_else(target: Target, there: str) -> None:
    form = {"key": target.key("read"), "to": there}
    answer = httpx.post(f"{target.url}/login", data=form, timeout=60)
    assert answer.status_code == 303, answer.text
    place = httpx.URL(f"{target.url}/").join(answer.headers["location"])
    assert (place.host, place.port) == ("127.0.0.1", target.port)
    assert not answer.headers["location"].startswith(("//", "/\\"))
    assert [item.partition("=")[0] for item in answer.headers.get_list("set-cookie")] == [
        "reelwright_session"
    ]


@pytest.mark.parametrize("path", ["/", "/login", "/new", "/watch/x", "/nothing", "/static/x"])
def test_no_page_can_be_framed_or_run_scripts_of_others(target: Target, path: str) -> None:
    with target.client("read") as client:
        headers = client.get(path, follow_redirects=False).headers
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    policy = headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "access-control-allow-origin" not in headers


def test_prefects_api_wants_its_password_everywhere(target: Target) -> None:
    """Whoever may use it runs code on the workers."""
    variables = target.studio.variables
    url = variables["PREFECT_API_URL"]
    password = tuple(variables["PREFECT_API_AUTH_STRING"].split(":", 1))
    document = httpx.get(f"{url.removesuffix('/api')}/openapi.json", auth=password, timeout=60)
    if document.status_code != 200:
        document = httpx.get(f"{url}/openapi.json", auth=password, timeout=60)
    assert document.status_code == 200
    before, free = target.runs(), set()
    run = "00000000-0000-4000-8000-000000000000"
    tried = 0
    with httpx.Client(timeout=60) as client:
        for method, path, _ in operations(document.json()):
            address = path.removeprefix("/api").replace("{", "").replace("}", "")
            for auth in (None, ("studio", "wrong"), ("", "")):
                answer = client.request(
                    method,
                    f"{url}{address}",
                    auth=auth,
                    json={"id": run} if method != "GET" else None,
                )
                tried += 1
                if answer.status_code != 401:
                    free.add(address)
    assert tried > 300
    assert free <= {"/health", "/ready"}
    assert target.runs() == before


@pytest.mark.parametrize("path", ["/events/in", "/events/out", "/logs/out"])
def test_prefects_sockets_want_it_too(target: Target, path: str) -> None:
    url = target.studio.variables["PREFECT_API_URL"].replace("http:", "ws:")

    async def attack() -> object:
        """What it says after a wrong password, or to an event without one."""
        try:
            async with websockets.connect(f"{url}{path}", subprotocols=["prefect"]) as socket:  # type: ignore[list-item]
                await socket.send('{"type": "auth", "token": "studio:wrong"}')
                return await asyncio.wait_for(socket.recv(), 30)
        except (websockets.exceptions.ConnectionClosed, websockets.exceptions.InvalidStatus) as end:
            return end

    said = asyncio.run(attack())
    assert not isinstance(said, str | bytes) or '"auth_success"' not in str(said)


def test_no_other_origin_may_read_prefects_api(target: Target) -> None:
    url = target.studio.variables["PREFECT_API_URL"]
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = httpx.options(f"{url}/flow_runs/filter", headers=headers, timeout=60)
    assert answer.headers.get("access-control-allow-origin") not in ("*", "https://evil.example")


def test_runs_of_other_flows_are_none_of_the_gateways(target: Target) -> None:
    """The run on the GPU below a brief: it can be neither seen nor answered nor cancelled."""
    with target.client(*SCOPES) as client:
        run = target.waiting_run(client)
        (child,) = target.studio.children(run)  # type: ignore[arg-type]
        for method, path in (
            ("GET", f"/runs/{child.id}"),
            ("GET", f"/runs/{child.id}/events"),
            ("DELETE", f"/runs/{child.id}"),
        ):
            assert client.request(method, path).status_code == 404, path
        answer = client.post(f"/runs/{child.id}/answer", json={"decision": "approve"})
        assert answer.status_code == 404
        assert client.get(f"/runs/{run}").json()["state"] == "awaiting_approval"
        client.delete(f"/runs/{run}")
