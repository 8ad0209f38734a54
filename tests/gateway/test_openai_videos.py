"""`/v1/videos`: OpenAI's Videos API, asked by plain HTTP and by OpenAI's own client library."""

import base64
import io
import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import pytest
from PIL import Image
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Failed

from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import StoreSettings
from infra.apps.gateway import keys
from infra.apps.gateway.database import opened
from pipelines.documents.brief import Brief
from pipelines.planning.plan import frames_of, timeline
from pipelines.schema.keys import ObjectKey
from tasks.publish import Published
from tests.conftest import Cli
from tests.gateway.test_gateway import error_of, png
from tests.support.gateway import Gateway, gateway
from tests.support.published import publish
from tests.support.studio import wait_for

pytestmark = pytest.mark.xdist_group("gateway")
TOKEN = secrets.token_urlsafe(32)
URL = "/v1/videos"


@pytest.fixture(scope="module")
def asked(deployed: Cli, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    env = {"REELWRIGHT_GATEWAY_TRUST_LOCAL": "false", "REELWRIGHT_GATEWAY_TOKEN": TOKEN}
    with gateway(deployed, tmp_path_factory.mktemp("videos-api"), **env) as found:
        yield found


def key_of(asked: Gateway, *scopes: str) -> str:
    with opened(Path(asked.cli.env["REELWRIGHT_DATA_DIR"])) as database:
        return keys.add(database, f"key-{secrets.token_hex(4)}", list(scopes) or ["read", "make"])


@pytest.fixture
def client(asked: Gateway) -> Iterator[httpx.Client]:
    """With a key of the test's own, so that it sees no clip of another."""
    with asked.client(Authorization=f"Bearer {key_of(asked)}") as client:
        yield client


def clip(**values: Any) -> dict[str, Any]:
    return {"prompt": f"a red ball moves right {secrets.token_hex(6)}", "model": "demo"} | values


def started(client: httpx.Client, **values: Any) -> dict[str, Any]:
    answer = client.post(URL, json=clip(**values))
    assert answer.status_code == 200, answer.text
    job: dict[str, Any] = answer.json()
    return job


def brief_of(asked: Gateway, job: dict[str, Any]) -> Brief:
    return Brief.model_validate(asked.run_of(job["id"]).parameters["brief"])


def end(asked: Gateway, job: dict[str, Any], state: Any) -> None:
    """What a worker does at the end of a run; this studio has none."""
    with (
        temporary_settings({PREFECT_API_URL: asked.cli.env["PREFECT_API_URL"]}),
        get_client(sync_client=True) as prefect,
    ):
        prefect.set_flow_run_state(job["id"], state, force=True)


def complete(asked: Gateway, settings: StoreSettings, job: dict[str, Any]) -> str:
    """Publish a video for the clip, and end its run. Returns the content id."""
    store = ObjectStore(settings)
    manifest = publish(store, prompt=job["prompt"])
    note = Published(content_id=manifest.content_id).model_dump_json().encode()
    store.put_bytes(ObjectKey.published(asked.run_of(job["id"]).id), note, "application/json")
    end(asked, job, Completed())
    wait_for(
        "the clip",
        lambda: (
            httpx.get(
                f"{asked.url}{URL}/{job['id']}",
                headers={"Authorization": f"Bearer {TOKEN}"},
                timeout=60,
            ).json()["status"]
            == "completed"
        ),
    )
    return manifest.content_id


def test_words_seed_frames_and_size_are_used_as_given(client: httpx.Client, asked: Gateway) -> None:
    job = started(
        client,
        num_frames=17,
        size="64x64",
        fps=16,
        seed=42,
        negative_prompt="blue",
        num_inference_steps=6,
        guidance_scale=3.5,
        flow_shift=2.0,
    )
    brief = brief_of(asked, job)
    assert (brief.preset, brief.enhance, brief.seed, brief.negative) == ("demo", False, 42, "blue")
    assert (brief.steps, brief.guidance, brief.flow_shift, brief.approval) == (6, 3.5, 2.0, "none")
    (shot,) = brief.storyboard
    assert (shot.prompt, shot.seed) == (job["prompt"], 42)
    (slot,) = timeline(brief)
    assert (slot.frames, slot.frame_count) == (17, 17)
    assert {name: job[name] for name in ("object", "status", "progress", "size", "model")} == {
        "object": "video",
        "status": "queued",
        "progress": 0,
        "size": "64x64",
        "model": "demo",
    }
    assert (job["num_frames"], job["fps"], job["seconds"], job["error"]) == (17, 16, "1.0625", None)


@pytest.mark.parametrize("frames", [4, 6, 33, 34, 50, 200])
def test_a_clip_has_exactly_its_frames(client: httpx.Client, asked: Gateway, frames: int) -> None:
    job = started(client, num_frames=frames)
    assert job["num_frames"] == frames
    brief = brief_of(asked, job)
    assert frames_of(brief) == frames
    assert brief.joins == ("continue" if frames > 33 else "cut")


def test_seconds_are_text_or_a_number_and_four_if_left_out(client: httpx.Client) -> None:
    found = [
        started(client, **values)["num_frames"]
        for values in ({"seconds": "2"}, {"seconds": 1.5}, {}, {"seconds": 9, "num_frames": 8})
    ]
    assert found == [32, 24, 64, 8]


def test_a_backend_and_no_model_at_all_are_models_too(client: httpx.Client, asked: Gateway) -> None:
    assert brief_of(asked, started(client, model="wan-demo", size="128x128")).size == "128*128"
    body = clip()
    del body["model"]
    answer = client.post(URL, json=body)
    assert answer.json()["model"] == "demo"  # all that is installed


def test_a_form_carries_a_picture_to_begin_with(client: httpx.Client, asked: Gateway) -> None:
    form = {name: str(value) for name, value in clip(num_frames=9, seed=7, seconds="").items()}
    answer = client.post(URL, data=form, files={"input_reference": ("x.png", png(), "image/png")})
    assert answer.status_code == 200, answer.text
    brief = brief_of(asked, answer.json())
    assert brief.inputs == {"text", "first_frame"}
    assert (brief.seed, frames_of(brief)) == (7, 9)
    data = f"data:image/png;base64,{base64.b64encode(png()).decode()}"
    same = started(client, input_reference={"image_url": data})
    assert brief_of(asked, same).image == brief.image
    kept = started(client, input_reference={"file_id": brief.image})
    assert brief_of(asked, kept).image == brief.image
    # A form without a file is a form too, as vLLM-Omni's clients send it.
    parts = {name: (None, value) for name, value in form.items()}
    assert client.post(URL, files=parts).json()["num_frames"] == 9


def test_a_picture_of_megabytes_fits_into_json(client: httpx.Client, asked: Gateway) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (800, 800, 3), np.uint8)
    target = io.BytesIO()
    Image.fromarray(noise).save(target, "png")
    data = f"data:image/png;base64,{base64.b64encode(target.getvalue()).decode()}"
    assert len(data) > 2_000_000  # other requests may have 1,000,000 bytes
    assert brief_of(asked, started(client, input_reference={"image_url": data})).image
    too_large = client.post(URL, json=clip(input_reference={"image_url": "x" * 28_000_000}))
    assert "28,000,000 bytes" in error_of(too_large, 413)


