"""Every task of the Wan service becomes the brief of its own model, of exactly the frames that were
asked for. The models are tiny checkpoints under the names of the real ones; nothing is made."""

import math
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.adapters.weights.catalog import MODEL_SETS, MODELS
from infra.adapters.weights.index import write_index
from infra.adapters.weights.library import state_of
from infra.apps.gateway.wan_requests import Generate, GenerateAnimation, GenerateImage, brief_of
from pipelines.backends.registry import definitions, stand_in
from pipelines.backends.wan.service_tasks import WAN_TASKS
from pipelines.documents.brief import Brief
from pipelines.planning.plan import frames_of, timeline
from tests.conftest import Cli
from tests.gateway.test_gateway import error_of, png
from tests.gateway.test_uploads import packed, send
from tests.support.gateway import Gateway, gateway
from tests.tiny.animate import write_wan_animate
from tests.tiny.wan import (
    write_wan_i2v_a14b,
    write_wan_t2v,
    write_wan_t2v_a14b,
    write_wan_ti2v,
    write_wan_vace,
)

pytestmark = pytest.mark.xdist_group("gateway")
ASYNC = {"Prefer": "respond-async"}
TINY: dict[str, Callable[[Path], None]] = {
    "t2v-1.3B": write_wan_t2v,
    "vace-1.3B": write_wan_vace,
    "t2v-A14B": write_wan_t2v_a14b,
    "ti2v-5B": write_wan_ti2v,
    "i2v-A14B": write_wan_i2v_a14b,
    "animate-14B": write_wan_animate,
    "mistral-7b": lambda folder: _write_anything(folder / MODELS["mistral-7b"].file),
}
"""All but t2v-14B, so that there is one that is not installed."""
ANY_TIME = """
automatic_seconds_cap: null
quality: {video_high: 3.0, video_fast: 2.5, image_fast: 3.0}
unknown_quality: 1.0
"""
"""A policy for a machine without a GPU, on which large models take days."""
PICTURE, ARCHIVE = f"uploads/{'a' * 64}.png", f"uploads/{'b' * 64}.zip"


def _write_anything(file: Path) -> None:
    """A model that is looked at and not loaded."""
    file.parent.mkdir()
    file.write_bytes(b"GGUF")


