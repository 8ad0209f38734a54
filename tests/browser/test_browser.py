"""The studio as editors meet it: Prefect's form and the page to watch, in a real Chromium."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser, FloatRect, Page, expect, sync_playwright

from pipelines.training.places import SIDE
from pipelines.training.sight import see
from tests.conftest import Cli
from tests.support.hooks import PAYLOAD, Sender, settings_of
from tests.support.studio import Studio, start_studio, wait_for

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("studio"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here"),
]
PICTURES = os.environ.get("PICTURES")
PATIENCE = 180_000
expect.set_options(timeout=120_000)
PENGUIN = "a penguin hops up and down in the snow"
CALENDAR = """
entries:
- name: morning-loop
  cron: "0 7 * * 1-5"
  time_zone: Europe/Zurich
  items: [sailboat, whale]
  brief: {prompt: "a {item} moves left on the sea", campaign: mornings}
"""
GREEN = "a green square moves to the left over a grey background"


@pytest.fixture(scope="module")
def studio(operator: Cli) -> Iterator[Studio]:
    operator.env |= settings_of(operator.data, [])
    running = start_studio(operator)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def log_in(studio: Studio, page: Page) -> None:
    """As whoever started the studio does: by a link of `reelwright login`."""
    page.goto(studio.cli("login").out.strip())
    assert page.url == f"{studio.gateway}/"


@pytest.fixture
def page(studio: Studio, browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.set_default_timeout(120_000)
    log_in(studio, page)
    yield page
    page.close()


@pytest.fixture
def watch(studio: Studio) -> str:
    return studio.gateway


def picture(page: Page, name: str, height: int = 900) -> None:
    """For the README, into the folder that PICTURES names."""
    if PICTURES:
        page.wait_for_timeout(5000)  # Prefect's page draws its parts one after the other
        path = Path(PICTURES) / f"{name}.jpg"
        part: FloatRect = {"x": 0, "y": 0, "width": 1200, "height": height}
        page.screenshot(path=path, type="jpeg", quality=80, clip=part)


def open_form(studio: Studio, page: Page) -> None:
    base = studio.variables["PREFECT_API_URL"].removesuffix("/api")
    with studio.client() as client:
        deployment = client.read_deployment_by_name("produce-content/normal").id
    page.goto(f"{base}/v2/deployments/deployment/{deployment}/run")
    password = page.locator("input[type=password]")
    expect(password.or_(page.get_by_text("Kind (Optional)"))).to_be_visible()
    if password.count():
        password.fill(studio.variables["PREFECT_API_AUTH_STRING"])
        password.press("Enter")
        page.wait_for_timeout(2000)
        page.goto(f"{base}/v2/deployments/deployment/{deployment}/run")
    expect(page.get_by_text("Kind (Optional)")).to_be_visible()


def fill_and_start(page: Page, prompt: str, approval: str) -> str:
    """What an editor does. Returns the run's id."""
    page.locator("textarea").first.fill(prompt)
    page.get_by_label("Select Approval").click()
    page.get_by_role("option", name=approval, exact=True).click()
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url("**tab=Runs**")
    page.locator("a[href*='/runs/flow-run/']").first.click()
    page.wait_for_url("**/runs/flow-run/**")
    return page.url.rpartition("/flow-run/")[2].partition("?")[0]


