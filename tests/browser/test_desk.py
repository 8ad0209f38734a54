"""An editor's day on the gateway's pages, in a real Chromium: start, approve with an added shot,
watch, find, another take of shot 2, compare, share, delete, take back.

Four browsers, a phone and a desktop in Thai and in English, share one day: each page is looked at
in all of them, and each action is done in one, so that one video is made and not four. On every
page axe-core finds nothing that people with aids cannot use.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, StorageState, expect

from tests.browser.test_browser import CHROMIUM, PICTURES, browser, log_in
from tests.conftest import Cli
from tests.support.hooks import settings_of
from tests.support.studio import Studio, start_studio, wait_for

__all__ = ["browser"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("studio"),
    pytest.mark.timeout(1800),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here"),
]


PAIRS = ((390, "th"), (390, "en"), (1280, "th"), (1280, "en"))
"""Width of the screen in pixels, and language."""


@pytest.fixture(scope="module")
def studio(operator: Cli) -> Iterator[Studio]:
    operator.env |= settings_of(operator.data, [])
    running = start_studio(operator)
    yield running
    running.stop()


class Desk:
    """A browser at one width in one language."""

    def __init__(
        self,
        studio: Studio,
        browser: Browser,
        width: int,
        language: str,
        session: StorageState | None,
    ) -> None:
        self.studio, self.width, self.language = studio, width, language
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            locale=language,
            has_touch=width < 600,
            storage_state=session,
        )
        self.page: Page = context.new_page()
        self.page.set_default_timeout(120_000)

    def open(self, path: str) -> Page:
        self.page.goto(f"{self.studio.gateway}{path}")
        return self.page

    def check(self, name: str) -> None:
        """Nothing that axe-core complains of, no text in the other language's page frame, and no
        page wider than the screen."""
        page, where = self.page, f"{name}, {self.width} px, {self.language}"
        found = Axe().run(page)
        assert found.violations_count == 0, f"{where}: {found.generate_report()}"
        assert page.evaluate("document.documentElement.scrollWidth") <= self.width, where
        assert page.evaluate("document.documentElement.lang") == self.language, where
        frame = page.locator("header nav")
        if frame.count():  # a page for strangers has none
            has_thai = bool(re.search("[\u0e00-\u0e7f]{3}", frame.first.inner_text()))
            assert has_thai == (self.language == "th"), where
        if PICTURES:
            target = Path(PICTURES) / f"desk-{name}-{self.width}-{self.language}.png"
            page.screenshot(path=target, full_page=True)

    def finish(self, run: str) -> None:
        found = self.studio.finish(UUID(run))
        assert found.state is not None
        assert found.state.is_completed(), found.state.message


class Desks:
    """The four browsers; without a session, those of strangers."""

    def __init__(
        self, studio: Studio, browser: Browser, session: StorageState | None = None
    ) -> None:
        self.all = [Desk(studio, browser, *pair, session) for pair in PAIRS]
        self.phone_th, self.phone_en, self.desktop_th, self.desktop_en = self.all

    def close(self) -> None:
        for desk in self.all:
            desk.page.context.close()

    def check(self, name: str, path: str) -> None:
        """Look at the page in each of them."""
        for desk in self.all:
            desk.open(path)
            desk.check(name)


@pytest.fixture(scope="module")
def desks(studio: Studio, browser: Browser) -> Iterator[Desks]:
    page = browser.new_page()
    log_in(studio, page)
    session = page.context.storage_state()
    page.close()
    found = Desks(studio, browser, session)
    yield found
    found.close()


def run_of(page: Page) -> str:
    page.wait_for_url("**/jobs/**")
    return page.url.rpartition("/")[2].partition("?")[0]


def refuse_a_wrong_value(desk: Desk) -> None:
    """It is complained of while it is typed, and not sent."""
    page = desk.open("/new")
    desk.check("new")
    page.locator("textarea[name=prompt]").fill("a red ball")
    page.locator("input[name=seconds]").fill("1000")
    expect(page.locator(".forecast .bad")).to_be_visible()
    page.locator("form.brief button.yes").click()
    assert page.url.endswith("/new"), "a wrong value was sent"


def start(desk: Desk, words: str) -> str:
    """The run of a brief of two shots, whose storyboard is asked about."""
    page = desk.open("/new")
    page.locator("textarea[name=prompt]").fill(words)
    page.locator("select[name=preset]").select_option("demo")
    page.locator("input[name=seconds]").fill("4")
    expect(page.locator(".forecast .bad")).to_have_count(0)
    expect(page.locator(".forecast")).to_be_visible()
    page.locator("select[name=approval]").select_option("storyboard")
    page.locator("input[name=campaign]").fill("desk")
    page.locator("form.brief button.yes").click()
    run = run_of(page)
    with desk.studio.editor() as client:
        wait_for("the question", lambda: client.get(f"/runs/{run}").json()["waiting_for"])
    expect(page.locator("[data-shot]").first).to_be_visible()  # the page shows it by itself
    return run


def approve_with_another_shot(desk: Desk, run: str) -> None:
    page = desk.open(f"/jobs/{run}")
    page.locator("[data-edit=add]").click()
    added = page.locator("[data-shot]").last
    added.locator("textarea[name=prompt]").fill("a blue triangle moves up over a grey background")
    page.locator("button[name=decision][value=approve]").click()
    desk.finish(run)


def watch_page_of(desk: Desk, run: str) -> str:
    """The id of the video that `run` published."""
    page = desk.open(f"/jobs/{run}")
    page.locator("a[href^='/watch/']").first.click()
    page.wait_for_url("**/watch/**")
    return page.url.rpartition("/")[2]


def remake_shot_2(desk: Desk, cid: str) -> str:
    """The id of another take, of which one chunk was made."""
    page = desk.open(f"/watch/{cid}")
    assert page.locator("select[name=shot] option").count() == 4  # all, and three shots
    page.locator("select[name=shot]").select_option("2")
    page.locator("form[action$='/again'] button").first.click()
    run = run_of(page)
    desk.finish(run)
    other = watch_page_of(desk, run)
    (manifest,) = [item for item in desk.studio.manifests() if item.content_id == other]
    assert [chunk.made for chunk in manifest.chunks] == [False, True, False]
    return other


def share(desk: Desk, cid: str) -> str:
    """The path of a new link to the video; the page shows it once."""
    page = desk.open(f"/watch/{cid}")
    page.locator("form[action$='/share'] button").click()
    link = page.locator("input[readonly]").input_value()
    desk.check("shared-link")
    return link.removeprefix(desk.studio.gateway)


def test_an_editor_s_day(desks: Desks, browser: Browser) -> None:
    words = "a red ball moves right over a black background"
    for desk in desks.all:
        refuse_a_wrong_value(desk)
    run = start(desks.phone_th, words)
    desks.check("storyboard", f"/jobs/{run}")
    approve_with_another_shot(desks.desktop_en, run)
    desks.check("job", f"/jobs/{run}")
    cid = watch_page_of(desks.desktop_th, run)
    desks.check("watch", f"/watch/{cid}")

    desks.check("gallery", "/")
    for desk in desks.all:
        page = desk.open("/")
        page.locator("input[name=text]").fill("right over a black")
        page.locator("form.filter button").click()
        expect(page.locator(f"a[href='/watch/{cid}']")).to_be_visible()
        assert page.locator(".grid li").count() == 1
    desks.phone_en.check("found")

    other = remake_shot_2(desks.phone_en, cid)
    page = desks.desktop_th.open(f"/watch/{other}")
    page.locator("a[href^='/compare']").first.click()
    page.wait_for_url("**/compare**")
    expect(page.locator("video")).to_have_count(2)
    desks.check("compare", page.url.removeprefix(desks.desktop_th.studio.gateway))

    page = desks.phone_th.open(f"/watch/{cid}")
    page.locator("input[name=title]").fill("My video")
    page.locator("button[value=rename]").click()
    expect(page.locator("h1")).to_contain_text("My video")
    link = [share(desk, cid) for desk in desks.all][-1]
    strangers = Desks(desks.phone_th.studio, browser)
    see_as_strangers(strangers, link, "My video")

    page = desks.desktop_en.open(f"/watch/{cid}")
    page.locator("form[action$='/delete'] button").click()
    expect(page.locator("form[action$='/undo']")).to_be_visible()
    desks.check("deleted", f"/watch/{cid}")
    strangers.check("shared-end", link)  # a deletion ends the links
    strangers.close()
    page = desks.phone_en.open(f"/watch/{cid}")
    page.locator("form[action$='/undo'] button").click()
    expect(page.locator("video").first).to_be_visible()


def see_as_strangers(strangers: Desks, link: str, title: str) -> None:
    """Somebody without a login sees the shared video and nothing else."""
    strangers.check("shared", link)
    for desk in strangers.all:
        expect(desk.page.locator("h1")).to_have_text(title)
        expect(desk.page.locator("video")).to_have_js_property("videoWidth", 96)
        assert desk.page.locator("a[href='/']").count() == 0


@pytest.mark.parametrize(
    "path",
    [
        *("/queue", "/marketplace", "/costs", "/benchmarks", "/login"),
        *(f"/jobs/{UUID(int=0)}", f"/watch/{'0' * 64}", "/nowhere"),
    ],
    ids=lambda path: path.split("/")[1],
)
def test_the_other_pages_can_be_used_by_everybody(desks: Desks, path: str) -> None:
    desks.check(path.split("/")[1], path)
