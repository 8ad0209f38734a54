"""The service of a ComfyUI server, over HTTP and websocket, against the fake."""

from pathlib import Path

import av
import pytest

from pipelines.backends.remote.comfyui.service import ComfyService
from tests.remote.comfyui.common import (
    KEY,
    MAPPING,
    MEDIA,
    MODELS,
    ends,
    request,
    service_of,
    until,
    write_workflow,
)
from tests.support.fake_comfyui import FakeComfy, fake_comfyui

# Availability


def test_a_server_with_all_nodes_and_models_is_available(service: ComfyService) -> None:
    found = service.availability()
    assert found.available
    assert found.reason == "ComfyUI 0.3.64"


def test_a_missing_node_is_named_with_where_to_get_it(comfy: FakeComfy, tmp_path: Path) -> None:
    comfy.lacks.add("WanImageToVideo")
    packs = 'packs: [{pack: WanPack, url: "https://example.org/p", nodes: [WanImageToVideo]}]\n'
    found = service_of(comfy, write_workflow(tmp_path, MAPPING + packs)).availability()
    assert not found.available
    assert found.reason == (
        "the node WanImageToVideo is missing: install WanPack (https://example.org/p)"
    )


def test_a_missing_model_is_named_with_its_folder(comfy: FakeComfy, service: ComfyService) -> None:
    comfy.models = {**MODELS, "diffusion_models": ["another.safetensors"]}
    found = service.availability()
    assert found.reason == (
        "the model tiny.safetensors is missing: put it into models/diffusion_models/ (from "
        "https://example.org/tiny)"
    )


def test_a_model_that_the_mapping_does_not_name_is_named_too(
    comfy: FakeComfy, service: ComfyService
) -> None:
    comfy.models = {**MODELS, "vae": ["other.safetensors"]}
    assert "node 3 (VAELoader) asks for vae_name 'vae.safetensors', and the server has other" in (
        service.availability().reason
    )


def test_the_nodes_are_asked_for_once_in_a_while_and_the_server_each_time(
    comfy: FakeComfy, workflow: Path
) -> None:
    service_of(comfy, workflow).availability()
    asked = len(comfy.asked)
    assert service_of(comfy, workflow).availability().available
    assert comfy.asked[asked:] == ["GET /system_stats"]
    comfy.statuses["/system_stats"] = 404
    assert not service_of(comfy, workflow).availability().available


def test_another_kind_of_server_is_not_available(comfy: FakeComfy, service: ComfyService) -> None:
    comfy.statuses["/system_stats"] = 200
    assert "text that is no JSON" in service.availability().reason
    comfy.statuses = {"/object_info/KSampler": 404}
    assert "answered 404 when we wanted to ask for its nodes" in service.availability().reason


def test_a_server_that_does_not_run_is_not_available(workflow: Path) -> None:
    with fake_comfyui(models=MODELS) as gone:
        service = service_of(gone, workflow)
    found = service.availability()
    assert not found.available
    assert "cannot be reached" in found.reason


# A job from its start to its end


def test_a_job_is_queued_runs_with_progress_and_is_done(
    comfy: FakeComfy, service: ComfyService, tmp_path: Path
) -> None:
    comfy.steps = 24
    assert service.submit(request(), MEDIA, KEY) == KEY
    first = service.look(KEY)
    assert first.state in ("queued", "running")
    half = until(service, lambda status: status.progress >= 0.5)
    assert half.state == "running"
    status = ends(service)
    assert (status.state, status.progress) == ("done", 1.0)
    assert status.usage == {"seconds": 12.5}
    service.fetch(KEY, status, tmp_path / "clip.mp4")
    with av.open(str(tmp_path / "clip.mp4")) as clip:
        stream = clip.streams.video[0]
        assert (stream.width, stream.height, stream.average_rate) == (64, 48, 8)
        assert sum(1 for _ in clip.decode(stream)) == 17
    assert comfy.jobs[KEY].graph["4"]["inputs"]["text"] == "a ball"