def test_from_the_form_through_an_edited_storyboard_to_the_video(
    studio: Studio, page: Page, watch: str
) -> None:
    open_form(studio, page)
    run = fill_and_start(page, PENGUIN, "storyboard")
    page.goto(f"{watch}/jobs/{run}")
    expect(page.get_by_text("waits for you")).to_be_visible(timeout=PATIENCE)
    shots = page.locator("textarea")
    expect(shots).to_have_count(2)
    for still in page.locator(".shots img").all():
        assert still.evaluate("image => image.complete && image.naturalWidth") == SIDE
    picture(page, "approval")
    shots.nth(1).fill(GREEN)
    page.get_by_role("button", name="Approve").click()
    expect(page.locator("progress")).to_be_visible()
    link = page.get_by_role("link", name="Its own page")
    expect(link).to_be_visible(timeout=PATIENCE)  # without a reload by hand
    link.click()
    expect(page.get_by_role("cell", name=GREEN)).to_be_visible()
    video = page.locator("video")
    played = video.evaluate(
        "async video => { await video.play(); await new Promise(done => setTimeout(done, 1500));"
        " return video.currentTime }"
    )
    assert played > 0
    second = video.evaluate(
        """async video => {
            video.pause();
            video.currentTime = 3;
            await new Promise(done => { video.onseeked = done });
            const canvas = document.createElement("canvas");
            canvas.width = video.videoWidth; canvas.height = video.videoHeight;
            const context = canvas.getContext("2d");
            context.drawImage(video, 0, 0);
            return [...context.getImageData(0, 0, canvas.width, canvas.height).data];
        }"""
    )
    pixels = np.array(second, np.uint8).reshape(1, SIDE, SIDE, 4)[..., :3]
    shown = see(pixels).scene
    assert (shown.colour, shown.background) == ("green", "grey")  # the edited shot is what plays
    video.evaluate("video => { video.currentTime = 1 }")
    page.wait_for_timeout(500)
    picture(page, "watch")
    page.goto(watch)
    page.locator(".grid a").first.click()
    assert page.locator("video").evaluate(
        "async video => { await video.play(); return video.readyState }"
    )


def test_a_webhook_becomes_a_video_in_the_gallery(studio: Studio, page: Page, watch: str) -> None:
    with httpx.Client(base_url=watch, timeout=60) as client:
        answer = Sender(client).send(PAYLOAD)
    assert answer.status_code == 202, answer.text
    page.goto(watch + answer.json()["run"].replace("/runs/", "/jobs/"))
    expect(page.locator("video")).to_be_visible(timeout=PATIENCE)
    page.goto(f"{watch}/?campaign=spring")
    expect(page.get_by_text("a red ball moves right")).to_be_visible()
    for poster in page.locator(".grid img").all():
        assert poster.evaluate("image => image.complete && image.naturalWidth")
    picture(page, "webhook", height=600)


def test_the_calendar_s_runs_have_their_names(studio: Studio, page: Page, tmp_path: Path) -> None:
    file = tmp_path / "calendar.yaml"
    file.write_text(CALENDAR, encoding="utf-8")
    assert studio.cli("calendar", "put", str(file)).code == 0
    started = studio.cli("calendar", "run", "morning-loop")
    assert started.code == 0, started.err
    run = started.out.split()[-1]
    assert studio.finish(UUID(run)).state_name == "Completed"
    open_form(studio, page)  # logs in
    page.goto(f"{studio.variables['PREFECT_API_URL'].removesuffix('/api')}/v2/runs/flow-run/{run}")
    expect(page.get_by_text("morning-loop").first).to_be_visible()
    expect(page.get_by_text("Completed").first).to_be_visible()
    picture(page, "calendar", height=560)


def test_the_contact_sheet_is_seen_on_the_run_s_page(
    studio: Studio, page: Page, watch: str
) -> None:
    run = studio.start(prompt="a cyan ball moves up", seconds=2, frames=17)
    found = studio.finish(run)
    assert found.state is not None
    assert found.state.is_completed(), found.state.message
    open_form(studio, page)  # logs in
    base = studio.variables["PREFECT_API_URL"].removesuffix("/api")
    page.goto(f"{base}/v2/artifacts/artifact/{studio.artifacts(run)['contact-sheet'].id}")
    sheet = page.locator(f"img[src^='{watch}/videos/']").first
    expect(sheet).to_be_visible()
    assert sheet.evaluate("image => image.complete && image.naturalWidth")
    picture(page, "contact-sheet")


