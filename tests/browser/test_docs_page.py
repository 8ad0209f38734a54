"""The page of the REST API in a real Chromium: complete, under our policy, without a network."""

import shutil
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from playwright.sync_api import ConsoleMessage, Route, sync_playwright

from infra.adapters.settings import Settings
from infra.apps.gateway.app import HEADERS, create_app
from tests.support.ports import free_ports
from tests.support.studio import wait_for

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here"),
]


@pytest.fixture
def url() -> Iterator[str]:
    """A gateway without its state: the page and the document need none."""
    (port,) = free_ports(1)
    config = uvicorn.Config(
        create_app(Settings.load()),
        port=port,
        lifespan="off",
        log_config=None,
        headers=HEADERS,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_for("the server", lambda: server.started)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(60)


def test_the_page_works_under_our_policy_and_asks_no_other_host(url: str) -> None:
    elsewhere: list[str] = []
    said: list[str] = []

    def own_only(route: Route) -> None:
        if not route.request.url.startswith((url, "data:")):
            elsewhere.append(route.request.url)
            route.abort()
            return
        route.continue_()

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            said.append(message.text)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(120_000)
        page.route("**/*", own_only)
        page.on("console", note)
        page.goto(f"{url}/docs")
        page.locator("#operations-Runs-start_briefs_post").click()
        example = page.locator("#operations-Runs-start_briefs_post .body-param__example")
        example.wait_for()
        assert "a red fox trots through snow" in example.inner_text()
        page.locator("#operations-Runs-start_briefs_post .try-out__btn").click()
        page.locator("#operations-Runs-start_briefs_post button.execute").wait_for()
        browser.close()
    assert elsewhere == []
    # Swagger UI's style sheet has icons as `data:` pictures, which the policy does not admit.
    assert [text for text in said if "data:image" not in text] == []
