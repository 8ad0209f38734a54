"""Prefect's form of a brief and its list of deployments, in a real Chromium.

The server has no workers: what is started waits.
"""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect, sync_playwright
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.settings import PREFECT_API_URL, temporary_settings

from infra.adapters.prefect_server import PrefectServer
from pipelines.documents.brief import Brief
from pipelines.documents.brief_form import parameters_of
from pipelines.documents.grouping import EDITORS, EXPERTS, GROUP
from pipelines.schema.names import PRODUCE_CONTENT
from tests.conftest import Cli

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("prefect-form"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here"),
]
PICTURES = os.environ.get("PICTURES")
PATIENCE = 120_000
expect.set_options(timeout=PATIENCE)
WORDS = "a red ball moves to the right over a dark blue background"


@dataclass
class Pages:
    """Prefect's pages, and its API."""

    page: Page
    client: SyncPrefectClient
    base: str

    def open_form(self, brief: dict[str, Any] | None = None) -> None:
        """The form of the usual deployment; with a brief as the link "Copy to new run" has it."""
        found = self.client.read_deployment_by_name("produce-content/normal").id
        given = f"?parameters={quote(json.dumps({'brief': brief}))}" if brief else ""
        self.page.goto(f"{self.base}/v2/deployments/deployment/{found}/run{given}")
        self.page.get_by_label("LoRA strength").wait_for()

    def labels(self) -> list[str]:
        """Of the fields of a brief, from top to bottom."""
        found = self.page.locator("fieldset label").all_inner_texts()
        return [text.removesuffix(" (Optional)") for text in found]

    def submit(self) -> None:
        self.page.get_by_role("button", name="Submit").click()

    def runs(self, limit: int = 100) -> list[FlowRun]:
        """Of briefs, the newest first."""
        of_briefs = FlowFilter(name=FlowFilterName(any_=[PRODUCE_CONTENT]))
        return self.client.read_flow_runs(
            flow_filter=of_briefs, sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=limit
        )

    def submitted(self) -> Brief:
        """The brief of the run that the form started."""
        self.page.wait_for_url("**tab=Runs**", timeout=PATIENCE)
        (run,) = self.runs(limit=1)
        return Brief.model_validate(run.parameters["brief"])


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A deployed server with pages and without a schedule that is due."""
    folder = tmp_path_factory.mktemp("prefect-form")
    server = PrefectServer(
        folder / "home",
        settings={
            "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{folder / 'p.db'}",
            "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(folder / "pages"),
            "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
            "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false",
        },
    )
    server.wait()
    done = Cli(dict(os.environ) | server.client_env)("deploy")
    assert done.code == 0, done.err
    yield server.api_url
    server.stop()


@pytest.fixture
def pages(url: str) -> Iterator[Pages]:
    with (
        temporary_settings({PREFECT_API_URL: url}),
        get_client(sync_client=True) as client,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.set_default_timeout(PATIENCE)
        yield Pages(page, client, url.removesuffix("/api"))
        browser.close()


def picture(page: Page, name: str) -> None:
    """For the documents, into the folder that PICTURES names."""
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}.jpg", type="jpeg", quality=80)


def test_an_editor_s_fields_come_first_and_an_expert_s_in_one_group(pages: Pages) -> None:
    titles = {name: field.title for name, field in Brief.model_fields.items()}
    pages.open_form()
    assert pages.labels() == [
        *(titles[name] for name in EDITORS),
        "For experts",
        *(titles[name] for name in EXPERTS),
    ]
    group = pages.page.get_by_text("For experts (Optional)")
    assert group.bounding_box()
    pages.page.locator("textarea").first.fill(WORDS)
    picture(pages.page, "form")
    group.scroll_into_view_if_needed()
    pages.submit()
    assert pages.submitted() == Brief(prompt=WORDS)


def test_a_value_that_a_rule_forbids_is_refused_at_its_field(pages: Pages) -> None:
    before = len(pages.runs())
    pages.open_form()
    pages.page.locator("textarea").first.fill(WORDS)
    steps = pages.page.get_by_label("Steps (Optional)")
    steps.fill("101")
    pages.submit()
    assert steps.evaluate("field => field.validity.rangeOverflow")  # the browser says so itself
    assert len(pages.runs()) == before
    steps.fill("12")
    pages.page.get_by_label("Seconds (Optional)").fill("2")
    pages.submit()
    assert pages.submitted() == Brief(prompt=WORDS, steps=12, seconds=2)


def test_a_copied_run_shows_every_value_in_its_field(pages: Pages) -> None:
    brief = Brief(prompt=WORDS, seed=7, campaign="spring", stands_in_for="another model")
    pages.open_form(parameters_of(brief)["brief"])
    expect(pages.page.get_by_label("Seed (Optional)")).to_have_value("7")
    expect(pages.page.get_by_label("Campaign (Optional)")).to_have_value("spring")
    assert not pages.page.get_by_text("another model").count()
    pages.submit()
    assert pages.submitted() == brief


def test_a_copied_run_of_a_program_keeps_its_flat_values(pages: Pages) -> None:
    brief = Brief(prompt=WORDS, seed=7)
    pages.open_form(brief.model_dump(mode="json"))
    pages.submit()
    assert pages.submitted() == brief
    assert GROUP not in brief.model_dump()


def test_the_list_says_which_deployment_to_take(pages: Pages) -> None:
    pages.page.goto(f"{pages.base}/v2/deployments")
    rows = pages.page.get_by_role("row")
    for name, words in (
        ("normal", "make a video"),
        ("rush", "video now"),
        ("batch", "video later"),
        ("render-video", "automatic"),
        ("draft-storyboard", "automatic"),
        ("benchmark-backends", "compare"),
        ("minutely", "automatic"),
    ):
        row = rows.filter(has=pages.page.get_by_role("link", name=name, exact=True))
        expect(row.get_by_text(words, exact=True)).to_be_visible()
    picture(pages.page, "deployments")