def test_a_clip_whose_preset_is_gone_does_not_hide_the_others(
    client: httpx.Client, asked: Gateway
) -> None:
    old, new = started(client), started(client)
    with (
        temporary_settings({PREFECT_API_URL: asked.cli.env["PREFECT_API_URL"]}),
        get_client(sync_client=True) as prefect,
    ):
        brief = asked.brief_of(old["id"])
        prefect.update_flow_run(old["id"], parameters={"brief": brief | {"preset": "gone"}})
    assert [job["id"] for job in client.get(URL).json()["data"]] == [new["id"]]
    assert "its preset is gone" in error_of(client.get(f"{URL}/{old['id']}"), 404)
    assert client.delete(f"{URL}/{old['id']}").json()["deleted"]


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "model": ({"model": "sora-2"}, "'sora-2' is no preset or backend for videos; choose one of"),
    "still": ({"model": "image_fast"}, "no preset or backend for videos"),
    "size": ({"size": "1000x500"}, "size 1000x500 is not offered by Reelwright Tiny Wan"),
    "size as Wan writes it": ({"size": "64*64"}, "size"),
    "rate": ({"fps": 24}, "fps 24 is not what Reelwright Tiny Wan, for a CPU makes; ask for 16"),
    "frames": ({"num_frames": 3}, "3 frames at 16 a second are outside 4 to 9600"),
    "too many": ({"num_frames": 9601}, "outside 4 to 9600"),
    "seed": ({"seed": -5}, "seed"),
    "steps": ({"num_inference_steps": 0}, "num_inference_steps"),
    "no words": ({"prompt": ""}, "prompt"),
    "control character": ({"prompt": "a\u0007"}, "U+0007"),
    "unknown": ({"guidance_scale_2": 3}, "guidance_scale_2"),
    "an address": (
        {"input_reference": {"image_url": "http://169.254.169.254/latest"}},
        "nothing is fetched from other addresses",
    ),
    "no picture": (
        {"input_reference": {"image_url": "data:image/png;base64,AAAA"}},
        "no PNG, JPEG or WebP",
    ),
    "a path": ({"input_reference": {"file_id": "../../etc/passwd"}}, "is no uploaded file"),
    "not uploaded": (
        {"input_reference": {"file_id": f"uploads/{'0' * 64}.png"}},
        "was not uploaded",
    ),
}


