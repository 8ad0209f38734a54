"""What people meet at the gateway: pictures, file names, pages of errors, unknown ids, filters."""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from starlette.requests import Request

from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import StoreSettings
from infra.apps.gateway.problem_pages import wants_page
from pipelines.documents.manifest import Manifest
from pipelines.publishing import make_manifest
from pipelines.schema.keys import ObjectKey
from tests.support.films import brief_of, picture_of, published, write
from tests.support.in_process import gateway_here
from tests.support.published import OLD, publish_old
from tests.support.studio import wait_for

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
FOX = "A red fox, trots through the snow!"
THAI = "สุนัขจิ้งจอกสีแดงวิ่งผ่านหิมะ"
NEVER = "0123456789abcdef" * 4
NO_RUN = UUID("00000000-0000-4000-8000-000000000000")


@pytest.fixture(scope="module")
def bucket(gateway_store: StoreSettings) -> ObjectStore:
    store = ObjectStore(gateway_store.model_copy(update={"bucket": "test-people"}))
    store.ensure_bucket()
    return store


@pytest.fixture(scope="module")
def fox(bucket: ObjectStore) -> Manifest:
    return published(bucket, FOX)


@pytest.fixture(scope="module")
def thai(bucket: ObjectStore) -> Manifest:
    return published(bucket, THAI)


@pytest.fixture(scope="module")
def picture(bucket: ObjectStore) -> Manifest:
    """A published picture of 64 x 48 pixels."""
    brief = brief_of("a still life", kind="image")
    manifest = make_manifest(brief, picture_of(bucket, brief), bucket.bucket)
    write(bucket, manifest)
    return manifest


@pytest.fixture(scope="module")
def program(
    gateway_store: StoreSettings,
    bucket: ObjectStore,
    fox: Manifest,
    thai: Manifest,
    picture: Manifest,
    demo_models: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[TestClient]:
    """A program on this machine, which may do everything."""
    publish_old(bucket, OLD[0])
    store = gateway_store.model_copy(update={"bucket": bucket.bucket})
    folder = tmp_path_factory.mktemp("people")
    with gateway_here(folder, store, REELWRIGHT_MODELS_DIR=str(demo_models)) as client:
        wait_for("the index", lambda: "is being read" not in client.get("/").text)
        yield client


# Pictures -------------------------------------------------------------------------------------


def test_a_picture_has_its_own_fields_files_and_page(
    program: TestClient, picture: Manifest
) -> None:
    cid = picture.content_id
    views = {item["id"]: item for item in program.get("/videos").json()}
    view = views[cid]
    assert (view["kind"], view["name"], view["seconds"]) == ("image", f"{cid}.png", 0)
    assert view["video_path"] == view["image_path"] == f"/videos/{cid}.png"
    assert (view["width"], view["height"]) == (64, 48)
    for path, kind in ((view["image_path"], "PNG"), (view["webp_path"], "WEBP")):
        answer = program.get(path)
        assert answer.headers["content-type"] == f"image/{kind.lower()}"
        assert Image.open(io.BytesIO(answer.content)).format == kind
    assert len(program.get(view["image_path"]).content) == view["size"]
    assert program.get(f"/videos/{cid}.mp4").status_code == 404
    page = program.get(f"/watch/{cid}").text
    assert f'<img class="picture" src="/videos/{cid}.webp"' in page
    assert "<video" not in page
    assert "Seconds" not in page
    assert f'href="/videos/{cid}.png?download=1"' in page
    card = program.get("/").text.split(f'href="/watch/{cid}"')[1].split("</li>")[0]
    assert "<small>picture ·" in card


def test_videos_and_stills_of_before_are_shown_as_they_were(
    program: TestClient, fox: Manifest
) -> None:
    views = {item["id"]: item for item in program.get("/videos").json()}
    for cid in (fox.content_id, OLD[0]["content_id"]):
        view = views[cid]
        assert (view["kind"], view["video_path"]) == ("video", f"/videos/{cid}.mp4")
        assert (view["image_path"], view["webp_path"]) == ("", "")
        assert f'<video src="/videos/{cid}.mp4"' in program.get(f"/watch/{cid}").text


def test_a_deleted_picture_leaves_none_of_its_files(
    program: TestClient, bucket: ObjectStore
) -> None:
    brief = brief_of("a picture to delete", kind="image")
    manifest = make_manifest(brief, picture_of(bucket, brief), bucket.bucket)
    write(bucket, manifest)
    cid = manifest.content_id
    assert program.get(f"/watch/{cid}").status_code == 200
    assert program.delete(f"/videos/{cid}.webp").status_code == 404  # no name of the whole
    assert program.delete(f"/videos/{cid}.png").status_code == 200
    assert list(bucket.list_keys(f"videos/{cid}/")) == []
    assert program.get(f"/videos/{cid}.webp").status_code == 404


# File names -----------------------------------------------------------------------------------


def test_a_download_has_a_name_that_people_can_read(program: TestClient, fox: Manifest) -> None:
    cid = fox.content_id
    name = f"a-red-fox-trots-through-the-snow-{cid[:8]}"
    shown = program.get(f"/videos/{cid}.mp4").headers["content-disposition"]
    assert shown == f'inline; filename="{name}.mp4"'
    saved = program.get(f"/videos/{cid}.mp4?download=1").headers["content-disposition"]
    assert saved == f'attachment; filename="{name}.mp4"'
    contact = program.get(f"/videos/{cid}-contact.jpg").headers["content-disposition"]
    assert contact == f'inline; filename="{name}-contact.jpg"'
    assert f'href="/videos/{cid}.mp4?download=1" download' in program.get(f"/watch/{cid}").text


def test_a_thai_name_is_whole_in_utf_8_and_there_is_another_for_old_programs(
    program: TestClient, thai: Manifest
) -> None:
    cid = thai.content_id
    header = program.get(f"/videos/{cid}.mp4").headers["content-disposition"]
    match = re.fullmatch(r'inline; filename="([ -~]+)"; filename\*=UTF-8\'\'([!-~]+)', header)
    assert match is not None, header
    assert match[1] == f"{cid[:8]}.mp4"
    assert httpx.URL(f"http://x/{match[2]}").path == f"/{THAI}-{cid[:8]}.mp4"


# Errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status", "title"),
    [
        (f"/watch/{NEVER}", 404, "Unknown video"),
        (f"/jobs/{NO_RUN}", 404, "Unknown run"),
        (f"/videos/{NEVER}.mp4", 404, "There is no such page"),
        ("/nothing/here", 404, "There is no such page"),
        ("/watch/short", 422, "A value is not right"),
        ("/videos?colour=red", 422, "A value is not right"),
    ],
)
def test_a_browser_gets_a_page_for_an_error_and_a_program_json(
    program: TestClient, path: str, status: int, title: str
) -> None:
    page = program.get(path, headers=BROWSER)
    assert (page.status_code, page.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert f"<h1>{title}</h1>" in page.text
    if not path.startswith(("/watch/0", "/jobs")):  # these are pages for everybody
        answer = program.get(path)
        assert answer.status_code == status
        sentence = answer.json()["error"]["message"]
        assert "Accept" in answer.headers["vary"]
        assert sentence.replace("'", "&#39;") in page.text


def test_a_browser_without_a_session_gets_the_way_to_the_login(program: TestClient) -> None:
    elsewhere = {"X-Forwarded-For": "192.0.2.1"}  # this machine is trusted, a proxy's client not
    page = program.get("/videos/x.mp4", headers=BROWSER | elsewhere)
    assert page.status_code == 401
    assert page.headers["www-authenticate"] == "Bearer"
    assert '<a href="/login?to=%2Fvideos%2Fx.mp4">Log in</a>' in page.text


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (BROWSER["Accept"], True),
        ("text/html", True),
        ("text/html;q=0.9, application/json", True),
        ("application/json, text/html", False),
        ("*/*", False),
        ("image/avif,image/webp,*/*;q=0.8", False),
        ("", False),
    ],
)
def test_who_gets_a_page_is_decided_by_what_it_accepts(accept: str, expected: bool) -> None:
    headers = [(b"accept", accept.encode())] if accept else []
    assert wants_page(Request({"type": "http", "headers": headers})) is expected


