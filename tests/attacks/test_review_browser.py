"""Pages of others, and words of others on our pages, in a real Chromium."""

import secrets
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.conftest import Cli
from tests.support.gateway import Gateway, brief, gateway

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.attacks,
    pytest.mark.xdist_group("gateway"),
    pytest.mark.timeout(900),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here"),
]
SCRIPTS = (
    "<script>window.owned=1</script>",
    "<img src=x onerror=window.owned=1>",
    '"><svg onload=window.owned=1>',
    "' onmouseover='window.owned=1' autofocus onfocus='window.owned=1",
    "{{7*7}}${7*7}<b>bold</b>",
    "javascript:window.owned=1",
)


@pytest.fixture(scope="module")
def attacked(deployed: Cli, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(deployed, tmp_path_factory.mktemp("browsed")) as found:
        yield found


@pytest.fixture(scope="module")
def key(attacked: Gateway) -> str:
    scopes = [word for scope in ("read", "make", "approve") for word in ("--scope", scope)]
    return attacked.cli("keys", "add", "editor", *scopes).out.strip()


@pytest.fixture
def page(attacked: Gateway, key: str) -> Iterator[Page]:
    """A browser that is logged in."""
    with sync_playwright() as playwright:
        browser: Browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"]
        )
        page = browser.new_page()
        page.set_default_timeout(120_000)
        page.goto(f"{attacked.url}/login")
        page.locator("input[name=key]").fill(key)
        page.locator("input[name=key]").press("Enter")
        page.wait_for_url(f"{attacked.url}/")
        yield page
        browser.close()


def test_words_of_others_are_words_on_every_page(attacked: Gateway, key: str, page: Page) -> None:
    seen: list[str] = []
    page.on("dialog", lambda dialog: (seen.append(dialog.message), dialog.dismiss()))
    for script in SCRIPTS:
        with attacked.client(Authorization=f"Bearer {key}") as client:
            body = brief(campaign=script[:60]) | {"prompt": f"{script} {secrets.token_hex(4)}"}
            answer = client.post("/briefs", json=body)
            assert answer.status_code == 202, answer.text
        for path in ("/", f"/jobs/{answer.json()['id']}", "/?campaign=" + script):
            page.goto(attacked.url + path)
            assert page.evaluate("window.owned === undefined"), (script, path)
            assert page.locator("main svg, main b, main script").count() == 0, (script, path)
        page.goto(f"{attacked.url}/jobs/{answer.json()['id']}")
        assert script.split("{{")[0] in page.content().replace("&lt;", "<").replace(
            "&gt;", ">"
        ).replace("&#34;", '"').replace("&#39;", "'")
    assert seen == []


class Stranger:
    """Another site: a page that sends forms and requests to the gateway."""

    def __init__(self, html: str) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(html.encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.port = self._server.server_port

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_no_page_of_another_origin_changes_anything(
    attacked: Gateway, key: str, page: Page, host: str
) -> None:
    """From another site, and from another port of the same host, where the cookie does travel."""
    with attacked.client(Authorization=f"Bearer {key}") as client:
        run = client.post("/briefs", json=brief()).json()["id"]
    before = len(attacked.runs())
    form = (
        f'<form method=post target=f action="{attacked.url}/new"><input name=prompt value=owned>'
        f'</form><form method=post target=g action="{attacked.url}/jobs/{run}/cancel"></form>'
        "<iframe name=f></iframe><iframe name=g></iframe><script>"
        "for (const form of document.forms) form.submit();"
        f"Promise.allSettled(['text/plain', 'application/json'].map(type => fetch("
        f"'{attacked.url}/briefs', {{method: 'POST', mode: 'no-cors', credentials: 'include',"
        " headers: {'Content-Type': type}, body: '{\"prompt\": \"owned\"}'}))"
        ").then(() => {{ document.title = 'done'; }});</script>"
    ).replace("{{ document.title = 'done'; }}", "{ document.title = 'done'; }")
    stranger = Stranger(form)
    try:
        page.goto(f"http://{host}:{stranger.port}/")
        page.wait_for_function("document.title === 'done'")
        page.wait_for_load_state("networkidle")
    finally:
        stranger.close()
    assert len(attacked.runs()) == before
    with attacked.client(Authorization=f"Bearer {key}") as client:
        assert client.get(f"/runs/{run}").json()["state"] == "accepted"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_no_page_of_another_origin_reads_or_frames_ours(
    attacked: Gateway, page: Page, host: str, tmp_path: Path
) -> None:
    stranger = Stranger(
        f'<iframe id=f src="{attacked.url}/"></iframe><script>'
        f"fetch('{attacked.url}/runs', {{credentials: 'include'}}).then(a => a.text())"
        ".then(t => { window.read = t; }, () => { window.read = ''; });</script>"
    )
    try:
        page.goto(f"http://{host}:{stranger.port}/")
        page.wait_for_function("window.read !== undefined")
        page.wait_for_load_state("networkidle")
        assert page.evaluate("window.read") == ""
        frame = page.frames[1]
        assert "Reelwright" not in frame.content()
    finally:
        stranger.close()
