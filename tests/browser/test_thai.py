"""A Thai brief from the Thai form through its translation to the video, in a real Chromium."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from infra.adapters.weights.index import write_index
from tests.browser.test_browser import CHROMIUM, PATIENCE, browser, log_in
from tests.conftest import operator_of
from tests.languages.messages import of_templates
from tests.support.hooks import settings_of
from tests.support.studio import Studio, start_studio
from tests.tiny.marian import PAIRS, write_marian

__all__ = ["browser"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("studio"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here"),
]
BALL = next(iter(PAIRS))
PICTURES = os.environ.get("PICTURES")
WIDTHS = (1280, 390)


@pytest.fixture(scope="module")
def studio(demo_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """The demo set, and a translation model that knows the demo's world."""
    models = tmp_path_factory.mktemp("models")
    for folder in demo_models.iterdir():
        (models / folder.name).symlink_to(folder)
    write_marian(models / "translator-th", taught=True)
    write_index(models / "translator-th", "test", "1")
    operator = operator_of(tmp_path_factory.mktemp("studio"), models)
    operator.env |= settings_of(operator.data, [])
    running = start_studio(operator)
    yield running
    running.stop()


@pytest.fixture
def page(studio: Studio, browser: Browser) -> Iterator[Page]:
    page = browser.new_page(locale="th-TH", viewport={"width": 1280, "height": 900})
    page.set_default_timeout(120_000)
    log_in(studio, page)
    yield page
    page.close()


def is_thai(page: Page, name: str) -> None:
    """The page has no English text of ours, and fits a phone."""
    assert page.locator("html").get_attribute("lang") == "th"
    shown = page.locator("body").inner_text()
    for text in {message.text for message in of_templates()}:
        # Two words may stand in the reasons of the router, which are English.
        if text.count(" ") > 1 and "%" not in text:
            assert text not in shown
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, (name, width)
        if PICTURES:
            page.screenshot(path=Path(PICTURES) / f"thai-{name}-{width}.png", full_page=True)


def test_a_thai_brief_is_translated_shown_approved_and_filmed(studio: Studio, page: Page) -> None:
    page.goto(f"{studio.gateway}/new")
    is_thai(page, "new")
    page.locator("textarea[name=prompt]").fill(BALL)
    page.locator("select[name=approval]").select_option("storyboard")
    page.locator("input[name=seconds]").fill("2")
    page.get_by_role("button", name="สร้างวิดีโอ").click()
    expect(page.get_by_text("รอคุณตัดสินใจ")).to_be_visible(timeout=PATIENCE)
    translation = page.locator(".translation")
    expect(translation).to_contain_text(BALL)
    expect(translation).to_contain_text(PAIRS[BALL])
    is_thai(page, "approval")
    page.get_by_role("button", name="อนุมัติ", exact=True).click()
    link = page.get_by_role("link", name="หน้าของวิดีโอ")
    expect(link).to_be_visible(timeout=PATIENCE)
    link.click()
    expect(page.locator(".translation")).to_contain_text(PAIRS[BALL])
    expect(page.get_by_role("heading", name=BALL)).to_be_visible()
    is_thai(page, "watch")
    page.goto(studio.gateway)
    is_thai(page, "gallery")
    page.get_by_role("link", name="English").click()
    expect(page.get_by_role("heading", name="Videos")).to_be_visible()


def test_a_brief_that_nobody_can_translate_goes_on_in_its_own_words(
    studio: Studio, page: Page
) -> None:
    page.goto(f"{studio.gateway}/new")
    page.locator("textarea[name=prompt]").fill("красный мяч катится вправо")
    page.locator("input[name=seconds]").fill("2")
    page.get_by_role("button", name="สร้างวิดีโอ").click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("ภาษารัสเซีย")
    expect(alert).to_contain_text("reelwright models download translator-mul")
    expect(page.locator("textarea[name=prompt]")).to_have_value("красный мяч катится вправо")
    expect(page.locator("input[name=seconds]")).to_have_value("2")
    page.get_by_role("button", name="ใช้ข้อความของฉันตามเดิม").click()
    page.wait_for_url("**/jobs/*")