def test_an_id_that_never_existed_is_unknown_everywhere(program: TestClient) -> None:
    run = NO_RUN
    requests = [
        ("GET", f"/runs/{run}"),
        ("GET", f"/runs/{run}/events"),
        ("DELETE", f"/runs/{run}"),
        ("POST", f"/jobs/{run}/cancel"),
        ("GET", f"/v1/videos/{run}"),
        ("GET", f"/v1/videos/{run}/content"),
        ("DELETE", f"/v1/videos/{run}"),
        ("GET", f"/v1/videos?after={run}"),
        ("DELETE", f"/videos/{NEVER}.mp4"),
        ("GET", f"/videos/{NEVER}.json"),
        ("GET", f"/stills/{NEVER}.png"),
    ]
    for method, path in requests:
        answer = program.request(method, path)
        assert answer.status_code == 404, (method, path, answer.text)
        assert answer.json()["error"]["code"] == "not_found", (method, path)
    decided = program.post(f"/runs/{run}/answer", json={"decision": "approve"})
    assert decided.status_code == 404
    assert program.post(f"/jobs/{run}/answer", data={"decision": "approve"}).status_code == 404


# Filters --------------------------------------------------------------------------------------


def test_a_filter_that_a_list_does_not_have_is_refused_with_those_that_it_has(
    program: TestClient,
) -> None:
    answer = program.get("/videos", params={"campain": "spring"})
    assert answer.status_code == 422
    assert answer.json()["error"] == {
        "code": "unknown_filter",
        "message": "/videos has no filter 'campain'; it has campaign, cursor, limit, "
        "order, since, starred, text, until",
    }
    assert program.get("/videos", params={"campaign": "none"}).json() == []
    runs = program.get("/runs", params={"states": "running"})
    assert "it has campaign, cursor, limit" in runs.json()["error"]["message"]


def test_the_wan_contract_answers_with_a_note_and_warnings(program: TestClient) -> None:
    body = {"prompt": "a red ball", "frame_num": 20, "sample_steps": 25, "n_prompt": "blur"}
    later = {"Prefer": "respond-async"}
    answer = program.post("/generate/text-to-video", json=body, headers=later)
    assert answer.status_code == 202, answer.text
    found = answer.json()
    assert "the video has the first 20" in found["note"]
    assert "sample_steps 25 became 8" in found["note"]
    assert found["warnings"][0] == "'n_prompt' is no field and was ignored"
    again = program.post("/generate/text-to-video", json=body, headers=later)
    assert again.json()["run"] == found["run"]


def test_pages_are_light_or_dark_as_the_browser_wishes(program: TestClient) -> None:
    assert '<meta name="color-scheme" content="light dark">' in program.get("/new").text
    style = program.get("/static/style.css").text
    assert "color-scheme: light dark" in style
    assert "@media (prefers-color-scheme: dark)" in style


def test_objects_of_a_picture_are_those_of_its_manifest(
    bucket: ObjectStore, picture: Manifest
) -> None:
    cid = picture.content_id
    assert {item.key for item in picture.objects} == {
        ObjectKey.image(cid),
        ObjectKey.image_webp(cid),
        ObjectKey.poster(cid),
        ObjectKey.contact(cid),
    }
