"""The form in which an editor starts a video."""

import html
import json
import re
import secrets

import httpx
import pytest

from infra.adapters.object_store import ObjectStore
from pipelines.documents.brief import Brief
from pipelines.publishing import make_manifest
from pipelines.schema.keys import ObjectKey
from tests.gateway.test_gateway import png
from tests.support.films import film_of, write
from tests.support.gateway import Gateway

pytestmark = pytest.mark.xdist_group("gateway")


def fields_of(page: str) -> dict[str, str]:
    """What a browser would send if nothing were changed."""
    found = {
        name: html.unescape(value)
        for kind, name, value in re.findall(r'<input([^>]*)name="(\w+)"[^>]*?value="([^"]*)"', page)
        if "checkbox" not in kind
    }
    for name, options in re.findall(r'<select name="(\w+)">(.*?)</select>', page, re.DOTALL):
        chosen = re.search(r'<option value="([^"]*)" selected>', options)
        first = re.search(r'<option value="([^"]*)"', options)
        assert first
        found[name] = html.unescape((chosen or first)[1])
    words = re.search(r'<textarea name="prompt"[^>]*>(.*?)</textarea>', page, re.DOTALL)
    assert words
    return found | {"prompt": html.unescape(words[1])}


def brief_of_run(desk: Gateway, answer: httpx.Response) -> dict[str, object]:
    assert answer.status_code == 303, answer.text
    run = answer.headers["location"].removeprefix("/jobs/")
    return desk.brief_of(run)


def video_of(desk_bucket: ObjectStore, brief: Brief) -> str:
    manifest = make_manifest(brief, film_of(desk_bucket, brief), desk_bucket.bucket)
    write(desk_bucket, manifest.model_copy(update={"campaigns": (brief.campaign,)}))
    return manifest.content_id


def test_the_empty_form_is_the_usual_brief(desk: Gateway, editor: httpx.Client) -> None:
    values = fields_of(editor.get("/new").text) | {"prompt": "a fox"}
    brief = brief_of_run(desk, editor.post("/new", data=values))
    assert brief == Brief(prompt="a fox", preset="auto").model_dump(mode="json")


def test_the_form_of_a_video_makes_the_same_brief_with_all_its_fields(
    desk: Gateway, editor: httpx.Client, desk_bucket: ObjectStore
) -> None:
    """Also those that the form does not show."""
    made = Brief(
        prompt='a "fox" & a <boat>',
        seconds=4.5,
        style="film",
        upscale=2,
        steps=3,
        shots=[{"shot": 1, "seed": 9, "prompt": "a cat"}],
        campaign="spring",
        approval="both",
        enhance=False,
        seed=7,
        size="128*128",
    )
    cid = video_of(desk_bucket, made)
    page = editor.get(f"/new?like={cid}").text
    assert "<boat>" not in page
    brief = brief_of_run(desk, editor.post("/new", data=fields_of(page)))
    assert brief == made.model_dump(mode="json")


def test_a_campaign_lends_its_looks_and_not_its_words(
    editor: httpx.Client, desk_bucket: ObjectStore
) -> None:
    campaign = f"c {secrets.token_hex(4)}"
    cid = video_of(desk_bucket, Brief(prompt="old words", style="ink", seed=3, campaign=campaign))
    editor.get(f"/watch/{cid}")
    values = fields_of(editor.get("/new", params={"campaign": campaign}).text)
    assert (values["campaign"], values["style"]) == (campaign, "ink")
    assert (values["prompt"], values["seed"]) == ("", "-1")


def test_the_brief_of_a_run_can_be_edited(desk: Gateway, editor: httpx.Client) -> None:
    begun = editor.post("/new", data={"prompt": "a ball", "style": "ink", "preset": "demo"})
    run = begun.headers["location"].removeprefix("/jobs/")
    values = fields_of(editor.get(f"/new?run={run}").text)
    assert (values["prompt"], values["style"], values["preset"]) == ("a ball", "ink", "demo")
    absent = editor.get("/new?run=00000000-0000-0000-0000-000000000000")
    assert absent.status_code == 404
    assert "<form" in absent.text


