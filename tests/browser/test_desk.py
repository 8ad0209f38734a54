"""An editor's day on the gateway's pages, in a real Chromium, on a phone in Thai and on a desktop
in English: start, approve with an added shot, watch, find, another take of a shot, compare, share,
delete, take back. On every page axe-core finds nothing that people with aids cannot use."""

import re
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.test_browser import CHROMIUM, PATIENCE, PICTURES, browser, log_in
from tests.conftest import Cli
from tests.support.hooks import settings_of
from tests.support.studio import Studio, start_studio

__all__ = ["browser"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("studio"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here"),
]


@pytest.fixture(scope="module")
def studio(operator: Cli) -> Iterator[Studio]:
    operator.env |= settings_of(operator.data, [])
    running = start_studio(operator)
    yield running
    running.stop()


class Desk:
    """A browser at one width in one language."""

    def __init__(self, studio: Studio, browser: Browser, width: int, language: str) -> None:
        self.studio, self.width, self.language = studio, width, language
        context = browser.new_context(
            viewport={"width": width, "height": 900}, locale=language, has_touch=width < 600
        )
        self.page: Page = context.new_page()
        self.page.set_default_timeout(120_000)
        log_in(studio, self.page)

    def open(self, path: str) -> None:
        self.page.goto(f"{self.studio.gateway}{path}")

    def check(self, name: str) -> None:
        """Nothing that axe-core complains of, no text in the other language's page frame, and no
        page wider than the screen."""
        page = self.page
        found = Axe().run(page)
        assert found.violations_count == 0, f"{name}: {found.generate_report()}"
        assert page.evaluate("document.documentElement.scrollWidth") <= self.width, name
        assert page.evaluate("document.documentElement.lang") == self.language, name
        has_thai = bool(
            re.search("[\u0e00-\u0e7f]{3}", page.locator("header nav").first.inner_text())
        )
        assert has_thai == (self.language == "th"), name
        if PICTURES:
            target = Path(PICTURES) / f"desk-{name}-{self.width}.png"
            page.screenshot(path=target, full_page=True)

    def finish(self, run: str) -> None:
        found = self.studio.finish(UUID(run))
        assert found.state is not None
        assert found.state.is_completed(), found.state.message


@pytest.fixture(params=[(390, "th"), (1280, "en")], ids=["phone-th", "desktop-en"])
def desk(request: pytest.FixtureRequest, studio: Studio, browser: Browser) -> Iterator[Desk]:
    desk = Desk(studio, browser, *request.param)
    yield desk
    desk.page.context.close()


def run_of(page: Page) -> str:
    page.wait_for_url("**/jobs/**")
    return page.url.rpartition("/")[2].partition("?")[0]


def start(desk: Desk, words: str) -> str:
    """A brief of two shots, whose storyboard is approved with a third one."""
    page = desk.page
    desk.open("/new")
    desk.check("new")
    page.locator("textarea[name=prompt]").fill(words)
    page.locator("select[name=preset]").select_option("demo")
    page.locator("input[name=seconds]").fill("1000")
    expect(page.locator(".forecast .bad")).to_be_visible()
    page.locator("form.brief button.yes").click()
    assert page.url.endswith("/new"), "a wrong value was sent"
    page.locator("input[name=seconds]").fill("4")
    expect(page.locator(".forecast .bad")).to_have_count(0)
    expect(page.locator(".forecast")).to_be_visible()
    page.locator("select[name=approval]").select_option("storyboard")
    page.locator("input[name=campaign]").fill("desk")
    page.locator("form.brief button.yes").click()
    run = run_of(page)
    expect(page.locator("[data-shot]").first).to_be_visible(timeout=PATIENCE)
    desk.check("storyboard")
    page.locator("[data-edit=add]").click()
    added = page.locator("[data-shot]").last
    added.locator("textarea[name=prompt]").fill("a blue triangle moves up over a grey background")
    page.locator("button[name=decision][value=approve]").click()
    desk.finish(run)
    return run


def test_an_editor_s_day(desk: Desk) -> None:
    page, words = desk.page, f"a red ball moves right over a black background, {desk.language}"
    run = start(desk, words)
    desk.open(f"/jobs/{run}")
    desk.check("job")
    page.locator("a[href^='/watch/']").first.click()
    page.wait_for_url("**/watch/**")
    watch = page.url
    cid = watch.rpartition("/")[2]
    desk.check("watch")
    assert page.locator("select[name=shot] option").count() == 4  # all, and three shots

    desk.open("/")
    desk.check("gallery")
    page.locator("input[name=text]").fill(f"background, {desk.language}")
    page.locator("form.filter button").click()
    expect(page.locator(f"a[href='/watch/{cid}']")).to_be_visible()
    assert page.locator(".grid li").count() == 1

    desk.open(f"/watch/{cid}")
    page.locator("select[name=shot]").select_option("2")
    page.locator("form[action$='/again'] button").first.click()
    desk.finish(run_of(page))
    page.reload()
    page.locator("a[href^='/watch/']").first.click()
    page.wait_for_url("**/watch/**")
    assert page.url != watch
    page.locator("a[href^='/compare']").first.click()
    page.wait_for_url("**/compare**")
    expect(page.locator("video")).to_have_count(2)
    desk.check("compare")

    desk.open(f"/watch/{cid}")
    page.locator("input[name=title]").fill("My video")
    page.locator("button[value=rename]").click()
    expect(page.locator("h1")).to_contain_text("My video")
    page.locator("form[action$='/share'] button").click()
    link = page.locator("input[readonly]").input_value()
    desk.check("shared-link")
    stranger = page.context.browser.new_page()  # type: ignore[union-attr]
    stranger.goto(link)
    expect(stranger.locator("h1")).to_have_text("My video")
    assert stranger.locator("video").evaluate("video => video.readyState >= 0")
    stranger.close()

    desk.open(f"/watch/{cid}")
    page.locator("form[action$='/delete'] button").click()
    expect(page.locator("form[action$='/undo']")).to_be_visible()
    desk.check("deleted")
    page.locator("form[action$='/undo'] button").click()
    expect(page.locator("video").first).to_be_visible()


@pytest.mark.parametrize("path", ["/queue", "/marketplace", "/costs", "/benchmarks", "/login"])
def test_the_other_pages_can_be_used_by_everybody(desk: Desk, path: str) -> None:
    desk.open(path)
    desk.check(path.strip("/"))
