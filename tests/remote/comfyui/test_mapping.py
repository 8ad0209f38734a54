"""A workflow and its mapping are read, checked, and filled with a request."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.backends.remote.comfyui.config import ComfyConfig, shipped
from pipelines.backends.remote.comfyui.entry import offer
from pipelines.backends.remote.comfyui.fill import filled
from pipelines.backends.remote.comfyui.mapping import WorkflowMapping
from pipelines.backends.remote.comfyui.reading import Workflow, read_workflow
from pipelines.backends.remote.config import RemoteConfig
from pipelines.schema.request import Continuation, FirstFrame, ReferenceImage
from tests.conftest import REPOSITORY
from tests.remote.comfyui.common import (
    BEFORE,
    GRAPH,
    MAPPING,
    OTHER,
    PICTURE,
    request,
    write_workflow,
)


def read(folder: Path, mapping: str = MAPPING, graph: Any = GRAPH) -> Workflow:
    path = write_workflow(folder, mapping, graph)
    return read_workflow(path, path.with_suffix(".yaml"))


def line(text: str, part: str) -> int:
    return next(n for n, row in enumerate(text.splitlines(), 1) if part in row)


WRONG = [
    ("4.text", "44.text", "has no node '44'; its nodes are 1 (UNETLoader), 2"),
    ("4.text", "4.words", "node '4' (CLIPTextEncode) has no input 'words', only"),
    ("4.text", "4", "must be NODE.INPUT, such as 6.text"),
    ("8.seed", "8.positive", "input 'positive' of node '8' (KSampler) is linked"),
    ('output: "11"', 'output: "12"', "the workflow has no node '12'"),
    ("8.steps", "8.seed", "'8.seed' is set twice, also by values.seed"),
    ("fps: 8\n", "fps: 0\n", "greater than or equal to 1"),
    ("frames: 17", "frames: 18", "18 frames break the rule of this workflow, 4k+1"),
    ('size: "64*48"', 'size: "64*64"', "64*64 is none of the sizes 64*48, 48*64"),
    ("licence: none", "license: none", "this field is required; add it"),
    ("  seed: 8.seed\n", "", "'seed' goes to no node, so that a request cannot say it"),
    ("4.text", "{to: 4.text, scale: 2}", "'prompt' is a text and has no scale"),
    ("8.seed", '{to: 8.seed, format: "{}"}', "must be a format of Python"),
    ("first_frame: 6.image", "required: [audio]", "audio is required, but goes to no"),
    ('sizes: ["64*48"', 'sizes: ["64x48"', "must be WIDTH*HEIGHT in pixels"),
    ("title: Tiny\n", "title: Tiny\ntitel: x\n", "no field has this name here"),
]


@pytest.mark.parametrize(("before", "after", "rule"), WRONG)
def test_a_wrong_mapping_is_named_with_file_line_value_and_rule(
    tmp_path: Path, before: str, after: str, rule: str
) -> None:
    text = MAPPING.replace(before, after, 1)
    assert text != MAPPING
    with pytest.raises(ValueError, match="line") as caught:
        read(tmp_path, text)
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "tiny.yaml"))
    assert rule in message


def test_the_line_is_that_of_the_wrong_value(tmp_path: Path) -> None:
    for before, after in (
        ("4.text", "44.text"),
        ("7.width", "[7.width, 7.no]"),
        ("fps: 8", "fps: x"),
    ):
        text = MAPPING.replace(before, after, 1)
        with pytest.raises(ValueError, match="line") as caught:
            read(tmp_path, text)
        assert f"line {line(text, after)}:" in str(caught.value)


@pytest.mark.parametrize(
    ("graph", "rule"),
    [
        ("{ no json", "this is no JSON"),
        ('{"nodes": [], "links": []}', "this is a workflow for ComfyUI's editor"),
        ("[]", "a workflow is an object of nodes"),
        ('{"1": {"inputs": {}}}', "line 1: node '1' has no class_type or no inputs"),
        (
            '{"1": {"class_type": "VAEDecode",\n "inputs": {"vae": ["9", 0]}}}',
            "input 'vae' of node '1' (VAEDecode) is linked to node '9', which is not in",
        ),
    ],
)
def test_a_file_that_is_no_workflow_in_api_format_is_refused(
    tmp_path: Path, graph: str, rule: str
) -> None:
    path = write_workflow(tmp_path)
    path.write_text(graph)
    with pytest.raises(ValueError, match="line 1") as caught:
        read_workflow(path, path.with_suffix(".yaml"))
    assert rule in str(caught.value)
    assert "Export (API)" in str(caught.value) or "object of nodes" in str(caught.value)


def test_an_entry_names_a_shipped_workflow_or_an_absolute_path(tmp_path: Path) -> None:
    values = {"name": "box", "kind": "comfyui", "address": "http://127.0.0.1:8188"}
    with pytest.raises(ValueError, match="is none of infinitetalk, phantom"):
        ComfyConfig.model_validate({**values, "workflow": "nothing"})
    with pytest.raises(ValueError, match="must be an absolute path"):
        ComfyConfig.model_validate({**values, "workflow": "flows/mine.json"})
    missing = ComfyConfig.model_validate({**values, "workflow": str(tmp_path / "mine.json")})
    with pytest.raises(ValueError, match=r"mine\.json cannot be read"):
        offer(missing)
    path = write_workflow(tmp_path)
    path.with_suffix(".yaml").unlink()
    with pytest.raises(ValueError, match=r"a workflow needs a mapping: write one as docs/comfyui"):
        offer(ComfyConfig.model_validate({**values, "workflow": str(path)}))


def test_an_offer_says_what_the_mapping_says(tmp_path: Path) -> None:
    config = ComfyConfig(
        name="my-box",
        kind="comfyui",
        address="http://127.0.0.1:1",
        workflow=str(write_workflow(tmp_path)),
    )
    found = offer(config)
    able = found.capabilities
    assert able.inputs == {"text", "first_frame", "continuation"}
    assert (able.fps, able.length_rule, able.overlap, able.audio) == (
        8,
        "4k+1 from 5 to 33",
        1,
        False,
    )
    assert able.location == "remote"
    assert able.retakes
    (preset,) = found.presets
    assert (preset.name, preset.backend, preset.frames) == ("my_box", "my-box", 17)


def test_what_decides_pixels_is_in_the_identity_and_nothing_else(tmp_path: Path) -> None:
    """Clips are found again by it: a new address or title must not make them again."""
    before = read(tmp_path).digest
    assert read(tmp_path, MAPPING.replace("title: Tiny", "title: Other")).digest == before
    assert (
        read(tmp_path, MAPPING.replace("https://example.org", "https://example.com")).digest
        == before
    )
    assert read(tmp_path, MAPPING + 'constants: {"8.cfg": 4.0}\n').digest != before
    assert read(tmp_path, MAPPING.replace("8.steps", "8.cfg")).digest != before
    other = json.loads(json.dumps(GRAPH))
    other["1"]["inputs"]["unet_name"] = "larger.safetensors"
    assert read(tmp_path, graph=other).digest != before


def test_a_request_fills_the_workflow(tmp_path: Path) -> None:
    text = MAPPING.replace("frames: 7.length", "frames: [7.length, {to: 9.seconds, scale: 0.125}]")
    graph = json.loads(json.dumps(GRAPH))
    graph["9"]["inputs"]["seconds"] = 0
    workflow = read(tmp_path, text + 'constants: {"8.denoise": 0.9}\n', graph)
    asked = request(FirstFrame(picture=PICTURE), options={"steps": 9, "guidance": None})
    found = filled(workflow, asked, {"6.image": "reelwright/x.png"})
    assert found["4"].inputs["text"] == "a ball"
    assert found["5"].inputs["text"] == "blurred"
    assert found["8"].inputs["seed"] == 7
    assert found["8"].inputs["steps"] == 9
    assert found["8"].inputs["denoise"] == 0.9
    assert (found["7"].inputs["length"], found["9"].inputs["seconds"]) == (17, 2.125)
    assert found["6"].inputs["image"] == "reelwright/x.png"
    assert found["7"].inputs["start_image"] == ["6", 0]
    assert workflow.graph["4"].inputs["text"] == "", "the workflow itself has changed"


def test_numbers_are_written_as_a_node_wants_them(tmp_path: Path) -> None:
    text = MAPPING.replace("fps: 10.fps", "fps: {to: 10.fps, scale: 0.5, offset: 1, format: .2f}")
    found = filled(read(tmp_path, text), request(), {})
    assert found["10"].inputs["fps"] == "5.00"


def test_a_node_for_an_input_that_is_not_there_is_taken_out(tmp_path: Path) -> None:
    found = filled(read(tmp_path), request(), {})
    assert "6" not in found
    assert "start_image" not in found["7"].inputs


def test_a_continued_chunk_begins_with_the_frame_before(tmp_path: Path) -> None:
    asked = request(Continuation(chunk=BEFORE, frames=1))
    found = filled(read(tmp_path), asked, {"6.image": "reelwright/before.png"})
    assert found["6"].inputs["image"] == "reelwright/before.png"
    assert found["7"].inputs["start_image"] == ["6", 0]


@pytest.mark.parametrize(
    ("count", "joined"),
    [
        (0, None),
        (1, ["21", 0]),
        (2, {"images.image0": ["21", 0], "images.image1": ["22", 0]}),
        (3, {"images.image0": ["21", 0], "images.image1": ["22", 0], "images.image2": ["23", 0]}),
    ],
)
def test_any_number_of_references_is_joined(tmp_path: Path, count: int, joined: Any) -> None:
    graph = json.loads(json.dumps(GRAPH))
    for node in ("21", "22", "23"):
        graph[node] = {"class_type": "LoadImage", "inputs": {"image": "x"}}
    graph["20"] = {
        "class_type": "BatchImagesNode",
        "inputs": {f"images.image{n}": [node, 0] for n, node in enumerate(("21", "22", "23"))},
    }
    graph["7"]["inputs"]["ref_pad_image"] = ["20", 0]
    text = MAPPING + "references: {to: [21.image, 22.image, 23.image], batch: 20.images.image}\n"
    asked = request(*[ReferenceImage(picture=(PICTURE, OTHER)[n % 2]) for n in range(count)])
    found = filled(read(tmp_path, text, graph), asked, {})
    used = found["7"].inputs.get("ref_pad_image")
    assert (found["20"].inputs if "20" in found else used) == joined
    assert {"21", "22", "23"} & set(found) == {"21", "22", "23"} & {
        f"2{n + 1}" for n in range(count)
    }


def blocks(kind: str) -> list[str]:
    """The code of docs/comfyui.md in a language."""
    page = (REPOSITORY / "docs" / "comfyui.md").read_text()
    return re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL)


def test_the_examples_of_the_page_are_valid() -> None:
    entries, mapping = (yaml.safe_load(block) for block in blocks("yaml"))
    for entry in entries["backends"]:
        assert ComfyConfig.model_validate(entry).kind == "comfyui"
    assert WorkflowMapping.model_validate(mapping).inputs == {
        "text",
        "first_frame",
        "last_frame",
        "audio",
        "reference_image",
        "reference_video",
        "continuation",
    }


def test_the_page_names_every_field_of_a_mapping_and_of_an_entry() -> None:
    shown = " ".join(blocks("yaml"))
    own = set(ComfyConfig.model_fields) - set(RemoteConfig.model_fields)
    assert {name for name in {*WorkflowMapping.model_fields, *own} if f"{name}:" not in shown} == {
        "mapping"  # in the table
    }


def test_the_page_names_every_shipped_workflow() -> None:
    page = (REPOSITORY / "docs" / "comfyui.md").read_text()
    assert [name for name in shipped() if f"| `{name}` |" not in page] == []