@pytest.mark.parametrize(("change", "words"), BAD.values(), ids=BAD)
def test_a_bad_value_is_named_and_starts_nothing(
    client: httpx.Client, change: dict[str, Any], words: str
) -> None:
    assert words in error_of(client.post(URL, json=clip(**change)), 422)
    assert client.get(URL).json()["data"] == []


def test_what_is_neither_json_nor_a_form_is_refused(client: httpx.Client) -> None:
    for content, kind, words in (
        (b"{", "application/json", "no JSON"),
        (b"[1]", "application/json", "dictionary"),
        (b"prompt=x", "application/x-www-form-urlencoded", "multipart/form-data"),
        (b"x", "", "multipart/form-data"),
    ):
        answer = client.post(URL, content=content, headers={"Content-Type": kind})
        assert words in error_of(answer, 422)


def test_a_model_that_is_not_installed_says_how_to_get_it(client: httpx.Client) -> None:
    answer = client.post(URL, json=clip(model="video_best"))
    assert "reelwright models download t2v-A14B" in error_of(answer, 409)


def test_the_same_key_is_the_same_clip_and_finds_it(client: httpx.Client) -> None:
    body, key = clip(num_frames=9), secrets.token_hex(8)
    first = client.post(URL, json=body, headers={"Idempotency-Key": key}).json()
    again = client.post(URL, json=body | {"idempotency_key": key}).json()
    assert again["id"] == first["id"]
    other = client.post(URL, json=clip(), headers={"Idempotency-Key": key})
    assert "another request" in error_of(other, 409)
    (found,) = client.get(URL, params={"idempotency_key": key}).json()["data"]
    assert found["id"] == first["id"]
    assert client.get(URL, params={"idempotency_key": "unused"}).json()["data"] == []
    assert client.post(URL, json=body).json()["id"] != first["id"]  # without a key it is a new one


def test_clips_are_listed_page_by_page(client: httpx.Client) -> None:
    ids = [started(client, num_frames=8)["id"] for _ in range(5)]
    seen: list[str] = []
    query: dict[str, str | int] = {"limit": 2}
    for _ in range(5):
        page = client.get(URL, params=query).json()
        seen += [job["id"] for job in page["data"]]
        if not page["has_more"]:
            break
        query["after"] = page["last_id"]
    assert seen == ids[::-1]
    oldest = client.get(URL, params={"order": "asc", "limit": 5}).json()
    assert [job["id"] for job in oldest["data"]] == ids
    assert (oldest["first_id"], oldest["last_id"]) == (ids[0], ids[-1])


def test_a_clip_is_its_key_s_and_the_managers_only(client: httpx.Client, asked: Gateway) -> None:
    job = started(client)
    address = f"{URL}/{job['id']}"
    with asked.client(Authorization=f"Bearer {key_of(asked)}") as stranger:
        assert stranger.get(URL).json()["data"] == []
        for answer in (
            stranger.get(address),
            stranger.delete(address),
            stranger.get(f"{address}/content"),
            stranger.get(URL, params={"after": job["id"]}),
        ):
            error_of(answer, 404)
    with asked.client(Authorization=f"Bearer {TOKEN}") as manager:
        assert manager.get(address).json() == client.get(address).json()
    assert client.get(address).json()["status"] == "queued"
    with asked.client(Authorization=f"Bearer {key_of(asked, 'read')}") as reader:
        assert "make" in error_of(reader.post(URL, json=clip()), 403)
        assert "make" in error_of(reader.delete(address), 403)
    assert httpx.post(f"{asked.url}{URL}", json=clip(), timeout=60).status_code == 401


