"""Lost answers, servers that say no, and jobs that are stopped."""

import json
from pathlib import Path

import pytest

from pipelines.backends.remote.access import Reply
from pipelines.backends.remote.comfyui.answers import history_status, rejected
from pipelines.backends.remote.comfyui.service import ComfyService
from pipelines.errors import (
    AnswerLostError,
    GenerationError,
    MediaError,
    QuotaError,
    SettingsError,
    UnavailableError,
)
from pipelines.schema.request import (
    FirstFrame,
)
from tests.remote.comfyui.common import (
    GRAPH,
    KEY,
    MEDIA,
    MODELS,
    PICTURE,
    ends,
    request,
    service_of,
    until,
    write_workflow,
)
from tests.support.fake_comfyui import FakeComfy, fake_comfyui

# Lost answers, and servers that say no


@pytest.mark.parametrize("jobs_api", [True, False])
def test_a_job_is_found_whose_answer_was_lost(
    comfy: FakeComfy, service: ComfyService, jobs_api: bool
) -> None:
    comfy.loses, comfy.jobs_api = 1, jobs_api
    with pytest.raises(AnswerLostError):
        service.submit(request(), MEDIA, KEY)
    assert service.find(KEY) == KEY
    assert service.find(KEY.replace("0b", "0c")) is None
    assert comfy.made() == [KEY]


@pytest.mark.parametrize("jobs_api", [True, False])
def test_a_waiting_job_is_found_as_well(
    comfy: FakeComfy, service: ComfyService, jobs_api: bool
) -> None:
    comfy.steps, comfy.jobs_api = 100, jobs_api
    service.submit(request(), MEDIA, KEY)
    assert service.find(KEY) == KEY


def test_an_upload_whose_answer_is_lost_started_no_job(
    comfy: FakeComfy, service: ComfyService
) -> None:
    comfy.statuses["/upload/image"] = 504
    with pytest.raises(UnavailableError, match="an upload to the ComfyUI server broke off"):
        service.submit(request(FirstFrame(picture=PICTURE)), MEDIA, KEY)
    assert comfy.made() == []


@pytest.mark.parametrize(
    ("path", "status", "error", "words"),
    [
        ("/prompt", 401, SettingsError, "where its key is"),
        ("/prompt", 403, SettingsError, "does not let us start a job"),
        ("/prompt", 429, QuotaError, "takes no more requests"),
        ("/prompt", 500, AnswerLostError, "answered 500"),
        ("/prompt", 503, UnavailableError, "answered 503"),
        ("/upload/image", 413, GenerationError, "--max-upload-size"),
        ("/upload/image", 403, SettingsError, "upload a file"),
    ],
)
def test_what_a_server_or_its_proxy_refuses_is_told_apart(
    comfy: FakeComfy,
    service: ComfyService,
    path: str,
    status: int,
    error: type[Exception],
    words: str,
) -> None:
    comfy.statuses[path] = status
    with pytest.raises(error, match=words) as caught:
        service.submit(request(FirstFrame(picture=PICTURE)), MEDIA, KEY)
    assert type(caught.value) is error


def test_a_workflow_that_the_server_does_not_accept_is_a_fault_of_the_workflow(
    comfy: FakeComfy, tmp_path: Path
) -> None:
    graph = json.loads(json.dumps(GRAPH))
    del graph["8"]["inputs"]["denoise"]
    service = service_of(comfy, write_workflow(tmp_path, graph=graph))
    with pytest.raises(
        GenerationError, match=r"KSampler \(node 8\): Required input is missing"
    ) as e:
        service.submit(request(), MEDIA, KEY)
    assert type(e.value) is GenerationError


def test_a_missing_node_or_model_makes_the_server_unavailable(
    comfy: FakeComfy, service: ComfyService
) -> None:
    """Somebody removed it after the check: another backend may make the video."""
    comfy.lacks.add("CreateVideo")
    with pytest.raises(UnavailableError, match=r"lacks a node: .*CreateVideo does not exist"):
        service.submit(request(), MEDIA, KEY)
    comfy.lacks, comfy.models = set(), {**MODELS, "diffusion_models": []}
    with pytest.raises(UnavailableError, match=r"lacks a model .*'tiny\.safetensors' not in"):
        service.submit(request(), MEDIA, KEY)
    assert comfy.made() == []


