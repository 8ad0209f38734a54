"""A deletion for ever while other runs need the film, after it broke off, and from the trash."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from prefect.states import Cancelled

from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import StoreSettings
from infra.apps.gateway import audit, keys, library, users
from infra.apps.gateway.library_pages import remove_deleted
from infra.apps.gateway.state import Gateway
from pipelines.documents.manifest import Manifest
from pipelines.documents.people import Act
from pipelines.errors import StoreError
from pipelines.schema.keys import Digest, ObjectKey
from tests.support.films import called, id_of, write
from tests.support.in_process import gateway_here
from tests.support.published import publish

ROLES = {"ann": "editor", "eva": "editor", "boss": "operator"}
WHEN = "2027-01-01T00:00:00+00:00"
Ask = Callable[..., "Answered"]


class Answered:
    """What somebody was answered."""

    def __init__(self, status: int, body: Any) -> None:
        self.status, self.body = status, body

    @property
    def refusal(self) -> tuple[int, str]:
        """Status and code."""
        return self.status, str(self.body["error"]["code"])


class FailingStore(ObjectStore):
    """A real store that goes away once, where one object is to be deleted."""

    def __init__(self, settings: StoreSettings, at: ObjectKey) -> None:
        super().__init__(settings)
        self.at = at

    def delete(self, key: ObjectKey) -> None:
        if key == self.at:
            self.at = ObjectKey.keep_list()
            raise StoreError("the store went away")
        super().delete(key)


@pytest.fixture(scope="module")
def settings(gateway_store: StoreSettings) -> StoreSettings:
    return gateway_store.model_copy(update={"bucket": "test-deleting-for-ever"})


@pytest.fixture(scope="module")
def bucket(settings: StoreSettings) -> ObjectStore:
    store = ObjectStore(settings)
    store.ensure_bucket()
    return store


@pytest.fixture(scope="module")
def program(
    settings: StoreSettings, bucket: ObjectStore, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    """The gateway; this machine has no rights of its own."""
    folder = tmp_path_factory.mktemp("for-ever")
    with gateway_here(folder, settings, REELWRIGHT_GATEWAY_TRUST_LOCAL="false") as client:
        yield client


@pytest.fixture(scope="module")
def gateway(program: TestClient) -> Gateway:
    found = program.app.state.gateway  # type: ignore[attr-defined]
    assert isinstance(found, Gateway)
    return found


@pytest.fixture(scope="module")
def ask(program: TestClient, gateway: Gateway) -> Ask:
    """`ask(name, method, path, body)`: a request of one of ROLES."""
    held = {}
    for name, role in ROLES.items():
        client = users.add(gateway.database, name, [role]).client
        scopes = sorted(client.scopes)
        held[name] = keys.add(gateway.database, f"of-{name}", scopes, user_id=client.id)

    def asking(name: str, method: str, path: str, body: object = None) -> Answered:
        headers = {"Authorization": f"Bearer {held[name]}"}
        answer = program.request(method, path, json=body, headers=headers)
        found = answer.json() if "json" in answer.headers.get("content-type", "") else {}
        return Answered(answer.status_code, found)

    return asking


def started(ask: Ask, name: str, words: str, **values: object) -> UUID:
    """A run of somebody, which waits for its turn."""
    found = ask(name, "POST", "/briefs", {"prompt": words, "seconds": 2} | values)
    assert found.status == 202, found.body
    return UUID(str(found.body["id"]))


def video_of(bucket: ObjectStore, name: str, run: UUID, words: str) -> Manifest:
    """A published video that one run asked for, with chunks."""
    asked = Act(did="asked", name=name, when="2026-01-01T00:00:00+00:00", run=run)
    manifest = publish(bucket, prompt=words, seconds=2, upscale=1)
    manifest = manifest.model_copy(update={"people": (asked,), "created": WHEN})
    write(bucket, manifest)
    return manifest


def end(gateway: Gateway, run: UUID) -> None:
    """Prefect says that it is cancelled."""
    (found,) = [item for item in gateway.runs._client.runs.values() if item.id == run]  # type: ignore[attr-defined]
    found.state = Cancelled()
    gateway.runs.forget()


def files_of(bucket: ObjectStore, cid: Digest) -> list[str]:
    keys_of_it = [*bucket.list_keys(f"videos/{cid}/"), *bucket.list_keys(f"manifests/{cid}")]
    return sorted(map(str, keys_of_it))


# Other runs -----------------------------------------------------------------------------------


def test_an_editor_deletes_nothing_for_ever_that_a_run_of_somebody_else_needs(
    gateway: Gateway, bucket: ObjectStore, ask: Ask
) -> None:
    manifest = video_of(bucket, "ann", started(ask, "ann", "a needed ball"), "a needed ball")
    cid = manifest.content_id
    before = files_of(bucket, cid)
    theirs = started(ask, "eva", "a needed ball", campaign="hers", approval="video")
    refused = ask("ann", "DELETE", f"/videos/{cid}.mp4")
    assert refused.refusal == (409, "in_use")
    assert "a run of somebody else makes the same video" in str(refused.body)
    assert f"POST /videos/{cid}/trash" in str(refused.body)
    assert not [word for word in ("eva", str(theirs), "hers") if word in str(refused.body)]
    assert files_of(bucket, cid) == before
    end(gateway, theirs)
    assert ask("ann", "DELETE", f"/videos/{cid}.mp4").status == 200
    assert files_of(bucket, cid) == []


def test_a_manager_s_deletion_does_not_wait_for_runs_that_need_the_video(
    bucket: ObjectStore, ask: Ask
) -> None:
    manifest = video_of(bucket, "ann", started(ask, "ann", "a ball to go"), "a ball to go")
    started(ask, "eva", "a ball to go")
    assert ask("boss", "DELETE", f"/videos/{manifest.content_id}.mp4").status == 200
    assert files_of(bucket, manifest.content_id) == []


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("ann", {}),
        ("eva", {"seed": 7}),
        ("eva", {"stands_in_for": "another model"}),
        ("eva", {"preset": "auto", "seconds": 3}),
    ],
    ids=["of the same person", "of another take", "in place of a model", "of another length"],
)
def test_a_run_that_makes_another_video_or_is_one_s_own_keeps_nobody_from_deleting(
    bucket: ObjectStore, ask: Ask, name: str, values: dict[str, object]
) -> None:
    words = f"a free ball {name} {values}"
    manifest = video_of(bucket, "ann", started(ask, "ann", words), words)
    started(ask, name, words, **values)
    assert ask("ann", "DELETE", f"/videos/{manifest.content_id}.mp4").status == 200


def test_a_run_whose_preset_the_router_chooses_may_need_the_video(
    bucket: ObjectStore, ask: Ask
) -> None:
    words = "a ball of any preset"
    manifest = video_of(bucket, "ann", started(ask, "ann", words), words)
    started(ask, "eva", words, preset="auto")
    refused = ask("ann", "DELETE", f"/videos/{manifest.content_id}.mp4")
    assert refused.refusal == (409, "in_use")


def test_files_in_the_trash_stay_until_no_run_needs_them(
    program: TestClient,
    gateway: Gateway,
    bucket: ObjectStore,
    ask: Ask,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = started(ask, "ann", "a kept ball")
    manifest = video_of(bucket, "ann", first, "a kept ball")
    cid = manifest.content_id
    theirs = started(ask, "eva", "a kept ball")
    monkeypatch.setattr(library, "UNDO_SECONDS", 0.0)  # its time is over at once
    assert ask("ann", "POST", f"/watch/{cid}/delete").status == 303
    portal = program.portal
    assert portal is not None
    for run in (theirs, first):
        portal.call(remove_deleted, gateway)
        assert bucket.head(ObjectKey.video(cid)) is not None
        end(gateway, run)
    portal.call(remove_deleted, gateway)
    assert files_of(bucket, cid) == []
    assert gateway.library.trashed(cid) is None


# A deletion that broke off --------------------------------------------------------------------


@pytest.mark.parametrize("part", ["manifest", "video", "poster", "contact", "manifest_copy"])
def test_a_deletion_that_broke_off_is_repeated_by_the_same_editor_and_answers_the_same(
    settings: StoreSettings,
    gateway: Gateway,
    bucket: ObjectStore,
    ask: Ask,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
) -> None:
    words = f"a ball without its {part}"
    manifest = video_of(bucket, "ann", started(ask, "ann", words), words)
    cid = manifest.content_id
    other = called(manifest, id_of(len(part)))  # of the same chunks
    write(bucket, other)
    gateway.videos.index.reconcile()
    address = f"/videos/{cid}.mp4"
    at_once = ask("ann", "DELETE", address)
    assert at_once.status == 200
    assert [item["shared"] > 0 for item in at_once.body["kept"]]
    for item in manifest.objects:
        if item.key.startswith("videos/"):
            bucket.put_bytes(item.key, item.key.encode(), item.content_type)
    write(bucket, manifest)  # as a version of before: without a copy
    gateway.library.rename(cid, "a title")
    failing = FailingStore(settings, getattr(ObjectKey, part)(cid))
    monkeypatch.setattr(gateway.videos, "_store", failing)
    assert ask("ann", "DELETE", address).refusal == (503, "unavailable")
    assert files_of(bucket, cid) != []
    listed = [item["id"] for item in ask("ann", "GET", "/videos").body]
    assert (cid in listed) == (part == "manifest")  # nothing of it is published any more
    assert ask("eva", "DELETE", address).refusal == (403, "forbidden")
    again = ask("ann", "DELETE", address)
    assert (again.status, again.body) == (200, at_once.body)
    assert files_of(bucket, cid) == []
    assert gateway.library.note(cid).title == ""
    assert ask("ann", "DELETE", address).refusal == (404, "not_found")
    bucket.delete(ObjectKey.manifest(other.content_id))


# From the trash -------------------------------------------------------------------------------


def test_a_program_deletes_a_video_and_takes_it_back(
    gateway: Gateway, bucket: ObjectStore, ask: Ask
) -> None:
    manifest = video_of(bucket, "ann", started(ask, "ann", "a ball to undo"), "a ball to undo")
    cid = manifest.content_id
    before = files_of(bucket, cid)
    assert ask("eva", "POST", f"/videos/{cid}/trash").refusal == (403, "forbidden")
    deleted = ask("ann", "POST", f"/videos/{cid}/trash")
    assert (deleted.status, deleted.body["id"]) == (200, cid)
    assert ask("ann", "GET", f"/videos/{cid}.mp4").status == 404
    assert ask("ann", "POST", f"/videos/{cid}/trash").body == deleted.body
    assert ask("eva", "POST", f"/videos/{cid}/trash").refusal == (404, "not_found")
    assert ask("eva", "POST", f"/videos/{cid}/restore").refusal == (403, "forbidden")
    restored = ask("ann", "POST", f"/videos/{cid}/restore")
    assert (restored.status, restored.body["id"]) == (200, cid)
    assert restored.body in ask("ann", "GET", "/videos").body
    assert files_of(bucket, cid) == before
    assert ask("ann", "POST", f"/videos/{cid}/restore").refusal == (404, "not_found")
    told = audit.entries(gateway.database, audit.Wanted(subject=cid))
    assert [(entry.who, entry.action) for entry in told] == [
        ("ann", "video.restored"),
        ("ann", "video.deleted"),
    ]


def test_what_one_put_into_the_trash_can_be_deleted_for_ever_and_what_an_operator_did_not(
    gateway: Gateway, bucket: ObjectStore, ask: Ask
) -> None:
    manifest = video_of(
        bucket, "ann", started(ask, "ann", "a ball in the bin"), "a ball in the bin"
    )
    cid = manifest.content_id
    assert ask("boss", "POST", f"/videos/{cid}/trash").status == 200
    assert ask("ann", "DELETE", f"/videos/{cid}.mp4").refusal == (403, "forbidden")
    assert ask("boss", "POST", f"/videos/{cid}/restore").status == 200
    assert ask("ann", "POST", f"/videos/{cid}/trash").status == 200
    kept = ask("ann", "DELETE", f"/videos/{cid}.mp4").body["kept"]
    assert "chunks" in [item["kind"] for item in kept]
    assert files_of(bucket, cid) == []
    assert gateway.library.trashed(cid) is None
