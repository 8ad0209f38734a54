"""Who may delete a video, and from which address a run was started."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient

from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import StoreSettings
from infra.apps.gateway import audit, keys, users
from infra.apps.gateway.database import Database
from infra.apps.gateway.state import Gateway
from pipelines.documents.manifest import Manifest
from pipelines.documents.people import Act
from pipelines.schema.keys import ObjectKey
from tests.support.films import published, write
from tests.support.hooks import Sender, settings_of
from tests.support.in_process import gateway_here

BUCKET = "test-deleting"
ROLES = {
    "ann": ["editor"],
    "eva": ["editor"],
    "ada": ["approver"],
    "shop": ["machine"],
    "boss": ["operator"],
}


@pytest.fixture(scope="module")
def bucket(gateway_store: StoreSettings) -> ObjectStore:
    store = ObjectStore(gateway_store.model_copy(update={"bucket": BUCKET}))
    store.ensure_bucket()
    return store


@pytest.fixture(scope="module")
def program(
    gateway_store: StoreSettings, bucket: ObjectStore, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    """The gateway, asked from this machine, which gives no rights."""
    folder = tmp_path_factory.mktemp("deleting")
    store = gateway_store.model_copy(update={"bucket": bucket.bucket})
    hooks = settings_of(folder, [])
    with gateway_here(folder, store, **hooks, REELWRIGHT_GATEWAY_TRUST_LOCAL="false") as client:
        database = database_of(client)
        for name, roles in ROLES.items():
            person = users.add(database, name, roles)
            scopes = sorted(person.client.scopes)
            KEYS[name] = keys.add(database, f"of-{name}", scopes, user_id=person.id)
        yield client


KEYS: dict[str, str] = {}


def state(program: TestClient) -> Gateway:
    found = program.app.state.gateway  # type: ignore[attr-defined]
    assert isinstance(found, Gateway)
    return found


def database_of(program: TestClient) -> Database:
    return state(program).database


@contextmanager
def acting(program: TestClient, name: str) -> Iterator[TestClient]:
    """The requests of one user."""
    program.headers["Authorization"] = f"Bearer {KEYS[name]}"
    try:
        yield program
    finally:
        del program.headers["Authorization"]


def asked_by(program: TestClient, name: str, words: str) -> Act:
    """A run that somebody started; as the flow writes it into the manifest."""
    with acting(program, name):
        answer = program.post("/briefs", json={"prompt": words, "preset": "demo"})
    assert answer.status_code == 202, answer.text
    return act(name, UUID(answer.json()["id"]))


def act(name: str, run: UUID, when: datetime | None = None) -> Act:
    text = (when or datetime.now(UTC)).isoformat(timespec="seconds")
    return Act(did="asked", name=name, when=text, run=run)


def video(bucket: ObjectStore, words: str, *asked: Act) -> Manifest:
    """A published video that was asked for like this."""
    manifest = published(bucket, words).model_copy(update={"people": asked})
    write(bucket, manifest)
    return manifest


def statuses(program: TestClient, name: str, manifest: Manifest) -> tuple[bool, int, int]:
    """Whether the page has the button, and what the page's and the API's deletion answer."""
    cid = manifest.content_id
    with acting(program, name):
        page = program.get(f"/watch/{cid}")
        button = f'action="/watch/{cid}/delete"' in page.text
        return (
            button,
            program.post(f"/watch/{cid}/delete").status_code,
            program.delete(f"/videos/{cid}.mp4").status_code,
        )


def test_an_editor_deletes_a_video_of_their_own_and_takes_it_back(
    program: TestClient, bucket: ObjectStore
) -> None:
    manifest = video(bucket, "own", asked_by(program, "ann", "own"))
    cid = manifest.content_id
    with acting(program, "ann"):
        assert f'action="/watch/{cid}/delete"' in program.get(f"/watch/{cid}").text
        assert program.post(f"/watch/{cid}/delete").status_code == 303
        assert bucket.head(ObjectKey.manifest(cid)) is None
        page = program.get(f"/watch/{cid}")
        assert (page.status_code, f"/watch/{cid}/undo" in page.text) == (404, True)
    with acting(program, "eva"):
        assert "/undo" not in program.get(f"/watch/{cid}").text
        refused = program.post(f"/watch/{cid}/undo")
        assert (refused.status_code, "only who deleted a video" in refused.text) == (403, True)
    with acting(program, "ann"):
        assert program.post(f"/watch/{cid}/undo").status_code == 303
        assert program.get(f"/watch/{cid}").status_code == 200
        assert program.delete(f"/videos/{cid}.mp4").status_code == 200  # of the API: for ever
        assert program.get(f"/watch/{cid}").status_code == 404
    deleted = audit.entries(database_of(program), audit.Wanted(action="video", subject=cid))
    assert [(entry.who, entry.action) for entry in deleted] == [
        ("ann", "video.restored"),
        ("ann", "video.deleted"),
    ]


@pytest.mark.parametrize("name", ["eva", "ada", "shop"])
def test_nobody_but_an_operator_deletes_a_video_of_somebody_else(
    program: TestClient, bucket: ObjectStore, name: str
) -> None:
    manifest = video(bucket, f"not of {name}", asked_by(program, "ann", f"not of {name}"))
    assert statuses(program, name, manifest) == (False, 403, 403)
    assert statuses(program, "boss", manifest)[:2] == (True, 303)


def test_a_video_that_two_people_asked_for_is_the_operator_s_to_delete(
    program: TestClient, bucket: ObjectStore
) -> None:
    both = [asked_by(program, name, "of both") for name in ("ann", "eva")]
    manifest = video(bucket, "of both", *both)
    for name in ("ann", "eva"):
        assert statuses(program, name, manifest) == (False, 403, 403)


@pytest.mark.parametrize("name", ["webhook:shop", "calendar:morning", "prefect", "ann"])
def test_a_name_in_the_manifest_alone_gives_no_right(
    program: TestClient, bucket: ObjectStore, name: str
) -> None:
    """A run whose tags say "ann" and that no request of hers started."""
    manifest = video(bucket, f"named {name}", act(name, uuid4()))
    assert statuses(program, "ann", manifest) == (False, 403, 403)


def test_a_video_that_existed_before_they_asked_for_it_is_not_their_own(
    program: TestClient, bucket: ObjectStore
) -> None:
    """Versions up to 0.5.0 recorded nobody, and a rerun adds a name to such a manifest."""
    later = asked_by(program, "ann", "an old one").model_copy(
        update={"when": (datetime.now(UTC) + timedelta(days=1)).isoformat(timespec="seconds")}
    )
    assert statuses(program, "ann", video(bucket, "an old one", later)) == (False, 403, 403)
    assert statuses(program, "ann", video(bucket, "one of nobody")) == (False, 403, 403)


def test_an_operator_s_deletion_is_taken_back_by_operators_only(
    program: TestClient, bucket: ObjectStore
) -> None:
    manifest = video(bucket, "withdrawn", asked_by(program, "ann", "withdrawn"))
    cid = manifest.content_id
    for name in ("ann", "boss"):
        with acting(program, name):
            assert program.post(f"/watch/{cid}/delete").status_code == 303
        with acting(program, "ann"):
            expected = 303 if name == "ann" else 403
            assert program.post(f"/watch/{cid}/undo").status_code == expected
    with acting(program, "boss"):
        assert program.post(f"/watch/{cid}/undo").status_code == 303


def test_a_machine_deletes_what_it_asked_for(program: TestClient, bucket: ObjectStore) -> None:
    manifest = video(bucket, "of a machine", asked_by(program, "shop", "of a machine"))
    with acting(program, "shop"):
        assert program.delete(f"/videos/{manifest.content_id}.mp4").status_code == 200
        assert program.delete(f"/videos/{manifest.content_id}.mp4").status_code == 404


# Addresses ------------------------------------------------------------------------------------


def test_the_audit_log_says_from_which_address_a_run_was_started(program: TestClient) -> None:
    """By a program, by the form of the pages and by a webhook. Nobody writes another one into a
    header."""
    forged = {"X-Forwarded-For": "9.9.9.9", "Forwarded": "for=9.9.9.9", "X-Real-IP": "9.9.9.9"}
    form = {"prompt": "by the form", "preset": "demo"}
    with acting(program, "ann"):
        by_api = program.post("/briefs", json={"prompt": "by a program"}, headers=forged)
        runs = [by_api.json()["id"]]
        by_form = program.post("/new", data=form, headers=forged)
        runs.append(by_form.headers["location"].removeprefix("/jobs/"))
    sent = Sender(program).send(**{"X-Forwarded-For": "9.9.9.9"})
    runs.append(sent.json()["run"].removeprefix("/runs/"))
    found = {
        run: [
            (entry.who, entry.action, entry.address)
            for entry in audit.entries(database_of(program), audit.Wanted(subject=run))
        ]
        for run in runs
    }
    own = [("ann", "run.started", "127.0.0.1")]
    hook = [("webhook:shop", "run.started", "127.0.0.1")]
    assert [*found.values()] == [own, own, hook]