def test_a_key_is_sent_and_never_shown(
    comfy: FakeComfy, workflow: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    comfy.key = "a-secret-of-the-proxy"
    with pytest.raises(SettingsError):
        service_of(comfy, workflow).submit(request(), MEDIA, KEY)
    (tmp_path / "key").write_text(comfy.key)
    service = service_of(comfy, workflow, key=f"file:{tmp_path / 'key'}")
    comfy.steps = 24
    with caplog.at_level("DEBUG", logger="reelwright"):
        assert service.availability().available
        service.submit(request(), MEDIA, KEY)
        assert until(service, lambda status: status.progress > 0).state == "running"
        assert ends(service).state == "done"
    shown = caplog.text + repr(service.config) + str(comfy.jobs[KEY])
    assert "a-secret" not in shown


def test_a_clip_that_breaks_off_is_not_taken(
    comfy: FakeComfy, service: ComfyService, tmp_path: Path
) -> None:
    comfy.truncates = 1
    service.submit(request(), MEDIA, KEY)
    status = service.look(KEY)
    with pytest.raises(MediaError, match="broke off on its way"):
        service.fetch(KEY, status, tmp_path / "clip.mp4")
    assert not (tmp_path / "clip.mp4").exists()
    service.fetch(KEY, status, tmp_path / "clip.mp4")
    assert (tmp_path / "clip.mp4").exists()


# Cancel


@pytest.mark.parametrize("jobs_api", [True, False])
def test_a_running_job_is_stopped_by_its_id(
    comfy: FakeComfy, service: ComfyService, jobs_api: bool
) -> None:
    comfy.steps, comfy.jobs_api = 100, jobs_api
    service.submit(request(), MEDIA, KEY)
    until(service, lambda status: status.state == "running")
    service.cancel(KEY)
    assert comfy.interrupted == [KEY]


@pytest.mark.parametrize("jobs_api", [True, False])
def test_nobody_else_s_job_is_ever_stopped(
    comfy: FakeComfy, service: ComfyService, jobs_api: bool
) -> None:
    """Old servers interrupt whatever runs, whichever id they are given."""
    other = "00000000-0000-4000-8000-000000000000"
    comfy.steps, comfy.jobs_api, comfy.interrupts_anyone = 100, jobs_api, True
    service.submit(request(seed=1), MEDIA, other)
    service.submit(request(), MEDIA, KEY)
    assert service.look(KEY).state == "queued"
    service.cancel(KEY)
    assert comfy.interrupted == [KEY]
    assert comfy.made() == [other]
    assert "POST /interrupt" not in comfy.asked


def test_a_job_that_cannot_be_stopped_raises_nothing(workflow: Path) -> None:
    with fake_comfyui(models=MODELS) as gone:
        service = service_of(gone, workflow)
    service.cancel(KEY)
    with pytest.raises(UnavailableError):
        service.look(KEY)


def test_words_of_the_server_are_shown_in_one_line_without_control_characters() -> None:
    words = "bad\x1b[31m \u202evalue\r\n\tagain\x00"
    error = {"node_id": "3", "node_type": "KSampler", "exception_message": words}
    status = {"status_str": "error", "messages": [["execution_error", error]]}
    body = json.dumps({"job": {"outputs": {}, "status": status}}).encode()
    found = history_status(Reply(200, {}, body), "job", "9")
    assert found is not None
    assert found.message == "KSampler (node 3): bad [31m value again"
    for kind in ("invalid_prompt", "missing_node_type", "value_not_in_list"):
        answer = {"error": {"type": kind, "message": words, "details": "value_not_in_list"}}
        refusal = rejected(Reply(400, {}, json.dumps(answer).encode()))
        assert str(refusal).isprintable()
        assert "bad [31m value again" in str(refusal)
