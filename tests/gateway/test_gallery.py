"""The videos as the gateway lists, shows, sends and deletes them."""

import io
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from prefect import task
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelled, Paused

from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import StoreSettings
from infra.apps.gateway import keys
from infra.apps.gateway.database import opened
from pipelines.documents.manifest import Film, Manifest
from pipelines.documents.people import Act
from pipelines.publishing import make_manifest
from pipelines.schema.keys import Digest, ObjectKey
from pipelines.schema.plan import digest_of
from tests.conftest import Cli
from tests.support.films import (
    brief_of,
    film_of,
    id_of,
    numbered,
    published,
    replace_behind_its_back,
    write,
)
from tests.support.gateway import Gateway, gateway
from tests.support.published import OLD, publish_old
from tests.support.studio import wait_for

pytestmark = pytest.mark.xdist_group("gateway")
COUNT = 60


@pytest.fixture(scope="module")
def bucket(gateway_store: StoreSettings) -> ObjectStore:
    """Sixty videos, of which every third is of a campaign, and what must not be there."""
    store = ObjectStore(gateway_store.model_copy(update={"bucket": "test-gallery"}))
    store.ensure_bucket()
    model = published(store, "a video of the gallery")
    for number in range(COUNT):
        campaigns = ("spring & sale",) if number % 3 == 0 else ()
        write(store, numbered(model, number, campaigns))
    store._client.put_object(store.bucket, "videos/holiday/<b>.mp4", io.BytesIO(b"x"), 1)
    key = ObjectKey.manifest(id_of(1000))
    store.put_bytes(key, b'{"manifest_version": 1}', "application/json")
    return store