def test_without_a_websocket_the_job_is_done_all_the_same(
    comfy: FakeComfy, service: ComfyService
) -> None:
    comfy.steps, comfy.statuses = 4, {"/ws": 403}
    service.submit(request(), MEDIA, KEY)
    assert ends(service).state == "done"
    assert comfy.asked.count("GET /ws") <= 3


def test_a_later_process_hears_of_the_progress_again(comfy: FakeComfy, workflow: Path) -> None:
    """The first one was killed: its websocket broke, and the server goes on."""
    comfy.steps = 24
    service_of(comfy, workflow).submit(request(), MEDIA, KEY)
    later = service_of(comfy, workflow)
    assert until(later, lambda status: status.progress >= 0.5).state == "running"
    comfy.hang_up()
    assert ends(later).state == "done"


def test_a_waiting_job_says_how_many_are_before_it(comfy: FakeComfy, service: ComfyService) -> None:
    comfy.steps = 100
    for number in range(3):
        service.submit(request(seed=number), MEDIA, f"0000000{number}-0000-4000-8000-000000000000")
    service.submit(request(), MEDIA, KEY)
    status = service.look(KEY)
    assert status.state == "queued"
    assert status.message == "3 before it in the queue of the ComfyUI server"


@pytest.mark.parametrize("key", ["images", "gifs", "video", "something_new"])
def test_the_clip_is_found_under_any_name(
    comfy: FakeComfy, service: ComfyService, tmp_path: Path, key: str
) -> None:
    comfy.listed_as = key
    service.submit(request(), MEDIA, KEY)
    status = service.look(KEY)
    assert status.result["filename"].endswith(".mp4")
    service.fetch(KEY, status, tmp_path / "clip.mp4")
    assert (tmp_path / "clip.mp4").read_bytes() == comfy.outputs[status.result["filename"]]


def test_a_job_that_has_just_ended_may_be_nowhere_for_a_moment(
    comfy: FakeComfy, service: ComfyService
) -> None:
    comfy.hides = 3  # two questions of the first look, one of the second
    service.submit(request(), MEDIA, KEY)
    assert service.look(KEY).state == "running"
    assert service.look(KEY).state == "done"


def test_after_a_restart_of_the_server_a_job_is_gone(
    comfy: FakeComfy, service: ComfyService
) -> None:
    comfy.steps = 100
    service.submit(request(), MEDIA, KEY)
    assert service.look(KEY).state != "gone"
    comfy.restart()
    assert [service.look(KEY).state for _ in range(3)] == ["running", "running", "gone"]


def test_a_node_that_fails_is_named_with_the_server_s_words(
    comfy: FakeComfy, service: ComfyService
) -> None:
    comfy.ending = "error"
    service.submit(request(), MEDIA, KEY)
    status = service.look(KEY)
    assert status.state == "failed"
    assert status.message == "KSampler (node 8): mat1 and mat2 shapes cannot be multiplied"
    assert not status.lasting


def test_too_little_memory_is_no_fault_of_the_request(
    comfy: FakeComfy, service: ComfyService
) -> None:
    comfy.ending = "memory"
    service.submit(request(), MEDIA, KEY)
    status = service.look(KEY)
    assert status.state == "failed"
    assert status.lasting
    assert status.message.startswith(
        "the memory of the ComfyUI server's device ran out in KSampler"
    )


def test_a_job_that_somebody_stopped_has_failed(comfy: FakeComfy, service: ComfyService) -> None:
    comfy.ending = "interrupted"
    service.submit(request(), MEDIA, KEY)
    assert service.look(KEY).message == "somebody stopped the job on the ComfyUI server"


def test_a_workflow_that_saves_nothing_has_failed(comfy: FakeComfy, tmp_path: Path) -> None:
    text = MAPPING.replace('output: "11"', 'output: "10"')
    service = service_of(comfy, write_workflow(tmp_path, text))
    service.submit(request(), MEDIA, KEY)
    assert service.look(KEY).message == (
        "node 10 of the workflow made no file; outputs came from 11"
    )
