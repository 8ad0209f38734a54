"""The Python client, and the lists that it walks through, against a real gateway.

With `RECORD_EXAMPLES=1` the first test writes the examples of the documents anew.
"""

import inspect
import json
import os
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from PIL import Image
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Suspended

from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import StoreSettings
from infra.apps.gateway import keys
from infra.apps.gateway.database import opened
from reelwright.client import (
    ApiError,
    Client,
    NotReachableError,
    RunEndedError,
    Video,
    WaitTimeoutError,
)
from reelwright.client.models import Run
from tests.conftest import REPOSITORY, Cli
from tests.support.films import published
from tests.support.gateway import Gateway, gateway
from tests.support.hooks import Receiver, settings_of
from tests.support.recorded import Recorder, first_of_each, missing_in, names_in
from tests.support.studio import wait_for
from tests.support.waiting import BALL, answer_of, let_it_wait

pytestmark = pytest.mark.xdist_group("gateway")
EXAMPLES = REPOSITORY / "infra" / "apps" / "gateway" / "examples.json"
TOKEN = secrets.token_urlsafe(32)


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.close()


@pytest.fixture(scope="module")
def asked(
    deployed: Cli, receiver: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("client")
    cms = {"name": "cms", "url": receiver.url, "secret": "env:HOOK_SECRET", "events": ["failed"]}
    gone = cms | {"name": "gone", "url": "http://127.0.0.1:9/hook"}
    inside = {"networks": ["127.0.0.0/8"]}
    env = settings_of(folder, [cms | inside, gone | inside, cms | {"name": "outside"}]) | {
        "REELWRIGHT_GATEWAY_TRUST_LOCAL": "false",
        "REELWRIGHT_GATEWAY_TOKEN": TOKEN,
    }
    with gateway(deployed, folder, **env) as found:
        yield found


@pytest.fixture
def studio(asked: Gateway) -> Iterator[Client]:
    with Client(asked.url, TOKEN) as client:
        yield client


@pytest.fixture
def bucket(gateway_store: StoreSettings) -> ObjectStore:
    return ObjectStore(gateway_store)


def key_of(asked: Gateway, *scopes: str) -> str:
    with opened(Path(asked.cli.env["REELWRIGHT_DATA_DIR"])) as database:
        return keys.add(database, f"program-{secrets.token_hex(4)}", list(scopes))


def suspend(asked: Gateway, run: UUID, subject: str) -> None:
    """Have the run wait for a person, as `produce-content` does."""
    with (
        temporary_settings({PREFECT_API_URL: asked.cli.env["PREFECT_API_URL"]}),
        get_client(sync_client=True) as prefect,
    ):
        state: Any = Suspended(timeout_seconds=600, pause_key=subject)
        prefect.set_flow_run_state(run, state, force=True)


# Every call -----------------------------------------------------------------------------------


def test_every_call_does_what_it_says_and_is_as_recorded(
    asked: Gateway, receiver: Receiver, bucket: ObjectStore, tmp_path: Path
) -> None:
    recorder = Recorder()
    film = published(bucket, f"a red fox {secrets.token_hex(4)}", "spring-sale")
    with Client(asked.url, TOKEN, transport=recorder) as studio:
        _ask_everything(studio, recorder, asked, bucket, film.content_id, tmp_path)
        paths = list(httpx.get(f"{asked.url}/openapi.json", timeout=60).json()["paths"])
    while (event := receiver.next()[1])["type"] != "test":
        assert event["type"] == "run.failed"  # it was cancelled
    assert "nothing happened" in event["data"]["message"]
    found = first_of_each(recorder.exchanges, paths)
    if os.environ.get("RECORD_EXAMPLES"):
        EXAMPLES.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    known = json.loads(EXAMPLES.read_text(encoding="utf-8"))
    again = "record the examples again: RECORD_EXAMPLES=1"
    assert [item["status"] for item in found] == [item["status"] for item in known], again
    assert list(missing_in(found, known)) == [], again
    methods = {name for name, _ in inspect.getmembers(Client, inspect.isfunction)}
    public = {name for name in methods if not name.startswith("_")}
    assert set(names_in(found)) == public - {"close"}


def _ask_everything(
    studio: Client,
    recorder: Recorder,
    asked: Gateway,
    bucket: ObjectStore,
    cid: str,
    folder: Path,
) -> None:
    def call(name: str) -> Any:
        recorder.call = name
        return getattr(studio, name)

    assert call("me")().name == "operator"
    checked = call("check")("a red fox trots through snow", seconds=4, campaign="spring-sale")
    assert (checked.preset, checked.seconds) == ("demo", 4)
    run = call("start")(
        "a red fox trots through snow", seconds=4, campaign="spring-sale", approval="video"
    )
    assert (run.state, run.ended, run.prompt) == ("accepted", False, "a red fox trots through snow")
    assert call("run")(run) == run
    assert run.id in [item.id for item in call("runs")(state="accepted", campaign="spring-sale")]
    suspend(asked, run.id, "video")
    wait_for("the question", lambda: call("run")(run.id).waiting_for == "video")
    assert call("wait")(run).waiting_for == "video"
    assert call("answer")(run, "approve", reason="lovely").id == run.id
    assert call("cancel")(run).id == run.id
    _ask_about_a_storyboard(call, asked, bucket)
    picture = folder / "fox.png"
    Image.new("RGB", (64, 64), "red").save(picture)
    assert call("upload")(picture).image_path.startswith("uploads/")
    wait_for("the video in the index", lambda: cid in [v.id for v in call("videos")()])
    video = next(item for item in call("videos")(campaign="spring-sale") if item.id == cid)
    assert call("manifest")(video)["content_id"] == cid
    other = call("again")(video, take=7, shots=[1])
    brief = asked.brief_of(str(other.id))
    assert [shot["shot"] for shot in brief["shots"]] == [1]
    _say_things_about(call, video)
    assert call("download")(video, folder / "poster.jpg", "poster").read_bytes() == b"a poster"
    gone = call("trash")(video)
    assert (gone.id, gone.until > datetime.now(UTC)) == (cid, True)
    assert cid not in [item.id for item in call("videos")()]
    assert call("restore")(gone) == video
    assert call("delete")(video).kept is not None
    assert cid not in [item.id for item in call("videos")()]
    tested = call("test_webhook")("cms")
    assert (tested.accepted, tested.status, tested.error) == (True, 204, "")
    actions = [entry.action for entry in call("audit")(subject=str(run.id))]
    assert actions == ["run.cancelled", "run.answered", "run.started"]


def _ask_about_a_storyboard(
    call: Callable[[str], Any], asked: Gateway, bucket: ObjectStore
) -> None:
    run = call("start")("a ball with a white stripe", seconds=4, approval="storyboard")
    let_it_wait(asked.cli, bucket, run.id)
    wait_for("the question", lambda: call("run")(run.id).waiting_for)
    draft = call("storyboard")(run)
    first, second = draft.shots
    assert (first.prompt, [entry.name for entry in draft.sheet]) == (
        f"Wide shot: {BALL} rolls",
        ["ball"],
    )
    shots = [
        {"drafted": second.number, "prompt": second.prompt},
        {"drafted": first.number, "prompt": first.prompt, "wish": "closer, at night"},
        {"prompt": "a green ball flies", "chunks": 1},
    ]
    looks = [{"name": "ball", "appearance": "a blue ball"}]
    assert call("answer")(run, "revise", shots=shots, sheet=looks).id == run.id
    given = answer_of(asked.cli, run.id)
    assert (given.decision, [shot.drafted for shot in given.shots]) == ("revise", [2, 1, 0])
    assert (given.shots[1].wish, given.sheet[0].appearance) == ("closer, at night", "a blue ball")


def _say_things_about(call: Callable[[str], Any], video: Video) -> None:
    """A title, a star and links of a video."""
    assert call("set_note")(video, title="Our fox", starred=True).title == "Our fox"
    assert call("set_note")(video, starred=False).title == "Our fox"
    assert not call("note")(video).starred
    made = call("share")(video, days=2)
    call("share")(video)
    assert httpx.get(made.url, timeout=60).status_code == 200
    links = call("links")(video)
    assert [link.id == made.id for link in links] == [True, False]  # the first ends first
    assert call("end_links")(video, made) == 1
    assert httpx.get(made.url, timeout=60).status_code == 404
    assert call("end_links")(video) == 1
    assert call("links")(video) == []


def test_a_test_event_says_what_the_receiver_did(studio: Client) -> None:
    gone = studio.test_webhook("gone")
    assert (gone.accepted, gone.status) == (False, 0)
    assert "ConnectError" in gone.error
    outside = studio.test_webhook("outside")
    assert (outside.accepted, "is not public" in outside.error) == (False, True)
    with pytest.raises(ApiError, match="there are: cms, gone, outside") as caught:
        studio.test_webhook("nobody")
    assert (caught.value.status, caught.value.code) == (404, "not_found")


# Errors ---------------------------------------------------------------------------------------


def test_a_refusal_has_its_code_its_words_and_what_helps(asked: Gateway, studio: Client) -> None:
    with pytest.raises(ApiError) as caught:
        studio.start("a red ball", seconds=0)
    error = caught.value
    assert (error.status, error.code) == (422, "invalid_brief")
    assert "seconds 0 is outside" in error.message
    assert error.remedy == "Change what the message names."
    assert error.remedy in str(error)
    with Client(asked.url, "rw_nobody") as stranger, pytest.raises(ApiError) as caught:
        stranger.me()
    assert caught.value.code == "unauthorised"
    with Client(asked.url, key_of(asked, "read")) as reader, pytest.raises(ApiError) as caught:
        reader.start("a red ball")
    assert caught.value.code == "forbidden"


def test_the_same_key_is_the_same_run_and_no_key_a_run_each(studio: Client) -> None:
    key = secrets.token_hex(8)
    one, again = (studio.start("a red ball", idempotency_key=key) for _ in range(2))
    assert one.id == again.id
    assert studio.start("a red ball").id != studio.start("a red ball").id
    with pytest.raises(ApiError) as caught:
        studio.start("a blue ball", idempotency_key=key)
    assert caught.value.code == "key_reused"


def test_waiting_ends_in_time_and_the_run_goes_on(studio: Client) -> None:
    run, seen = studio.start("a red ball"), list[Run]()
    with pytest.raises(WaitTimeoutError, match="it goes on"):
        studio.wait(run, timeout=0.3, every=0.1, on_change=seen.append)
    assert [item.state for item in seen] == ["accepted"]
    assert studio.cancel(run.id).id == run.id
    ended = studio.wait(str(run.id), timeout=60, every=0.2)
    assert ended.state == "cancelled"
    with pytest.raises(RunEndedError, match="has no video: it is cancelled"):
        studio.download(ended, "never.mp4")


def test_a_run_that_asks_about_no_storyboard_shows_none(asked: Gateway, studio: Client) -> None:
    run = studio.start("a red ball")
    with pytest.raises(ApiError, match="asks about no storyboard") as caught:
        studio.storyboard(run)
    assert (caught.value.status, caught.value.code) == (409, "not_waiting")
    with Client(asked.url, key_of(asked, "read")) as reader, pytest.raises(ApiError) as caught:
        reader.storyboard(run)
    assert caught.value.code == "forbidden"
    with pytest.raises(RunEndedError, match="has no video: it is accepted"):
        studio.again(run, take=1)


def test_the_same_change_under_one_key_is_one_run(studio: Client, bucket: ObjectStore) -> None:
    film = published(bucket, f"a ball {secrets.token_hex(4)}")
    key = secrets.token_hex(8)
    runs = [studio.again(film.content_id, longer=2, idempotency_key=key).id for _ in range(2)]
    assert runs[0] == runs[1]
    assert studio.again(film.content_id, longer=2).id != runs[0]
    with pytest.raises(ApiError, match="nothing would be different") as caught:
        studio.again(film.content_id)
    assert caught.value.code == "invalid_brief"


def test_a_brief_that_would_be_refused_is_refused_when_it_is_checked(studio: Client) -> None:
    with pytest.raises(ApiError) as checked:
        studio.check("a red ball", seconds=0)
    with pytest.raises(ApiError) as started:
        studio.start("a red ball", seconds=0)
    assert str(checked.value) == str(started.value)


def test_a_gateway_that_is_not_there_is_named() -> None:
    refused = pytest.raises(NotReachableError, match=r"http://127\.0\.0\.1:9.*does not answer")
    with Client("http://127.0.0.1:9", "rw_x", retries=0) as client, refused:
        client.me()


# Lists ----------------------------------------------------------------------------------------


def test_runs_are_found_by_words_campaign_state_and_time_page_by_page(asked: Gateway) -> None:
    key, mark = key_of(asked, "read", "make"), secrets.token_hex(4)
    with Client(asked.url, key) as client:
        began = datetime.now(UTC)
        made = [
            client.start(f"number {n} {mark} Ball", campaign="odd" if n % 2 else "even").id
            for n in range(5)
        ]
        client.cancel(made[0])
        newest = list(reversed(made))

        def found(**filters: Any) -> list[UUID]:
            return [run.id for run in client.runs(**filters)]

        assert found() == newest
        assert found(text=f"{mark} BALL") == newest
        assert found(campaign="odd") == [made[3], made[1]]
        assert found(campaign="odd", text="number 3") == [made[3]]
        assert found(state="cancelled") == [made[0]]
        assert found(state="accepted") == newest[:-1]
        assert found(state="completed") == []
        middle = client.run(made[2]).created
        assert middle is not None
        assert found(since=middle) == newest[:3]
        assert found(until=middle) == newest[3:]
        assert found(until=began - timedelta(minutes=5)) == []
    with asked.client(Authorization=f"Bearer {key}") as plain:
        walked, path = [], "/runs?limit=2&campaign=even"
        while path:
            answer = plain.get(path).raise_for_status()
            walked += [item["id"] for item in answer.json()]
            path = answer.links.get("next", {}).get("url", "")
        assert walked == [str(made[n]) for n in (4, 2, 0)]
        for query in (
            "cursor=x",
            "cursor=W10",
            "since=yesterday",
            "since=2026-11-01T00:00:00",
            "state=odd",
        ):
            assert plain.get(f"/runs?{query}").status_code == 422, query


def test_nobody_s_list_shows_runs_of_others(asked: Gateway, studio: Client) -> None:
    run = studio.start(f"of the operator {secrets.token_hex(4)}")
    with Client(asked.url, key_of(asked, "read")) as reader:
        assert list(reader.runs(text=run.prompt)) == []
    with Client(asked.url, key_of(asked, "read", "review")) as reviewer:
        assert [item.id for item in reviewer.runs(text=run.prompt)] == [run.id]


@pytest.mark.slow
def test_videos_are_found_by_words_and_time(studio: Client, bucket: ObjectStore) -> None:
    words = secrets.token_hex(6)
    film = published(bucket, f"an owl {words}", "autumn")
    wait_for("the video in the index", lambda: list(studio.videos(text=f"OWL {words}")))
    (video,) = studio.videos(text=words, campaign="autumn")
    assert video.id == film.content_id
    made = datetime.fromisoformat(video.created)
    assert list(studio.videos(text=words, since=made + timedelta(seconds=1))) == []
    assert list(studio.videos(text=words, until=made)) == []
    later = published(bucket, f"an owl {words} again", "autumn")
    wait_for("the other video", lambda: len(list(studio.videos(text=words))) == 2)
    times = [item.created for item in studio.videos(text=words, order="oldest")]
    assert times == sorted(times)
    assert times[::-1] == [item.created for item in studio.videos(text=words)]
    studio.set_note(later.content_id, starred=True, title=f"Our owl {words}")
    assert [item.id for item in studio.videos(text=words, starred=True)] == [later.content_id]
    assert [item.id for item in studio.videos(text=f"our owl {words}")] == [later.content_id]
    for item in (film, later):
        studio.delete(item.content_id)


# The page -------------------------------------------------------------------------------------


def test_the_page_of_the_api_names_no_other_host(asked: Gateway) -> None:
    with asked.client() as stranger:
        page = stranger.get("/docs")
        assert page.status_code == 200
        assert "http" not in page.text
        for name in (
            "docs/assets/swagger-ui.css",
            "docs/assets/swagger-ui-bundle.js",
            "static/docs.js",
        ):
            assert f'"/{name}"' in page.text
            assert stranger.get(f"/{name}").status_code == 200
        document = stranger.get("/openapi.json").json()
    briefs = document["paths"]["/briefs"]["post"]
    assert briefs["requestBody"]["content"]["application/json"]["example"]["prompt"]
    assert (
        briefs["responses"]["202"]["content"]["application/json"]["example"]["state"] == "accepted"
    )