@pytest.fixture(scope="module")
def installed(demo_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models in which nearly everything lies."""
    folder = tmp_path_factory.mktemp("models")
    for name in MODEL_SETS["demo"].models:
        found = state_of(demo_models, MODELS[name]).folder
        assert found is not None
        (folder / name).symlink_to(found)
    for name, lay in TINY.items():
        lay(folder / name)
        write_index(folder / name, "a test", "1")
    return folder


@pytest.fixture(scope="module")
def asked(
    deployed: Cli, installed: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("wan")
    policy = folder / "policy.yaml"
    policy.write_text(ANY_TIME)
    variables = {
        "REELWRIGHT_MODELS_DIR": str(installed),
        "REELWRIGHT_ROUTING_POLICY": str(policy),
    }
    with gateway(deployed, folder, **variables) as found:
        yield found


@pytest.fixture
def client(asked: Gateway) -> Iterator[httpx.Client]:
    with asked.client() as client:
        yield client


@pytest.fixture
def picture(client: httpx.Client) -> str:
    sent = client.post("/uploads", files={"file": ("x.png", png(), "image/png")})
    return str(sent.json()["image_path"])


def started(asked: Gateway, client: httpx.Client, kind: str, **body: Any) -> Brief:
    """The brief of the run that a request starts, which must name the task's own model."""
    words = f"a red ball moves right {secrets.token_hex(6)}"
    answer = client.post(f"/generate/{kind}", json={"prompt": words} | body, headers=ASYNC)
    assert answer.status_code == 202, answer.text
    assert answer.json()["stands_in_for"] == ""
    run = answer.json()["run"]
    assert client.get(run).json()["model"] == answer.json()["model"]
    brief = Brief.model_validate(asked.run_of(run).parameters["brief"])
    assert (brief.prompt, brief.enhance, brief.stands_in_for) == (words, False, "")
    return brief


def test_every_model_is_listed_with_its_name_and_whether_it_is_here(client: httpx.Client) -> None:
    body = client.get("/models").json()
    here = {item["id"] for item in body["models"] if item["installed"]}
    assert here == {*TINY, *MODEL_SETS["demo"].models}
    assert {item["id"] for item in body["models"]} == set(MODELS)
    assert {item["task"]: item["answered_by"] for item in body["tasks"]} == {
        "t2v-1.3B": "studio",
        "t2v-14B": "demo",
        "t2v-A14B": "t2v-A14B",
        "ti2v-5B": "ti2v-5B",
        "i2v-14B": "demo",
        "i2v-A14B": "i2v-A14B",
        "s2v-14B": "",
        "animate-14B": "animate-14B",
    }


def test_words_become_a_video_of_the_largest_model(asked: Gateway, client: httpx.Client) -> None:
    brief = started(
        asked,
        client,
        "text-to-video",
        task="t2v-A14B",
        size="1280*720",
        frame_num=81,
        sample_steps=12,
        sample_guide_scale=4.5,
        base_seed=42,
    )
    assert (brief.preset, brief.size, brief.frames, brief.seed) == (
        *("video_best", "1280*720"),
        *(81, 42),
    )
    assert (brief.steps, brief.guidance, brief.seconds) == (12, 4.5, 81 / 16)
    assert brief.inputs == {"text"}
    assert frames_of(brief) == 81


def test_what_a_request_leaves_out_is_the_model_s_own(asked: Gateway, client: httpx.Client) -> None:
    brief = started(asked, client, "text-to-video", task="ti2v-5B", frame_num=121)
    preset = brief.resolved_preset()
    assert (preset.name, str(preset.size), preset.frames) == ("video_5b", "1280*704", 121)
    assert preset.options == definitions()["wan-ti2v-5b"].presets[0].options
    assert brief.seconds == 121 / 24
    assert len(timeline(brief)) == 1


@pytest.mark.parametrize(
    ("task", "preset", "fps"),
    [("ti2v-5B", "video_5b", 24), ("i2v-A14B", "video_picture", 16), ("", "video_picture", 16)],
)
def test_a_picture_begins_a_video_that_goes_on(
    asked: Gateway, client: httpx.Client, picture: str, task: str, preset: str, fps: int
) -> None:
    body = {"task": task, "image_path": picture, "frame_num": 200}
    brief = started(asked, client, "image-to-video", **body)
    assert (brief.preset, brief.image, brief.joins) == (preset, picture, "continue")
    assert brief.inputs == {"text", "first_frame", "continuation"}
    assert brief.seconds == 200 / fps
    assert frames_of(brief) == 200


def test_a_picture_moves_as_an_archive_says(
    asked: Gateway, client: httpx.Client, picture: str, tmp_path: Path
) -> None:
    path = send(client, packed(tmp_path)).json()["motion"]
    common = {"image_path": picture, "frame_num": 77}
    for name, flag, preset in (
        ("motion_path", False, "animate"),
        ("src_root_path", False, "animate"),
        ("motion_path", True, "replace"),
    ):
        brief = started(asked, client, "animation", **common, **{name: path, "replace_flag": flag})
        assert (brief.preset, brief.references, brief.motion) == (preset, (picture,), path)
        assert (brief.image, brief.joins, brief.seconds) == ("", "continue", 77 / 30)
        assert [slot.frames for slot in timeline(brief)] == [77]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "motion_path is empty"),
        ({"motion_path": PICTURE}, "is no uploaded file"),
        ({"motion_path": ARCHIVE}, f"{ARCHIVE} was not uploaded"),
        ({"motion_path": ARCHIVE, "image_path": ""}, "image_path is empty"),
        ({"motion_path": ARCHIVE, "image_path": "../x.png"}, "is no uploaded file"),
        ({"motion_path": ARCHIVE, "frame_num": 1}, "makes videos only"),
        ({"motion_path": ARCHIVE, "size": "1024*1024"}, "choose one of 64*64"),
    ],
    ids=range(7),
)
def test_an_animation_without_what_it_needs_is_refused(
    client: httpx.Client, picture: str, change: dict[str, Any], words: str
) -> None:
    body = {"prompt": "she walks", "image_path": picture} | change
    assert words in error_of(client.post("/generate/animation", json=body), 422)


@pytest.mark.parametrize(
    ("kind", "task", "size", "offered"),
    [
        ("text-to-video", "ti2v-5B", "1280*720", "1280*704, 704*1280"),
        ("text-to-video", "t2v-A14B", "1024*1024", "1280*720, 720*1280"),
        ("image-to-video", "i2v-A14B", "1280*704", "1280*720, 720*1280"),
    ],
)
def test_a_size_of_another_model_is_refused_with_the_model_s_own(
    client: httpx.Client, kind: str, task: str, size: str, offered: str
) -> None:
    body = {"prompt": "x", "task": task, "size": size, "image_path": PICTURE}
    words = error_of(client.post(f"/generate/{kind}", json=body), 422)
    assert f"{size!r} is not offered" in words
    assert words.endswith(offered)


def test_a_model_that_needs_a_picture_makes_none(client: httpx.Client, picture: str) -> None:
    body = {"prompt": "x", "task": "i2v-A14B", "image_path": picture, "frame_num": 1}
    assert "picture" in error_of(client.post("/generate/image-to-video", json=body), 422)
    assert "none of text-to-video" in error_of(
        client.post("/generate/text-to-video", json=body), 422
    )


