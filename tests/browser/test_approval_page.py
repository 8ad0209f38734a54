"""The approval page of a storyboard in a real Chromium, on a phone and on a desktop.

No worker runs: the test does what the flow would do, so that the page is tested without its time.
"""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import StoreSettings
from pipelines.documents.brief import Brief
from pipelines.planning.edits import edited
from tests.browser.test_browser import CHROMIUM
from tests.browser.test_browser import browser as browser
from tests.conftest import Cli
from tests.support.gateway import Gateway, gateway
from tests.support.studio import wait_for
from tests.support.waiting import BALL, answer_of, draft_of, let_it_wait

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("gateway"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here"),
]
PICTURES = os.environ.get("PICTURES")
expect.set_options(timeout=120_000)


@pytest.fixture(scope="module")
def asked(deployed: Cli, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(deployed, tmp_path_factory.mktemp("approval-page")) as found:
        yield found


@pytest.fixture
def store(gateway_store: StoreSettings) -> ObjectStore:
    return ObjectStore(gateway_store)


@pytest.fixture
def brief(asked: Gateway) -> Brief:
    values = {"seconds": 4, "approval": "storyboard", "on_silence": "approve"}
    return Brief.model_validate({"prompt": f"a ball {secrets.token_hex(6)}"} | values)


@pytest.fixture
def run(asked: Gateway, store: ObjectStore, brief: Brief) -> UUID:
    """A run of the brief, which waits for an answer about two shots."""
    with asked.client() as client:
        found = UUID(client.post("/briefs", json=brief.model_dump(mode="json")).json()["id"])
        let_it_wait(asked.cli, store, found)
        # The gateway shows for less than a second what it knew before.
        wait_for("the question", lambda: client.get(f"/runs/{found}").json()["waiting_for"])
    return found


@pytest.fixture(params=[390, 1280])
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    page = browser.new_page(
        viewport={"width": request.param, "height": 2600}, timezone_id="Asia/Bangkok"
    )
    page.set_default_timeout(120_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    assert errors == []
    page.close()


def picture(page: Page, name: str) -> None:
    """For the eye, into the folder that PICTURES names."""
    assert page.viewport_size
    width = page.viewport_size["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}-{width}.png", full_page=True)


def words(page: Page) -> list[str]:
    return [area.input_value() for area in page.locator("ol [name=prompt]").all()]


def drag(page: Page, shot: int, over: int) -> None:
    """Drag a shot by its handle above another one, both counted from 1."""
    handle = page.locator("ol [data-handle]").nth(shot - 1).bounding_box()
    target = page.locator("ol [data-shot]").nth(over - 1).bounding_box()
    assert handle
    assert target
    page.mouse.move(handle["x"] + 8, handle["y"] + 8)
    page.mouse.down()
    page.mouse.move(handle["x"] + 20, handle["y"] - 20, steps=4)
    page.mouse.move(target["x"] + 60, target["y"] + 4, steps=4)
    page.mouse.up()


def test_a_storyboard_is_edited_looked_at_again_and_approved(
    page: Page, asked: Gateway, store: ObjectStore, brief: Brief, run: UUID
) -> None:
    page.goto(f"{asked.url}/jobs/{run}")
    with asked.client() as client:
        by = client.get(f"/runs/{run}").json()["answer_by"]
    local = page.evaluate(
        "by => new Date(by).toLocaleString('en', {dateStyle: 'long', timeStyle: 'short'})", by
    )
    expect(page.get_by_text(f"Answer by {local}")).to_be_visible()  # in Bangkok
    expect(page.get_by_text("Without an answer it is approved")).to_be_visible()
    first, second = words(page)
    # By the keyboard alone: a new shot, its words, and its place.
    page.get_by_role("button", name="Add a shot").press("Enter")
    page.keyboard.type("a green ball flies")
    page.get_by_label("Move shot 3 up").press("Enter")
    expect(page.get_by_label("Move shot 2 up")).to_be_focused()
    assert words(page) == [first, "a green ball flies", second]
    page.locator("ol [name=chunks]").nth(1).select_option("2")
    page.locator("ol [name=size]").nth(0).fill("close-up")
    page.locator("ol [name=wish]").nth(2).fill("at night")
    page.locator("[name=looks]").fill("a blue ball")
    if page.viewport_size == {"width": 1280, "height": 2600}:
        drag(page, 3, 1)
        assert words(page) == [second, first, "a green ball flies"]
        drag(page, 2, 1)
        assert words(page) == [first, second, "a green ball flies"]
        page.get_by_label("Move shot 3 up").click()
    assert words(page) == [first, "a green ball flies", second]
    picture(page, "edited")
    page.get_by_role("button", name="Show me new stills").click()
    expect(page.get_by_text("new stills are made of what changed")).to_be_visible()
    given = answer_of(asked.cli, run)
    assert given.decision == "revise"
    brief = edited(brief, draft_of(brief, store), given.shots, given.sheet)
    assert let_it_wait(asked.cli, store, run, "storyboard-round-2", brief).shots[1].chunks == 2
    expect(page.get_by_role("heading", name="The storyboard (draft 2)")).to_be_visible()
    assert words(page) == [
        first.replace("Wide shot", "Close-up").replace(BALL, "a blue ball"),
        "a green ball flies",
        second.replace(BALL, "a blue ball") + ", at night",
    ]
    for still in page.locator("ol img").all():
        assert still.evaluate("image => image.complete && image.naturalWidth") == 64
    assert page.locator("ol img").count() == 3
    picture(page, "again")


def test_what_cannot_be_made_stays_on_the_page_and_is_approved_once_it_is_mended(
    page: Page, asked: Gateway, run: UUID
) -> None:
    page.goto(f"{asked.url}/jobs/{run}")
    page.locator("ol [name=prompt]").nth(1).fill("  ")
    page.locator("ol [name=wish]").nth(0).fill("typed, too")
    page.get_by_role("button", name="Approve").click()
    shot = page.locator("ol [data-shot]").nth(1)
    expect(shot.get_by_role("alert")).to_contain_text("has no words")
    expect(page.locator("ol [name=wish]").nth(0)).to_have_value("typed, too")
    picture(page, "complaint")
    shot.locator("[name=prompt]").fill("a red ball lies still")
    page.locator("ol [name=wish]").nth(0).fill("")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("approved; the video is made next")).to_be_visible()
    picture(page, "approved")
    assert answer_of(asked.cli, run).shots[1].prompt == "a red ball lies still"


def test_without_scripts_shots_are_moved_added_and_approved(
    browser: Browser, asked: Gateway, run: UUID
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.goto(f"{asked.url}/jobs/{run}")
    first, second = words(page)
    page.locator("ol [name=prompt]").nth(0).fill("typed and not sent")
    page.get_by_label("Move shot 2 up").click()
    page.get_by_role("button", name="Add a shot").click()
    page.locator("ol [name=prompt]").nth(2).fill("a green ball flies")
    assert words(page) == [second, "typed and not sent", "a green ball flies"]
    page.locator("ol [name=wish]").nth(0).press("Enter")  # sends no decision and moves nothing
    assert words(page) == [second, "typed and not sent", "a green ball flies"]
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("approved; the video is made next")).to_be_visible()
    given = answer_of(asked.cli, run)
    assert [shot.drafted for shot in given.shots] == [2, 1, 0]
    assert given.shots[1].prompt != first
    context.close()
    with httpx.Client(base_url=asked.url, timeout=60) as client:
        assert client.get(f"/runs/{run}").json()["waiting_for"] == ""
