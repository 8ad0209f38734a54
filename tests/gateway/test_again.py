"""A published video is made again with a change, by programs and from its page."""

import html
import re
import secrets

import httpx
import pytest

from infra.adapters.object_store import ObjectStore
from pipelines.documents.manifest import Manifest
from pipelines.planning.again import Change, again
from pipelines.publishing import make_manifest
from tests.gateway.test_gateway import error_of
from tests.support.films import film_of, published, write
from tests.support.gateway import Gateway

pytestmark = pytest.mark.xdist_group("gateway")


@pytest.fixture(scope="module")
def manifest(desk_bucket: ObjectStore) -> Manifest:
    return published(desk_bucket, "a red ball that is made again")


def test_another_take_of_a_shot_is_a_new_brief_that_changes_one_seed(
    desk: Gateway, editor: httpx.Client, manifest: Manifest
) -> None:
    address = f"/videos/{manifest.content_id}/again"
    answer = editor.post(address, json={"take": 5, "shots": [1]})
    assert answer.status_code == 202, answer.text
    brief = desk.brief_of(answer.json()["id"])
    (change,) = brief["shots"]
    assert change["shot"] == 1
    assert change["seed"] >= 0
    assert brief == manifest.brief.model_dump(mode="json") | {"shots": [change]}


def test_the_same_request_twice_is_one_run(editor: httpx.Client, manifest: Manifest) -> None:
    address, key = f"/videos/{manifest.content_id}/again", secrets.token_hex(8)
    runs = {
        editor.post(address, json={"longer": 2}, headers={"Idempotency-Key": key}).json()["id"]
        for _ in range(2)
    }
    assert len(runs) == 1


def test_the_forms_of_the_page_start_what_they_say(
    desk: Gateway, editor: httpx.Client, manifest: Manifest
) -> None:
    page = editor.get(f"/watch/{manifest.content_id}").text
    forms = re.findall(rf'<form method="post" action="(/watch/{manifest.content_id}/again)">', page)
    assert len(forms) == 3
    key = re.search(r'name="key" value="(\w+)-longer"', page)
    assert key
    values = {"key": f"{key[1]}-longer", "longer": "2"}
    places = {editor.post(forms[1], data=values).headers["location"] for _ in range(2)}
    assert len(places) == 1
    run = places.pop().removeprefix("/jobs/")
    brief = desk.brief_of(run)
    assert brief["seconds"] == manifest.brief.seconds + 2


def test_what_cannot_be_is_a_sentence_and_starts_nothing(
    desk: Gateway, editor: httpx.Client, manifest: Manifest
) -> None:
    before = len(desk.runs())
    address = f"/videos/{manifest.content_id}/again"
    assert "nothing would be different" in error_of(editor.post(address, json={}), 422)
    wrong = editor.post(address, json={"take": 1, "shots": [99]})
    assert "shot 99 does not exist" in error_of(wrong, 422)
    form = editor.post(f"/watch/{manifest.content_id}/again", data={"key": "x", "longer": "1e9"})
    assert form.status_code == 422
    assert "less than or equal to 600" in form.text
    absent = editor.post(f"/videos/{'0' * 64}/again", json={"longer": 1})
    assert "there is no published video" in error_of(absent, 404)
    assert len(desk.runs()) == before


def test_a_key_that_may_only_look_sees_no_forms_and_starts_nothing(
    desk: Gateway, manifest: Manifest
) -> None:
    key = desk.cli("keys", "add", "looker", "--scope", "read").out.strip()
    with desk.client(Authorization=f"Bearer {key}") as reader:
        page = reader.get(f"/watch/{manifest.content_id}")
        assert page.status_code == 200
        assert "/again" not in page.text
        answer = reader.post(f"/videos/{manifest.content_id}/again", json={"longer": 1})
        assert answer.status_code == 403


def test_two_takes_are_found_from_each_other_and_shown_side_by_side(
    editor: httpx.Client, desk_bucket: ObjectStore
) -> None:
    one = published(desk_bucket, "a ball & <b> twice")
    brief = again(one.brief, Change(take=1, longer=1))
    other = make_manifest(brief, film_of(desk_bucket, brief), desk_bucket.bucket)
    write(desk_bucket, other)
    for manifest in (one, other):  # the gateway learns of both
        assert editor.get(f"/watch/{manifest.content_id}").status_code == 200
    address = f"/compare?a={one.content_id}&b={other.content_id}"
    watch = editor.get(f"/watch/{one.content_id}").text
    assert html.escape(address) in watch
    page = editor.get(address)
    assert page.status_code == 200
    for cid in (one.content_id, other.content_id):
        assert f'<video src="/videos/{cid}.mp4"' in page.text
    assert "<tr><th>Seconds</th><td>1.0</td><td>2.0</td></tr>" in page.text
    assert "<tr><th>Changed shots</th><td>–</td><td>shot 1: seed" in page.text
    assert "<b> twice" not in page.text
    assert "They have no part in common" in page.text


@pytest.mark.parametrize(
    ("query", "status"),
    [(f"a={'0' * 64}&b={'1' * 64}", 404), ("a=x&b=y", 422), ("", 422)],
)
def test_a_comparison_of_what_does_not_exist_is_refused(
    editor: httpx.Client, query: str, status: int
) -> None:
    assert editor.get(f"/compare?{query}").status_code == status