def test_a_picture_of_the_form_is_kept_and_begins_the_video(
    desk: Gateway, editor: httpx.Client, desk_bucket: ObjectStore
) -> None:
    files = {"upload": ("x.png", png(), "image/png")}
    brief = brief_of_run(
        desk, editor.post("/new", data={"prompt": "a ball", "preset": "demo"}, files=files)
    )
    key = str(brief["image"])
    assert desk_bucket.head(ObjectKey(key)) is not None
    broken = {"upload": ("x.png", b"no picture", "image/png")}
    refused = editor.post("/new", data={"prompt": "my words"}, files=broken)
    assert refused.status_code == 422
    assert fields_of(refused.text)["prompt"] == "my words"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prompt": ""}, "the prompt is empty"),
        ({"seconds": "1000"}, "seconds 1000 is outside 0.25 to 600"),
        ({"seconds": "much"}, "seconds"),
        ({"upscale": "3"}, "upscale"),
        ({"preset": "x"}, "preset &#39;x&#39; is unknown"),
        ({"rest": "{not json"}, ""),
        ({"rest": json.dumps({"steps": 10**9})}, "steps"),
        ({"rest": json.dumps({"unknown": 1})}, "unknown"),
    ],
    ids=str,
)
def test_what_cannot_be_comes_back_with_what_was_typed(
    editor: httpx.Client, change: dict[str, str], words: str
) -> None:
    values = {"prompt": "a fox", "style": "my style", "preset": "demo"} | change
    answer = editor.post("/new", data=values)
    if words:
        assert answer.status_code == 422, answer.text
        assert words in answer.text
        assert fields_of(answer.text)["style"] == "my style"
    else:
        assert answer.status_code == 303


def test_while_it_is_filled_in_the_form_says_what_it_takes(
    desk: Gateway, editor: httpx.Client
) -> None:
    before = len(desk.runs())
    found = editor.post("/new/forecast", data={"prompt": "a fox", "preset": "demo"})
    assert re.search(r"demo makes it\.\s+About [\d,]+ s of work", found.text), found.text
    assert "Starting its run and publishing are not in it." in found.text
    wrong = editor.post("/new/forecast", data={"prompt": "a fox", "seconds": "1000"})
    assert "seconds 1000 is outside" in wrong.text
    thai = editor.post(
        "/new/forecast",
        data={"prompt": "a fox", "seconds": "1000"},
        headers={"Accept-Language": "th"},
    )
    assert "is outside" not in thai.text
    assert len(desk.runs()) == before


def test_other_words_or_a_tick_have_shots_by_hand_written_anew(
    desk: Gateway, editor: httpx.Client, desk_bucket: ObjectStore
) -> None:
    hand = [{"prompt": "a fox"}, {"prompt": "a boat", "seed": 7}]
    made = Brief(prompt="a fox and a boat", preset="demo", seconds=4, storyboard=hand)
    values = fields_of(editor.get(f"/new?like={video_of(desk_bucket, made)}").text)
    kept = brief_of_run(desk, editor.post("/new", data=values | {"style": "ink"}))
    assert kept["storyboard"] == [shot.model_dump(mode="json") for shot in made.storyboard]
    for change in ({"prompt": "a submarine at night"}, {"anew": "true"}):
        brief = brief_of_run(desk, editor.post("/new", data=values | change))
        assert brief["storyboard"] == []


def test_a_session_that_ended_is_a_page_for_a_browser(desk: Gateway) -> None:
    with httpx.Client(
        base_url=desk.url, headers={"X-Forwarded-For": "9.9.9.9"}, timeout=60
    ) as stranger:
        page = stranger.post("/new", data={"prompt": "x"}, headers={"Accept": "text/html"})
        program = stranger.post("/new", data={"prompt": "x"})
    assert (page.status_code, program.status_code) == (401, 401)
    assert "<h1>" in page.text
    assert program.json()["error"]["code"] == "unauthorised"


@pytest.mark.parametrize("query", ["until=9999-12-31", "since=0001-01-01", "until=2026-02-30"])
def test_days_at_the_end_of_the_calendar_break_nothing(editor: httpx.Client, query: str) -> None:
    assert editor.get(f"/?{query}").status_code in (200, 422)


def test_times_at_the_beginning_of_the_calendar_break_nothing(editor: httpx.Client) -> None:
    query = {"since": "0001-01-01T00:00:00Z"}
    assert editor.get("/runs", params=query).status_code in (200, 422)
    assert editor.get("/videos", params=query).status_code in (200, 422)