def test_a_run_that_did_not_come_this_way_is_no_clip(asked: Gateway) -> None:
    with asked.client(Authorization=f"Bearer {TOKEN}") as manager:
        run = manager.post("/briefs", json={"prompt": "a red ball"}).json()["id"]
        other = error_of(manager.get(f"{URL}/{run}"), 404)
        unknown = str(uuid4())
        none = error_of(manager.get(f"{URL}/{unknown}"), 404)
        assert other.replace(run, "ID") == none.replace(unknown, "ID")


def test_deleting_stops_the_run_and_forgets_the_clip(client: httpx.Client, asked: Gateway) -> None:
    body, key = clip(), {"Idempotency-Key": secrets.token_hex(8)}
    job = client.post(URL, json=body, headers=key).json()
    address = f"{URL}/{job['id']}"
    assert client.delete(address).json() == {
        "id": job["id"],
        "object": "video.deleted",
        "deleted": True,
    }
    error_of(client.get(address), 404)
    error_of(client.delete(address), 404)
    assert client.get(URL).json()["data"] == []
    run = f"/runs/{job['id']}"
    wait_for("the cancel", lambda: client.get(run).json()["state"] == "cancelled")
    again = client.post(URL, json=body, headers=key).json()
    assert again["id"] != job["id"]
    assert again["status"] == "queued"


def test_a_clip_that_failed_says_why(client: httpx.Client, asked: Gateway) -> None:
    job = started(client)
    end(asked, job, Failed(message="the card caught fire"))
    found = client.get(f"{URL}/{job['id']}").json()
    assert found["status"] == "failed"
    assert found["error"] == {"code": "run_failed", "message": "the card caught fire"}
    assert "caught fire" in error_of(client.get(f"{URL}/{job['id']}/content"), 404)


def test_the_file_is_there_when_the_clip_is_completed(
    client: httpx.Client, asked: Gateway, gateway_store: StoreSettings
) -> None:
    job = started(client, num_frames=64)
    address = f"{URL}/{job['id']}/content"
    assert "queued" in error_of(client.get(address), 404)
    cid = complete(asked, gateway_store, job)
    found = client.get(f"{URL}/{job['id']}").json()
    assert (found["status"], found["progress"], found["error"]) == ("completed", 100, None)
    assert found["completed_at"] >= found["created_at"]
    # The bytes of a video that tests publish are its own key.
    for query, key in (
        ({}, ObjectKey.video(cid)),
        ({"variant": "video"}, ObjectKey.video(cid)),
        ({"variant": "thumbnail"}, ObjectKey.poster(cid)),
        ({"variant": "spritesheet"}, ObjectKey.contact(cid)),
    ):
        assert client.get(address, params=query).text == key
    part = client.get(address, headers={"Range": "bytes=0-5"})
    assert (part.status_code, part.text) == (206, "videos")
    assert client.delete(f"{URL}/{job['id']}").json()["deleted"]
    error_of(client.get(address), 404)
    assert client.get(f"/videos/{cid}.mp4").status_code == 200  # the gallery keeps it


@pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")
def test_openai_s_own_client_makes_lists_fetches_and_deletes(
    client: httpx.Client, asked: Gateway, gateway_store: StoreSettings
) -> None:
    import openai  # takes a second

    sdk = openai.OpenAI(
        base_url=f"{asked.url}/v1",
        api_key=client.headers["Authorization"].removeprefix("Bearer "),
        max_retries=0,
    )
    made = sdk.videos.create(
        prompt=clip()["prompt"],
        model="demo",
        seconds="4",
        size="64x64",
        input_reference=("x.png", png(), "image/png"),
        extra_body={"num_frames": 17, "seed": 3},
    )
    assert (made.object, made.status, made.size) == ("video", "queued", "64x64")
    assert frames_of(brief_of(asked, {"id": made.id})) == 17
    assert brief_of(asked, {"id": made.id}).image
    with pytest.raises(openai.NotFoundError, match="queued"):
        sdk.videos.download_content(made.id)
    with pytest.raises(openai.UnprocessableEntityError, match="is no preset"):
        sdk.videos.create(prompt="x", model="sora-2")
    cid = complete(asked, gateway_store, json.loads(made.to_json()))
    assert sdk.videos.retrieve(made.id).progress == 100
    assert sdk.videos.download_content(made.id).read() == ObjectKey.video(cid).encode()
    second = sdk.videos.create(prompt=clip()["prompt"], model="demo")
    assert [item.id for item in sdk.videos.list(limit=1)] == [second.id, made.id]
    assert sdk.videos.delete(made.id).deleted
    assert [item.id for item in sdk.videos.list()] == [second.id]