def test_the_stand_in_makes_words_and_pictures_only(
    asked: Gateway, client: httpx.Client, picture: str
) -> None:
    for kind, task, model in (
        ("text-to-video", "t2v-14B", "Wan2.1-T2V-14B"),
        ("image-to-video", "i2v-14B", "Wan2.1-I2V-14B"),
    ):
        body = {"prompt": "x", "task": task, "image_path": picture, "base_seed": 4}
        answer = client.post(f"/generate/{kind}", json=body, headers=ASYNC).json()
        assert (answer["stands_in_for"], answer["model"]) == (model, "demo")
        brief = asked.brief_of(answer["run"])
        assert (brief["preset"], brief["size"], brief["stands_in_for"]) == (
            *("demo", "preset"),
            model,
        )
    for kind, task in (("speech-to-video", "s2v-14B"), ("speech-to-video", "")):
        body = {"prompt": "x", "task": task, "image_path": picture}
        assert "cannot run it yet" in error_of(client.post(f"/generate/{kind}", json=body), 409)


def test_without_the_stand_in_what_is_not_installed_is_named(
    deployed: Cli, installed: Path, tmp_path: Path
) -> None:
    env = {"REELWRIGHT_MODELS_DIR": str(installed), "REELWRIGHT_GATEWAY_STAND_IN": "false"}
    body = {"prompt": "x", "image_path": PICTURE, "motion_path": ARCHIVE}
    with gateway(deployed, tmp_path, **env) as found, found.client() as client:
        for kind, task, remedy in (
            ("text-to-video", "t2v-14B", "reelwright models download t2v-14B"),
            ("image-to-video", "i2v-14B", "cannot run it yet"),
            ("speech-to-video", "s2v-14B", "cannot run it yet"),
        ):
            answer = client.post(f"/generate/{kind}", json=body | {"task": task})
            assert remedy in error_of(answer, 409)
        answers = {
            item["task"]: item["answered_by"] for item in client.get("/models").json()["tasks"]
        }
        assert (answers["t2v-14B"], answers["ti2v-5B"]) == ("", "ti2v-5B")


def test_routing_takes_the_model_that_is_installed(client: httpx.Client) -> None:
    query = {"query": "a fox", "modality": "video", "context": {"prefer_quality": True}}
    found = client.post("/api/v1/route", json=query).json()
    assert (found["preset"], found["model"]) == ("video_high", "Wan2.1-T2V-1.3B")
    assert (found["model_set"], found["stands_in_for"]) == ("studio", "")
    assert any("quality 3 of 5" in reason for reason in found["reasons"])
    picture = client.post("/api/v1/route", json={"query": "a fox", "modality": "image"}).json()
    assert (picture["preset"], picture["seconds"]) == ("image_fast", 0)


def test_the_address_of_animations_is_documented(client: httpx.Client) -> None:
    api = client.get("/openapi.json").json()
    operation = api["paths"]["/generate/animation"]["post"]
    name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    fields = api["components"]["schemas"][name.rpartition("/")[2]]["properties"]
    assert {"prompt", "image_path", "motion_path", "src_root_path", "replace_flag"} <= set(fields)
    assert all(fields[name]["description"] for name in ("motion_path", "replace_flag"))
    assert {"200", "202", "409", "422", "502"} <= set(operation["responses"])


@pytest.mark.parametrize("name", [task.name for task in WAN_TASKS.values() if task.backend])
def test_the_name_of_a_task_is_what_is_downloaded_for_it(name: str) -> None:
    task = WAN_TASKS[name]
    assert definitions()[task.backend].models == (task.name,)
    assert task.name in MODELS


@pytest.mark.parametrize("name", [*WAN_TASKS, "stand-in"])
def test_a_video_has_exactly_the_frames_that_were_asked_for(name: str) -> None:
    task = WAN_TASKS.get(name, WAN_TASKS["i2v-14B"])
    backend = definitions()[task.backend] if task.backend else stand_in()
    values = {"prompt": "x", "image_path": PICTURE, "motion_path": ARCHIVE}
    for kind in sorted(task.kinds):
        if kind == "speech-to-video":
            continue
        makes = {"image-to-video": GenerateImage, "animation": GenerateAnimation}
        shape = makes.get(kind, Generate)
        for count in (*range(2, 130), 241, 1000, 9600):
            brief = brief_of(shape(**values, frame_num=count), task, kind, backend)
            asked = max(count, math.ceil(backend.capabilities.fps / 4))
            assert frames_of(brief) == asked
            if asked <= brief.resolved_preset().frames:
                (slot,) = timeline(brief)
                assert slot.frames - asked < 2 * backend.capabilities.frame_step


def test_a_model_that_only_this_brief_needs_is_missed_at_once(
    client: httpx.Client, installed: Path, picture: str
) -> None:
    brief = {"prompt": f"a red ball {secrets.token_hex(6)}", "preset": "video_fast"}
    lies, away = installed / "vace-1.3B", installed / "vace-away"
    lies.rename(away)
    try:
        refused = client.post("/briefs", json=brief | {"image": picture}, headers=ASYNC)
    finally:
        away.rename(lies)
    assert refused.status_code == 409
    assert refused.json()["error"]["code"] == "model_not_installed"
    assert "reelwright models download vace-1.3B" in refused.json()["error"]["message"]
    accepted = client.post("/briefs", json=brief | {"image": picture}, headers=ASYNC)
    assert accepted.status_code in (200, 201, 202), accepted.text
