"""Titles, stars, links for others, and deletions that can be taken back."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from infra.adapters.manifests import held
from infra.adapters.object_store import ObjectStore
from infra.apps.gateway import library as library_module
from infra.apps.gateway.database import opened
from infra.apps.gateway.index import Index
from infra.apps.gateway.library import Library
from infra.apps.gateway.problems import ProblemError
from infra.apps.gateway.videos import Videos
from pipelines.documents.manifest import Manifest
from pipelines.retention import Ages, Item, decide
from pipelines.schema.keys import ObjectKey
from tasks.discard import discard
from tasks.sweeping import Sweeper
from tests.gateway.test_gateway import error_of
from tests.support.films import film_of, published
from tests.support.gateway import Gateway

pytestmark = pytest.mark.xdist_group("gateway")


@pytest.fixture
def manifest(request: pytest.FixtureRequest, desk_bucket: ObjectStore) -> Manifest:
    """A video of this test alone."""
    return published(desk_bucket, f"a ball of {request.node.name}")


def listed(editor: httpx.Client) -> set[str]:
    return {item["id"] for item in editor.get("/videos").json()}


def test_a_title_and_a_star_stand_on_the_page_and_change_no_manifest(
    editor: httpx.Client, desk_bucket: ObjectStore, manifest: Manifest
) -> None:
    before = desk_bucket.get_bytes(ObjectKey.manifest(manifest.content_id))
    address = f"/videos/{manifest.content_id}/note"
    told = editor.patch(address, json={"title": " The <ball> ", "starred": True}).json()
    assert (told["title"], told["starred"]) == ("The <ball>", True)
    page = editor.get(f"/watch/{manifest.content_id}").text
    assert "The &lt;ball&gt;</h1>" in page
    assert "★" in page
    form = {"action": "unstar"}
    editor.post(f"/watch/{manifest.content_id}/note", data=form)
    assert editor.get(address).json()["starred"] is False
    assert editor.get(address).json()["title"] == "The <ball>"
    assert desk_bucket.get_bytes(ObjectKey.manifest(manifest.content_id)) == before


@pytest.mark.parametrize("title", ["x" * 201, "two\x00", "half \ud800"])
def test_a_title_that_cannot_be_is_refused(
    editor: httpx.Client, manifest: Manifest, title: str
) -> None:
    address = f"/videos/{manifest.content_id}/note"
    body = ('{"title": "' + title.encode("unicode_escape").decode() + '"}').replace("\\x", "\\u00")
    answer = editor.patch(address, content=body, headers={"Content-Type": "application/json"})
    assert "title" in error_of(answer, 422)
    assert editor.get(address).json()["title"] == ""


def test_a_link_shows_one_video_to_somebody_without_a_key(
    desk: Gateway, editor: httpx.Client, desk_bucket: ObjectStore, manifest: Manifest
) -> None:
    shared = editor.post(f"/videos/{manifest.content_id}/share", json={"days": 2}).json()
    path = shared["url"].removeprefix(desk.url)
    other = published(desk_bucket, "a video that is not shared")
    with httpx.Client(
        base_url=desk.url, headers={"X-Forwarded-For": "9.9.9.9"}, timeout=60
    ) as stranger:
        page = stranger.get(path)
        assert page.status_code == 200
        assert manifest.brief.prompt in page.text
        assert 'href="/"' not in page.text
        film = stranger.get(f"{path}/video.mp4", headers={"Range": "bytes=0-9"})
        assert (film.status_code, len(film.content)) == (206, 10)
        assert stranger.get(f"{path}/poster.jpg").content == b"a poster"
        assert stranger.get(f"{path}/manifest.json").status_code in (404, 422)
        for closed in (f"/videos/{manifest.content_id}.mp4", f"/videos/{other.content_id}.mp4"):
            assert stranger.get(closed).status_code == 401
        assert editor.delete(f"/videos/{manifest.content_id}/share").json() == {"ended": 1}
        assert stranger.get(path).status_code == 404
        assert stranger.get(f"{path}/video.mp4").status_code == 404
        assert stranger.get("/share/" + "x" * 32).status_code == 404


def test_a_deleted_video_is_gone_at_once_and_can_be_taken_back(
    editor: httpx.Client, desk_bucket: ObjectStore, manifest: Manifest
) -> None:
    cid = manifest.content_id
    assert editor.get(f"/watch/{cid}").status_code == 200
    before = desk_bucket.get_bytes(ObjectKey.manifest(cid))
    assert editor.post(f"/watch/{cid}/delete").headers["location"] == f"/watch/{cid}"
    assert cid not in listed(editor)
    assert desk_bucket.head(ObjectKey.manifest(cid)) is None
    assert held(desk_bucket, cid, datetime.now(UTC)) == manifest
    assert held(desk_bucket, cid, datetime.now(UTC) + timedelta(hours=3)) is None
    page = editor.get(f"/watch/{cid}")
    assert page.status_code == 404
    assert "can be taken back until" in page.text
    assert editor.post(f"/watch/{cid}/undo").status_code == 303
    assert cid in listed(editor)
    assert desk_bucket.get_bytes(ObjectKey.manifest(cid)) == before
    assert desk_bucket.get_bytes(ObjectKey.manifest_copy(cid)) == before
    assert editor.get(f"/videos/{cid}.mp4").status_code == 200
    assert "time to take it back is over" in editor.post(f"/watch/{cid}/undo").text


def test_who_may_not_manage_cannot_delete(desk: Gateway, manifest: Manifest) -> None:
    key = desk.cli("keys", "add", "maker", "--scope", "read", "--scope", "make").out.strip()
    with desk.client(Authorization=f"Bearer {key}") as maker:
        page = maker.get(f"/watch/{manifest.content_id}").text
        assert "Rename" in page
        assert f"/watch/{manifest.content_id}/delete" not in page
        for action in ("delete", "undo"):
            assert maker.post(f"/watch/{manifest.content_id}/{action}").status_code == 403


@pytest.fixture
def shelf(tmp_path: Path, desk_bucket: ObjectStore) -> Iterator[tuple[Videos, Library]]:
    with opened(tmp_path) as database:
        yield Videos(desk_bucket, Index(database, desk_bucket)), Library(database)


def test_after_its_time_a_deleted_video_is_gone_with_all_its_files(
    shelf: tuple[Videos, Library], desk_bucket: ObjectStore, manifest: Manifest
) -> None:
    videos, library = shelf
    cid = manifest.content_id
    library.rename(cid, "x")
    videos.trash(cid, library)
    assert desk_bucket.head(ObjectKey.video(cid)) is not None
    videos.remove_trashed(cid, library)
    assert [desk_bucket.head(item.key) for item in manifest.objects] == [None] * len(
        manifest.objects
    )
    assert (library.trashed(cid), library.note(cid).title) == (None, "")
    assert desk_bucket.head(ObjectKey.manifest_copy(cid)) is None
    with pytest.raises(ProblemError, match="time to take it back is over"):
        videos.take_back(cid, library)


def test_a_rerun_that_published_it_again_is_not_undone_by_the_removal(
    shelf: tuple[Videos, Library], desk_bucket: ObjectStore, manifest: Manifest
) -> None:
    videos, library = shelf
    cid = manifest.content_id
    videos.trash(cid, library)
    published(desk_bucket, manifest.brief.prompt)
    again = desk_bucket.get_bytes(ObjectKey.manifest(cid))
    videos.remove_trashed(cid, library)
    assert desk_bucket.get_bytes(ObjectKey.manifest(cid)) == again
    assert desk_bucket.head(ObjectKey.video(cid)) is not None
    assert library.trashed(cid) is None


def test_what_a_sweep_took_is_not_called_published(
    shelf: tuple[Videos, Library], desk_bucket: ObjectStore, manifest: Manifest
) -> None:
    videos, library = shelf
    cid = manifest.content_id
    videos.trash(cid, library)
    desk_bucket.delete(ObjectKey.video(cid))
    with pytest.raises(ProblemError, match="was removed meanwhile"):
        videos.take_back(cid, library)
    assert desk_bucket.head(ObjectKey.manifest(cid)) is None


def test_links_end_when_their_time_is_over(
    shelf: tuple[Videos, Library], manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, library = shelf
    secret, _ = library.share(manifest.content_id, 2)
    assert library.shared(secret) is not None
    now = library_module.time.time()
    monkeypatch.setattr(library_module.time, "time", lambda: now + 2 * 86_400 + 1)
    assert library.shared(secret) is None
    assert library.note(manifest.content_id).shared_until == 0


def test_the_gallery_finds_by_words_title_star_and_day(
    editor: httpx.Client, desk_bucket: ObjectStore
) -> None:
    one, two = (published(desk_bucket, f"a searched {name}") for name in ("fox", "boat"))
    for manifest in (one, two):  # the gateway learns of both
        editor.get(f"/watch/{manifest.content_id}")
    editor.patch(f"/videos/{two.content_id}/note", json={"title": "Harbour 50%", "starred": True})

    def found(**query: str) -> set[str]:
        page = editor.get("/", params=query)
        assert page.status_code == 200, page.text
        ids = set(re.findall(r'href="/watch/([0-9a-f]{64})"', page.text))
        if not {"since", "until"} & set(query):  # the API takes times, the page days
            listed = [item["id"] for item in editor.get("/videos", params=query).json()]
            assert ids == set(listed[:24])
        return ids & {one.content_id, two.content_id}

    both = {one.content_id, two.content_id}
    assert found(text="searched FOX") == {one.content_id}
    assert found(text="bour 50%") == {two.content_id}
    assert found(text="bour 5_%") == set()
    assert found(text="searched", starred="true") == {two.content_id}
    day = two.created[:10]
    assert found(text="searched", since=day, until=day) == both
    assert found(text="searched", since="2100-01-01") == set()
    orders = [
        re.findall(r'href="/watch/([0-9a-f]{64})"', editor.get("/", params=query).text)
        for query in ({"text": "searched"}, {"text": "searched", "order": "oldest"})
    ]
    assert orders[0] == orders[1][::-1]
    assert len(orders[0]) == 2
    assert "Harbour 50%" in editor.get("/").text
    for wrong in ("2026-13-01", "yesterday"):
        assert editor.get("/", params={"since": wrong}).status_code == 422


def test_pages_in_either_order_show_every_video_once(
    shelf: tuple[Videos, Library], manifest: Manifest, desk_bucket: ObjectStore
) -> None:
    videos, _ = shelf
    published(desk_bucket, "one more for the pages")
    videos.index.reconcile()
    whole = [video.id for video in videos.index.page(200).videos]
    for oldest_first in (False, True):
        seen: list[str] = []
        cursor = ""
        while True:
            page = videos.index.page(1, cursor=cursor, oldest_first=oldest_first)
            seen += [video.id for video in page.videos]
            if page.next is None:
                break
            cursor = page.next.as_cursor()
        assert seen == (whole[::-1] if oldest_first else whole)


def test_the_daily_sweep_and_a_rejected_rerun_spare_what_can_be_taken_back(
    shelf: tuple[Videos, Library], desk_bucket: ObjectStore, manifest: Manifest
) -> None:
    videos, library = shelf
    cid = manifest.content_id
    videos.trash(cid, library)
    later = datetime.now(UTC) + timedelta(minutes=30)
    sweep = Sweeper(desk_bucket, Ages(), now=later)
    sweep.mark()
    for key in (ObjectKey.video(cid), ObjectKey.chunk(manifest.plan.chunks[0].digest)):
        item = Item(key, 1, later - timedelta(days=400))
        verdict = decide(item, sweep.marks, sweep.ages, later)
        assert verdict is not None
        assert verdict.reason == "in use"
    discard(desk_bucket, film_of(desk_bucket, manifest.brief))
    videos.take_back(cid, library)
    assert desk_bucket.head(ObjectKey.video(cid)) is not None


def test_a_film_that_a_later_run_uploaded_stays_when_the_time_is_over(
    shelf: tuple[Videos, Library], desk_bucket: ObjectStore, manifest: Manifest
) -> None:
    videos, library = shelf
    cid = manifest.content_id
    videos.trash(cid, library)
    library._database.run("update trash set removed = removed - 60 where video = ?", (cid,))
    film = film_of(desk_bucket, manifest.brief)  # uploaded again, and waits for approval
    videos.remove_trashed(cid, library)
    assert desk_bucket.head(film.video.key) == film.video


def test_a_link_ends_with_its_video(
    desk: Gateway, editor: httpx.Client, desk_bucket: ObjectStore, manifest: Manifest
) -> None:
    address = f"/videos/{manifest.content_id}"
    for remove in ("delete", "trash"):
        path = editor.post(f"{address}/share", json={}).json()["url"].removeprefix(desk.url)
        assert editor.get(path).status_code == 200
        if remove == "delete":
            assert editor.delete(f"{address}.mp4").status_code == 200
        else:
            editor.post(f"/watch/{manifest.content_id}/delete")
        published(desk_bucket, manifest.brief.prompt)
        assert editor.get(f"/watch/{manifest.content_id}").status_code == 200
        assert editor.get(path).status_code == 404


def test_what_people_do_with_a_video_stands_in_the_audit_log_by_name(
    desk: Gateway, editor: httpx.Client, manifest: Manifest
) -> None:
    cid = manifest.content_id
    editor.patch(f"/videos/{cid}/note", json={"starred": True})
    editor.post(f"/videos/{cid}/share", json={})
    editor.post(f"/watch/{cid}/delete")
    editor.post(f"/watch/{cid}/undo")
    editor.post("/new/forecast", data={"prompt": "a fox"})
    entries = editor.get("/api/v1/audit").json()
    about = [item["action"] for item in entries if item["subject"] == cid]
    assert about == ["video.restored", "video.deleted", "video.shared", "video.noted"]
    assert not [item for item in entries if "forecast" in item["action"]]