def test_a_rejected_draft_publishes_nothing(studio: Studio, page: Page, watch: str) -> None:
    with studio.editor() as client:
        videos = client.get("/videos").json()
    open_form(studio, page)
    run = fill_and_start(page, "a blue circle moves up over a black background", "storyboard")
    page.goto(f"{watch}/jobs/{run}")
    expect(page.get_by_text("waits for you")).to_be_visible(timeout=PATIENCE)
    page.get_by_label("Reason").fill("not our colours")
    page.get_by_role("button", name="Reject").click()
    expect(page.get_by_text("rejected")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text("not our colours")).to_be_visible()
    with studio.editor() as client:
        assert client.get("/videos").json() == videos


def test_prefects_own_page_can_answer_too(studio: Studio, page: Page) -> None:
    run = studio.start(prompt="a white circle moves left", seconds=2, approval="storyboard")
    wait_for(
        "the draft", lambda: (found := studio.look(run)) and found.state and found.state.is_paused()
    )
    open_form(studio, page)  # logs in
    base = studio.variables["PREFECT_API_URL"].removesuffix("/api")
    page.goto(f"{base}/v2/runs/flow-run/{run}")
    page.get_by_role("button", name="Open menu").first.click()
    page.get_by_role("menuitem", name="Resume").click()
    expect(page.get_by_text("The shots of this brief")).to_be_visible()
    picture(page, "prefect-approval")
    page.get_by_role("dialog").get_by_role("button", name="Resume").click()
    wait_for("the answer", lambda: not (found := studio.look(run)) or not found.state.is_paused())
    found = studio.finish(run)
    assert found.state is not None
    assert found.state.is_completed(), found.state.message


def test_on_a_phone_and_by_keyboard(studio: Studio, browser: Browser, watch: str) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 740}, has_touch=True)
    log_in(studio, page)
    for path in ("/", "/new"):
        page.goto(watch + path)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360, path
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    for _ in range(3):
        page.keyboard.press("Tab")
    page.locator("textarea").focus()
    page.keyboard.type("a yellow square moves down over a black background")
    page.locator("input[name=seconds]").fill("1")
    page.get_by_role("button", name="Make it").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/jobs/**")
    expect(page.locator("video")).to_be_visible(timeout=PATIENCE)
    page.emulate_media(color_scheme="dark")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert sum(json.loads(ground.replace("rgb(", "[").replace(")", "]"))) < 120  # a dark room
    page.close()


def test_a_python_client_of_the_wan_service_goes_on_working(studio: Studio) -> None:
    """As in that service's guide, with a key."""
    with studio.editor() as client:
        response = client.post(
            "/generate/text-to-video",
            json={
                "task": "t2v-1.3B",
                "prompt": PENGUIN,
                "size": "1280*720",
                "frame_num": 33,
                "sample_steps": 25,
                "sample_guide_scale": 7.5,
                "base_seed": 42,
            },
        )
        found = response.json()
        assert response.status_code == 200, found
        assert found["stands_in_for"] == "Wan2.1-T2V-1.3B"
        video = client.get(found["video_path"])
        assert video.headers["content-type"] == "video/mp4"
        assert video.content[4:8] == b"ftyp"
        manifest = client.get(found["video_path"].replace(".mp4", ".json")).json()
        assert manifest["brief"]["stands_in_for"] == "Wan2.1-T2V-1.3B"
        assert manifest["clip"]["frames"] == 33
        assert "stands in for" in client.get(found["watch"]).text


def test_a_login_link_opens_the_gallery_and_leaves_the_address(
    studio: Studio, browser: Browser, watch: str
) -> None:
    page = browser.new_page()
    page.goto(watch)
    assert page.url.startswith(f"{watch}/login")
    expect(page.get_by_text("reelwright login")).to_be_visible()
    page.goto(studio.link)  # printed by `up`
    assert page.url == f"{watch}/"
    page.reload()
    expect(page.get_by_role("heading", name="Videos")).to_be_visible()
    other = browser.new_page()
    other.goto(studio.link)
    expect(other.get_by_role("alert")).to_contain_text("was used")
    page.close()
    other.close()
