"""The workflows that come with Reelwright, against the published signatures of their nodes."""

import itertools
from collections.abc import Iterator

import pytest

from pipelines.backends.remote.comfyui.config import SHIPPED, shipped
from pipelines.backends.remote.comfyui.fill import filled
from pipelines.backends.remote.comfyui.media import input_files
from pipelines.backends.remote.comfyui.preflight import problems
from pipelines.backends.remote.comfyui.reading import Workflow, read_workflow
from pipelines.schema.request import (
    AudioTrack,
    ClipInput,
    ClipRequest,
    Continuation,
    FirstFrame,
    ReferenceImage,
    ReferenceVideo,
)
from tests.remote.comfyui.common import (
    BEFORE,
    MEDIA,
    MOTION,
    OTHER,
    PICTURE,
    SPEECH,
    models_of,
    request,
)
from tests.support.fake_comfyui import FakeComfy

WANTED = {"infinitetalk", "wan-s2v", "wan-animate-2", "phantom", "uni3c", "skyreels-v2"}


def read(name: str) -> Workflow:
    return read_workflow(SHIPPED / f"{name}.json", SHIPPED / f"{name}.yaml")


def combinations(workflow: Workflow) -> Iterator[ClipRequest]:
    """Every kind of request that the workflow takes, at its smallest and its largest."""
    mapping = workflow.mapping
    begins: list[tuple[ClipInput, ...]] = [()]
    if "first_frame" in mapping.inputs:
        begins = [(FirstFrame(picture=PICTURE),)]
    if mapping.continuation:
        begins.append((Continuation(chunk=BEFORE, frames=mapping.continuation.frames),))
    pictures = range(1, len(mapping.references.to) + 1) if mapping.references else (0,)
    rest: list[ClipInput] = [
        ReferenceVideo(archive=MOTION, role=role, start=0) for role in mapping.videos
    ]
    if mapping.audio:
        rest.append(AudioTrack(audio=SPEECH, start=0))
    for begin, count in itertools.product(begins, pictures):
        references = [ReferenceImage(picture=(PICTURE, OTHER)[n % 2]) for n in range(count)]
        yield request(
            *begin,
            *references,
            *rest,
            fps=mapping.fps,
            frames=mapping.frames.max,
            options={"steps": 3, "guidance": 2.5},
        )


def test_there_is_one_for_each_model_of_the_mission() -> None:
    assert set(shipped()) == WANTED


@pytest.mark.parametrize("name", sorted(WANTED))
def test_each_fits_the_nodes_that_comfyui_has(name: str) -> None:
    workflow, server = read(name), FakeComfy(models=models_of(name))
    found = problems(workflow.graph, server.signatures(), workflow.mapping, strict=True)
    assert found == []


@pytest.mark.parametrize("name", sorted(WANTED))
def test_each_still_fits_with_every_combination_of_inputs(name: str) -> None:
    workflow, server = read(name), FakeComfy(models=models_of(name))
    seen = set()
    for asked in combinations(workflow):
        files = {
            target.to: f"reelwright/{file.name}"
            for file in input_files(workflow.mapping, asked, MEDIA)
            for target in file.targets
        }
        graph = filled(workflow, asked, files)
        assert problems(graph, server.signatures(), workflow.mapping, strict=True) == []
        loaded = {
            str(value)
            for node in graph.values()
            if node.kind.startswith("Load")
            for value in node.inputs.values()
        }
        assert loaded == set(files.values()), "a loader is left without a file of ours"
        seen.add(len(graph))
    assert seen


@pytest.mark.parametrize("name", sorted(WANTED))
def test_each_loads_only_models_that_its_mapping_names(name: str) -> None:
    """So a server that lacks one can say where it is to be had."""
    workflow = read(name)
    empty = problems(workflow.graph, FakeComfy().signatures(), workflow.mapping)
    missing = {problem.text for problem in empty}
    assert len(missing) == len(workflow.mapping.models)
    assert all(
        problem.kind == "model" and "put it into models/" in problem.text for problem in empty
    )


def test_a_link_to_an_output_of_another_type_is_found() -> None:
    """The check above can fail."""
    workflow, server = read("skyreels-v2"), FakeComfy(models=models_of("skyreels-v2"))
    workflow.graph["12"].inputs["samples"] = ["10", 0]
    (problem,) = problems(workflow.graph, server.signatures(), workflow.mapping, strict=True)
    assert (
        "node 12 (VAEDecode) takes LATENT, but is linked to CONDITIONING of node 10" in problem.text
    )


def test_an_input_that_a_node_does_not_have_is_found() -> None:
    workflow, server = read("skyreels-v2"), FakeComfy(models=models_of("skyreels-v2"))
    workflow.graph["11"].inputs["stepz"] = 3
    del workflow.graph["11"].inputs["steps"]
    found = {
        item.text
        for item in problems(workflow.graph, server.signatures(), workflow.mapping, strict=True)
    }
    assert any("has no input 'stepz'" in text for text in found)
    assert any("needs the input 'steps'" in text for text in found)