@pytest.fixture(scope="module")
def asked(
    deployed: Cli, bucket: ObjectStore, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gallery")
    with gateway(deployed, folder, REELWRIGHT_S3_BUCKET=bucket.bucket) as found:
        with found.client() as client:
            wait_for("the index", lambda: "is being read" not in client.get("/").text)
        yield found


@pytest.fixture
def client(asked: Gateway) -> Iterator[httpx.Client]:
    """This machine: it may do everything."""
    with asked.client() as client:
        yield client


@pytest.fixture(scope="module")
def reader(asked: Gateway) -> Iterator[httpx.Client]:
    """A key that may only look."""
    key = asked.cli("keys", "add", "cms", "--scope", "read").out.strip()
    with asked.client(Authorization=f"Bearer {key}") as client:
        yield client


@pytest.fixture
def manifest(
    request: pytest.FixtureRequest, bucket: ObjectStore, client: httpx.Client
) -> Iterator[Manifest]:
    """A whole video of this test alone: the gateway remembers which it has read."""
    found = published(bucket, f"a red ball, {request.node.name}")
    assert client.get(f"/watch/{found.content_id}").status_code == 200
    yield found
    client.delete(f"/videos/{found.content_id}.mp4")


def next_of(answer: httpx.Response) -> str:
    return str(answer.links["next"]["url"]) if "next" in answer.links else ""


def ids_of(client: httpx.Client, path: str) -> list[str]:
    """Of all pages."""
    ids = []
    while path:
        answer = client.get(path)
        assert answer.status_code == 200, answer.text
        ids += [video["id"] for video in answer.json()]
        path = next_of(answer)
    return ids


def test_all_videos_come_page_by_page(client: httpx.Client) -> None:
    expected = [id_of(number) for number in reversed(range(COUNT))]
    assert ids_of(client, "/videos?limit=7")[1:] == expected
    assert ids_of(client, "/videos")[1:] == expected
    spring = ids_of(client, "/videos?limit=4&campaign=spring+%26+sale")
    assert spring == [id_of(number) for number in reversed(range(0, COUNT, 3))]


def test_a_cursor_that_is_none_of_ours_is_refused(client: httpx.Client) -> None:
    for path in ("/videos", "/"):
        answer = client.get(path, params={"cursor": "' or 1=1"})
        assert answer.status_code == 422
        assert "none of ours" in answer.json()["error"]["message"]


def test_the_gallery_pages_by_the_same_cursor(client: httpx.Client) -> None:
    path, seen = "/?campaign=spring+%26+sale", []
    first = client.get(path).text
    assert "Newest" not in first
    while path:
        page = client.get(path).text
        seen += re.findall(r'<li><a href="/watch/([0-9a-f]{64})"', page)
        older = re.search(r'rel="next" href="([^"]+)"', page)
        path = older[1].replace("&amp;", "&") if older else ""
    assert seen == [id_of(number) for number in reversed(range(0, COUNT, 3))]
    assert "There is none" not in page
    client.get("/").raise_for_status()


def test_what_is_no_video_is_skipped_and_told_to_who_manages(
    client: httpx.Client, reader: httpx.Client
) -> None:
    page = client.get("/").text
    assert "Not shown (2)" in page
    assert "videos/holiday/" in page
    assert "<b>" not in page
    assert f"{id_of(1000)}: its manifest is of another version" in page
    assert "Not shown" not in reader.get("/").text
    watch = client.get(f"/watch/{id_of(1000)}")
    assert watch.status_code == 502
    assert "of another version" in watch.text


def test_a_deleted_video_is_out_of_the_list_at_once(
    client: httpx.Client, manifest: Manifest, bucket: ObjectStore
) -> None:
    cid = manifest.content_id
    assert cid in ids_of(client, "/videos")
    assert client.delete(f"/videos/{cid}.mp4").status_code == 200
    assert cid not in ids_of(client, "/videos")
    assert client.get(f"/watch/{cid}").status_code == 404
    assert bucket.list_keys(f"videos/{cid}/") == []


def test_a_deletion_that_broke_off_is_repeated(
    client: httpx.Client, manifest: Manifest, bucket: ObjectStore
) -> None:
    cid = manifest.content_id
    for part in (ObjectKey.manifest, ObjectKey.video):
        bucket.delete(part(cid))
    assert client.delete(f"/videos/{cid}.mp4").status_code == 200
    assert bucket.list_keys(f"videos/{cid}/") == []
    assert client.delete(f"/videos/{cid}.mp4").status_code == 404


def test_a_deletion_says_what_stays_and_until_when(
    client: httpx.Client, bucket: ObjectStore
) -> None:
    words = "a chunk that two videos use"
    first = published(bucket, words)
    brief = brief_of(words).model_copy(update={"upscale": 2})
    second = make_manifest(brief, film_of(bucket, brief), bucket.bucket)
    write(bucket, second)
    (chunk,) = {item.key for item in first.plan.chunks}
    assert chunk in {item.key for item in second.plan.chunks}
    bucket.put_bytes(chunk, b"a chunk", "video/mp4")
    for item in (first, second):  # a look at one brings it into the index
        assert client.get(f"/watch/{item.content_id}").status_code == 200
    deleted = [
        client.delete(f"/videos/{item.content_id}.mp4").json()["kept"] for item in (first, second)
    ]
    left = {"kind": "chunks", "objects": 1, "bytes": 7}
    assert [item.items() >= left.items() for (item,) in deleted] == [True, True]
    assert [item["shared"] for (item,) in deleted] == [1, 0]
    until = date.fromisoformat(deleted[1][0]["until"])
    assert timedelta(days=89) < until - datetime.now(UTC).date() < timedelta(days=93)
    assert bucket.head(chunk) is not None


@pytest.mark.parametrize("old", OLD, ids=lambda old: old["content_id"][:8])
def test_a_video_of_version_0_2_is_shown_and_deleted(
    client: httpx.Client, bucket: ObjectStore, old: dict[str, Any]
) -> None:
    manifest = publish_old(bucket, old)
    cid = manifest.content_id
    watch = client.get(f"/watch/{cid}")
    assert watch.status_code == 200, watch.text
    for shot in old["storyboard"]["shots"]:
        assert shot["prompt"] in watch.text
    assert client.get(f"/videos/{cid}.json").json() == old
    assert client.get(f"/videos/{cid}.mp4").content == f"videos/{cid}/video.mp4".encode()
    (view,) = [item for item in client.get("/videos").json() if item["id"] == cid]
    clip = old["clip"]
    assert (view["width"], view["height"], view["model"]) == (clip["width"], clip["height"], "none")
    assert view["campaigns"] == old["campaigns"]
    chunks = [item["key"] for item in old["objects"] if item["key"].startswith("chunks/")]
    kept = {
        item["kind"]: item["objects"] for item in client.delete(f"/videos/{cid}.mp4").json()["kept"]
    }
    assert kept["chunks"] == len(chunks)
    assert bucket.list_keys(f"videos/{cid}/") == []
    assert set(chunks) <= set(bucket.list_keys("chunks/"))
    assert client.get(f"/watch/{cid}").status_code == 404
    for key in (
        *chunks,
        *(item for folder in ("segments/", "shots/") for item in bucket.list_keys(folder)),
    ):
        bucket.delete(ObjectKey(key))


def names_of(cid: Digest) -> list[str]:
    return [f"/videos/{cid}{rest}" for rest in (".mp4", ".jpg", "-contact.jpg")]


def key_of(asked: Gateway, *scopes: str) -> str:
    """A new key, made as `reelwright keys add` makes it."""
    with opened(Path(asked.cli.env["REELWRIGHT_DATA_DIR"])) as database:
        return keys.add(database, f"gallery-{secrets.token_hex(4)}", ["read", *scopes])


@contextmanager
def waiting(asked: Gateway, bucket: ObjectStore, film: Film, key: str) -> Iterator[UUID]:
    """A run that the holder of `key` started, and that waits for an answer about `film`."""
    owner = f"owner:{keys.hash_of(key)[:32]}"
    with (
        temporary_settings({PREFECT_API_URL: asked.cli.env["PREFECT_API_URL"]}),
        get_client(sync_client=True) as prefect,
    ):
        flows = [
            prefect.read_deployment_by_name(name).id
            for name in ("produce-content/normal", "render-video/gpu")
        ]
        brief = {"brief": {"prompt": "a film that waits"}}
        run = prefect.create_flow_run_from_deployment(flows[0], parameters=brief, tags=[owner])
        call = prefect.create_task_run(task(lambda: None), run.id, dynamic_key="0")
        made = prefect.create_flow_run_from_deployment(
            flows[1], parameters=brief, parent_task_run_id=call.id
        )
        data = film.model_dump_json().encode()
        bucket.put_bytes(ObjectKey.film(made.id), data, "application/json")
        paused: State[None] = Paused(timeout_seconds=3600, pause_key="video")
        prefect.set_flow_run_state(run.id, paused, force=True)
        yield run.id
        for one in (made.id, run.id):
            prefect.set_flow_run_state(one, Cancelled(), force=True)
        bucket.delete(ObjectKey.film(made.id))


def test_the_film_that_a_run_of_somebody_else_waits_with_is_not_deleted_for_ever(
    asked: Gateway, bucket: ObjectStore
) -> None:
    """The run's own film decides, whatever its brief says."""
    mine, other = (key_of(asked, "make", "approve") for _ in range(2))
    brief = brief_of("a film that two wait for")
    film, another = film_of(bucket, brief), film_of(bucket, brief_of("another film"))
    address = f"/videos/{film.plan.content_id}.mp4"
    with asked.client(Authorization=f"Bearer {mine}") as holder:
        sent = brief.model_dump(mode="json") | {"approval": "video"}
        run = UUID(holder.post("/briefs", json=sent).raise_for_status().json()["id"])
        when = datetime.now(UTC).isoformat(timespec="seconds")
        people = (Act(did="asked", name="mine", when=when, run=run),)
        manifest = make_manifest(brief, film, bucket.bucket).model_copy(update={"people": people})
        write(bucket, manifest)
        with waiting(asked, bucket, another, other), waiting(asked, bucket, film, mine):
            with waiting(asked, bucket, film, other):
                refused = holder.delete(address)
                assert (refused.status_code, refused.json()["error"]["code"]) == (409, "in_use")
                assert bucket.head(film.video.key) == film.video
            assert holder.delete(address).status_code == 200
        assert holder.delete(f"/runs/{run}").status_code == 202
    assert bucket.list_keys(f"videos/{film.plan.content_id}/") == []


def test_a_film_that_waits_for_approval_is_there_for_its_approvers_only(
    client: httpx.Client, reader: httpx.Client, asked: Gateway, bucket: ObjectStore
) -> None:
    film = film_of(bucket, brief_of("a film that waits"))
    cid = film.plan.content_id
    boss, other, manager = (key_of(asked, scope) for scope in ("approve", "approve", "manage"))
    statuses = {boss: 200, other: 404, manager: 200}

    def seen(name: str) -> dict[str, int]:
        answers = {}
        for key in statuses:
            with asked.client(Authorization=f"Bearer {key}") as holder:
                answers[key] = holder.get(name, headers={"Range": "bytes=0-"}).status_code
                # That it is there at all is not told by another answer to a senseless range.
                beyond = holder.get(name, headers={"Range": "bytes=9999999-"}).status_code
                assert beyond == (404 if answers[key] == 404 else 416)
        return {key: 200 if status == 206 else status for key, status in answers.items()}

    assert seen(names_of(cid)[0]) == statuses | {boss: 404}  # no run of his asks about it
    with waiting(asked, bucket, film, boss):
        for name in names_of(cid):
            assert reader.get(name).status_code == 404
            assert reader.head(name).status_code == 404
            assert reader.get(name, headers={"If-None-Match": "*"}).status_code == 404
            assert seen(name) == statuses
    assert seen(names_of(cid)[0]) == statuses | {boss: 404}
    assert cid not in ids_of(client, "/videos")
    client.delete(f"/videos/{cid}.mp4")


def test_stills_of_a_draft_are_there_for_approvers_only(
    reader: httpx.Client, asked: Gateway, bucket: ObjectStore
) -> None:
    key = ObjectKey.still(digest_of("a still of the gallery"))
    bucket.put_bytes(key, b"a picture", "image/png")
    for scope in ("approve", "manage"):
        with asked.client(Authorization=f"Bearer {key_of(asked, scope)}") as holder:
            assert holder.get(f"/{key}").content == b"a picture"
    assert reader.get(f"/{key}").status_code == 403


def test_a_video_that_a_sweep_took_away_is_not_shown_when_it_is_made_again(
    client: httpx.Client, reader: httpx.Client, manifest: Manifest, bucket: ObjectStore
) -> None:
    """The gateway is not told of the sweep; the film that was made again may wait for approval."""
    cid = manifest.content_id
    assert reader.get(f"/videos/{cid}.mp4").status_code == 200
    bucket.delete(ObjectKey.manifest(cid))
    for name in names_of(cid):
        assert reader.get(name).status_code == 404
        assert client.get(name).status_code == 200
    assert cid not in ids_of(client, "/videos")


def test_a_published_video_is_there_for_everybody(reader: httpx.Client, manifest: Manifest) -> None:
    for name in [*names_of(manifest.content_id), f"/videos/{manifest.content_id}.json"]:
        assert reader.get(name).status_code == 200


def test_a_damaged_video_is_an_error_before_its_first_byte(
    client: httpx.Client, manifest: Manifest, bucket: ObjectStore
) -> None:
    key = ObjectKey.video(manifest.content_id)
    size = next(item.size for item in manifest.objects if item.key == key)
    replace_behind_its_back(bucket, key, b"x" * size)
    name = f"/videos/{manifest.content_id}.mp4"
    for headers in ({}, {"Range": "bytes=0-9"}):
        answer = client.get(name, headers=headers)
        assert answer.status_code == 502
        assert answer.json()["error"]["code"] == "damaged"
        assert "give its brief again" in answer.json()["error"]["message"]
    assert client.head(name).status_code == 502
    assert client.get(name.replace(".mp4", ".jpg")).status_code == 200
