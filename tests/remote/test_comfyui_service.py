"""The service of a ComfyUI server, over HTTP and websocket, against the fake."""

import io
import json
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from pipelines.backends.remote.comfyui import service as module
from pipelines.backends.remote.comfyui.service import ComfyService
from pipelines.backends.remote.service import JobStatus
from pipelines.errors import (
    AnswerLostError,
    BriefError,
    GenerationError,
    MediaError,
    QuotaError,
    SettingsError,
    UnavailableError,
)
from pipelines.schema.money import Money
from pipelines.schema.request import (
    AudioTrack,
    Continuation,
    FirstFrame,
    ReferenceImage,
    ReferenceVideo,
)
from tests.backends.host import ArrayMedia
from tests.remote.comfyui import (
    BEFORE,
    GRAPH,
    KEY,
    MAPPING,
    MEDIA,
    MODELS,
    MOTION,
    PICTURE,
    SIZE,
    SPEECH,
    models_of,
    picture,
    request,
    service_of,
    write_workflow,
)
from tests.support.fake_comfyui import FakeComfy, fake_comfyui


@pytest.fixture
def fake() -> Iterator[FakeComfy]:
    with fake_comfyui(models=MODELS) as server:
        yield server


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    """What was learned of one fake's nodes must not be taken for another's at the same port."""
    module._checked.clear()
    yield
    module._checked.clear()


@pytest.fixture
def workflow(tmp_path: Path) -> Path:
    return write_workflow(tmp_path)


@pytest.fixture
def service(fake: FakeComfy, workflow: Path) -> ComfyService:
    return service_of(fake, workflow)


def until(service: ComfyService, ended: Callable[[JobStatus], bool], most: int = 100) -> JobStatus:
    """Ask until a job is as the test waits for."""
    for _ in range(most):
        status = service.look(KEY)
        if ended(status):
            return status
    raise AssertionError(f"after {most} questions the job is still {status}")


def ends(service: ComfyService) -> JobStatus:
    return until(service, lambda status: status.state not in ("queued", "running"))


# Availability


def test_a_server_with_all_nodes_and_models_is_available(service: ComfyService) -> None:
    found = service.availability()
    assert found.available
    assert found.reason == "ComfyUI 0.3.64"


def test_a_missing_node_is_named_with_where_to_get_it(fake: FakeComfy, tmp_path: Path) -> None:
    fake.lacks.add("WanImageToVideo")
    packs = 'packs: [{pack: WanPack, url: "https://example.org/p", nodes: [WanImageToVideo]}]\n'
    found = service_of(fake, write_workflow(tmp_path, MAPPING + packs)).availability()
    assert not found.available
    assert found.reason == (
        "the node WanImageToVideo is missing: install WanPack (https://example.org/p)"
    )


def test_a_missing_model_is_named_with_its_folder(fake: FakeComfy, service: ComfyService) -> None:
    fake.models = {**MODELS, "diffusion_models": ["another.safetensors"]}
    found = service.availability()
    assert found.reason == (
        "the model tiny.safetensors is missing: put it into models/diffusion_models/ (from "
        "https://example.org/tiny)"
    )


def test_a_model_that_the_mapping_does_not_name_is_named_too(
    fake: FakeComfy, service: ComfyService
) -> None:
    fake.models = {**MODELS, "vae": ["other.safetensors"]}
    assert "node 3 (VAELoader) asks for vae_name 'vae.safetensors', and the server has other" in (
        service.availability().reason
    )


def test_the_nodes_are_asked_for_once_in_a_while_and_the_server_each_time(
    fake: FakeComfy, workflow: Path
) -> None:
    service_of(fake, workflow).availability()
    asked = len(fake.asked)
    assert service_of(fake, workflow).availability().available
    assert fake.asked[asked:] == ["GET /system_stats"]
    fake.statuses["/system_stats"] = 404
    assert not service_of(fake, workflow).availability().available


def test_another_kind_of_server_is_not_available(fake: FakeComfy, service: ComfyService) -> None:
    fake.statuses["/system_stats"] = 200
    assert "text that is no JSON" in service.availability().reason
    fake.statuses = {"/object_info/KSampler": 404}
    assert "answered 404 when we wanted to ask for its nodes" in service.availability().reason


def test_a_server_that_does_not_run_is_not_available(workflow: Path) -> None:
    with fake_comfyui(models=MODELS) as gone:
        service = service_of(gone, workflow)
    found = service.availability()
    assert not found.available
    assert "cannot be reached" in found.reason


# A job from its start to its end


def test_a_job_is_queued_runs_with_progress_and_is_done(
    fake: FakeComfy, service: ComfyService, tmp_path: Path
) -> None:
    fake.steps = 24
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
    assert fake.jobs[KEY].graph["4"]["inputs"]["text"] == "a ball"


def test_without_a_websocket_the_job_is_done_all_the_same(
    fake: FakeComfy, service: ComfyService
) -> None:
    fake.steps, fake.statuses = 4, {"/ws": 403}
    service.submit(request(), MEDIA, KEY)
    assert ends(service).state == "done"
    assert fake.asked.count("GET /ws") <= 3


def test_a_later_process_hears_of_the_progress_again(fake: FakeComfy, workflow: Path) -> None:
    """The first one was killed: its websocket broke, and the server goes on."""
    fake.steps = 24
    service_of(fake, workflow).submit(request(), MEDIA, KEY)
    later = service_of(fake, workflow)
    assert until(later, lambda status: status.progress >= 0.5).state == "running"
    fake.hang_up()
    assert ends(later).state == "done"


def test_a_waiting_job_says_how_many_are_before_it(fake: FakeComfy, service: ComfyService) -> None:
    fake.steps = 100
    for number in range(3):
        service.submit(request(seed=number), MEDIA, f"0000000{number}-0000-4000-8000-000000000000")
    service.submit(request(), MEDIA, KEY)
    status = service.look(KEY)
    assert status.state == "queued"
    assert status.message == "3 before it in the queue of the ComfyUI server"


@pytest.mark.parametrize("key", ["images", "gifs", "video", "something_new"])
def test_the_clip_is_found_under_any_name(
    fake: FakeComfy, service: ComfyService, tmp_path: Path, key: str
) -> None:
    fake.listed_as = key
    service.submit(request(), MEDIA, KEY)
    status = service.look(KEY)
    assert status.result["filename"].endswith(".mp4")
    service.fetch(KEY, status, tmp_path / "clip.mp4")
    assert (tmp_path / "clip.mp4").read_bytes() == fake.outputs[status.result["filename"]]


def test_a_job_that_has_just_ended_may_be_nowhere_for_a_moment(
    fake: FakeComfy, service: ComfyService
) -> None:
    fake.hides = 3  # two questions of the first look, one of the second
    service.submit(request(), MEDIA, KEY)
    assert service.look(KEY).state == "running"
    assert service.look(KEY).state == "done"


def test_after_a_restart_of_the_server_a_job_is_gone(
    fake: FakeComfy, service: ComfyService
) -> None:
    fake.steps = 100
    service.submit(request(), MEDIA, KEY)
    assert service.look(KEY).state != "gone"
    fake.restart()
    assert [service.look(KEY).state for _ in range(3)] == ["running", "running", "gone"]


def test_a_node_that_fails_is_named_with_the_server_s_words(
    fake: FakeComfy, service: ComfyService
) -> None:
    fake.ending = "error"
    service.submit(request(), MEDIA, KEY)
    status = service.look(KEY)
    assert status.state == "failed"
    assert status.message == "KSampler (node 8): mat1 and mat2 shapes cannot be multiplied"
    assert not status.lasting


def test_too_little_memory_is_no_fault_of_the_request(
    fake: FakeComfy, service: ComfyService
) -> None:
    fake.ending = "memory"
    service.submit(request(), MEDIA, KEY)
    status = service.look(KEY)
    assert status.state == "failed"
    assert status.lasting
    assert status.message.startswith(
        "the memory of the ComfyUI server's device ran out in KSampler"
    )


def test_a_job_that_somebody_stopped_has_failed(fake: FakeComfy, service: ComfyService) -> None:
    fake.ending = "interrupted"
    service.submit(request(), MEDIA, KEY)
    assert service.look(KEY).message == "somebody stopped the job on the ComfyUI server"


def test_a_workflow_that_saves_nothing_has_failed(fake: FakeComfy, tmp_path: Path) -> None:
    text = MAPPING.replace('output: "11"', 'output: "10"')
    service = service_of(fake, write_workflow(tmp_path, text))
    service.submit(request(), MEDIA, KEY)
    assert service.look(KEY).message == (
        "node 10 of the workflow made no file; outputs came from 11"
    )


# Lost answers, and servers that say no


@pytest.mark.parametrize("jobs_api", [True, False])
def test_a_job_is_found_whose_answer_was_lost(
    fake: FakeComfy, service: ComfyService, jobs_api: bool
) -> None:
    fake.loses, fake.jobs_api = 1, jobs_api
    with pytest.raises(AnswerLostError):
        service.submit(request(), MEDIA, KEY)
    assert service.find(KEY) == KEY
    assert service.find(KEY.replace("0b", "0c")) is None
    assert fake.made() == [KEY]


@pytest.mark.parametrize("jobs_api", [True, False])
def test_a_waiting_job_is_found_as_well(
    fake: FakeComfy, service: ComfyService, jobs_api: bool
) -> None:
    fake.steps, fake.jobs_api = 100, jobs_api
    service.submit(request(), MEDIA, KEY)
    assert service.find(KEY) == KEY


def test_an_upload_whose_answer_is_lost_started_no_job(
    fake: FakeComfy, service: ComfyService
) -> None:
    fake.statuses["/upload/image"] = 504
    with pytest.raises(UnavailableError, match="an upload to the ComfyUI server broke off"):
        service.submit(request(FirstFrame(picture=PICTURE)), MEDIA, KEY)
    assert fake.made() == []


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
    fake: FakeComfy,
    service: ComfyService,
    path: str,
    status: int,
    error: type[Exception],
    words: str,
) -> None:
    fake.statuses[path] = status
    with pytest.raises(error, match=words) as caught:
        service.submit(request(FirstFrame(picture=PICTURE)), MEDIA, KEY)
    assert type(caught.value) is error


def test_a_workflow_that_the_server_does_not_accept_is_a_fault_of_the_workflow(
    fake: FakeComfy, tmp_path: Path
) -> None:
    graph = json.loads(json.dumps(GRAPH))
    del graph["8"]["inputs"]["denoise"]
    service = service_of(fake, write_workflow(tmp_path, graph=graph))
    with pytest.raises(
        GenerationError, match=r"KSampler \(node 8\): Required input is missing"
    ) as e:
        service.submit(request(), MEDIA, KEY)
    assert type(e.value) is GenerationError


def test_a_missing_node_or_model_makes_the_server_unavailable(
    fake: FakeComfy, service: ComfyService
) -> None:
    """Somebody removed it after the check: another backend may make the video."""
    fake.lacks.add("CreateVideo")
    with pytest.raises(UnavailableError, match=r"lacks a node: .*CreateVideo does not exist"):
        service.submit(request(), MEDIA, KEY)
    fake.lacks, fake.models = set(), {**MODELS, "diffusion_models": []}
    with pytest.raises(UnavailableError, match=r"lacks a model .*'tiny\.safetensors' not in"):
        service.submit(request(), MEDIA, KEY)
    assert fake.made() == []


def test_a_key_is_sent_and_never_shown(
    fake: FakeComfy, workflow: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fake.key = "a-secret-of-the-proxy"
    with pytest.raises(SettingsError):
        service_of(fake, workflow).submit(request(), MEDIA, KEY)
    (tmp_path / "key").write_text(fake.key)
    service = service_of(fake, workflow, key=f"file:{tmp_path / 'key'}")
    fake.steps = 24
    with caplog.at_level("DEBUG", logger="reelwright"):
        assert service.availability().available
        service.submit(request(), MEDIA, KEY)
        assert until(service, lambda status: status.progress > 0).state == "running"
        assert ends(service).state == "done"
    shown = caplog.text + repr(service.config) + str(fake.jobs[KEY])
    assert "a-secret" not in shown


def test_a_clip_that_breaks_off_is_not_taken(
    fake: FakeComfy, service: ComfyService, tmp_path: Path
) -> None:
    fake.truncates = 1
    service.submit(request(), MEDIA, KEY)
    status = service.look(KEY)
    with pytest.raises((MediaError, UnavailableError)):
        service.fetch(KEY, status, tmp_path / "clip.mp4")
    assert not (tmp_path / "clip.mp4").exists()
    service.fetch(KEY, status, tmp_path / "clip.mp4")
    assert (tmp_path / "clip.mp4").exists()


# Cancel


@pytest.mark.parametrize("jobs_api", [True, False])
def test_a_running_job_is_stopped_by_its_id(
    fake: FakeComfy, service: ComfyService, jobs_api: bool
) -> None:
    fake.steps, fake.jobs_api = 100, jobs_api
    service.submit(request(), MEDIA, KEY)
    until(service, lambda status: status.state == "running")
    service.cancel(KEY)
    assert fake.interrupted == [KEY]


@pytest.mark.parametrize("jobs_api", [True, False])
def test_nobody_else_s_job_is_ever_stopped(
    fake: FakeComfy, service: ComfyService, jobs_api: bool
) -> None:
    """Old servers interrupt whatever runs, whichever id they are given."""
    other = "00000000-0000-4000-8000-000000000000"
    fake.steps, fake.jobs_api, fake.interrupts_anyone = 100, jobs_api, True
    service.submit(request(seed=1), MEDIA, other)
    service.submit(request(), MEDIA, KEY)
    assert service.look(KEY).state == "queued"
    service.cancel(KEY)
    assert fake.interrupted == [KEY]
    assert fake.made() == [other]
    assert "POST /interrupt" not in fake.asked


def test_a_job_that_cannot_be_stopped_raises_nothing(workflow: Path) -> None:
    with fake_comfyui(models=MODELS) as gone:
        service = service_of(gone, workflow)
    service.cancel(KEY)


# Inputs


def test_a_picture_arrives_as_it_is_and_under_the_name_of_its_bytes(
    fake: FakeComfy, service: ComfyService
) -> None:
    service.submit(request(FirstFrame(picture=PICTURE)), MEDIA, KEY)
    ((name, data),) = fake.inputs.items()
    assert name.startswith("reelwright/")
    assert name.endswith(".png")
    assert (np.asarray(Image.open(io.BytesIO(data))) == picture(40)).all()
    assert fake.jobs[KEY].graph["6"]["inputs"]["image"] == name
    service.submit(request(FirstFrame(picture=PICTURE), seed=2), MEDIA, KEY)
    assert list(fake.inputs) == [name]


def test_a_continued_chunk_sends_the_oldest_repeated_frame(
    fake: FakeComfy, service: ComfyService
) -> None:
    service.submit(request(Continuation(chunk=BEFORE, frames=1)), MEDIA, KEY)
    (data,) = fake.inputs.values()
    assert (np.asarray(Image.open(io.BytesIO(data))) == picture(30)).all()


def frames_of(data: bytes) -> list[int]:
    """Mean shade of each frame."""
    with av.open(io.BytesIO(data)) as video:
        return [round(float(f.to_ndarray(format="rgb24").mean())) for f in video.decode(video=0)]


def test_talking_heads_get_picture_sound_and_the_frames_before(fake: FakeComfy) -> None:
    """InfiniteTalk as it is shipped: a chunk that goes on repeats nine frames."""
    fake.models = models_of("infinitetalk")
    service = service_of(fake, "infinitetalk")
    asked = request(
        Continuation(chunk=BEFORE, frames=9), AudioTrack(audio=SPEECH, start=24), fps=25, frames=21
    )
    service.submit(asked, MEDIA, KEY)
    graph = fake.jobs[KEY].graph
    before = frames_of(fake.inputs[graph["12"]["inputs"]["file"]])
    assert before == pytest.approx([30 + 10 * number for number in range(9)], abs=1)
    sound = fake.inputs[graph["9"]["inputs"]["audio"]]
    with wave.open(io.BytesIO(sound)) as heard:
        assert (heard.getframerate(), heard.getnframes()) == (16_000, 21 * 16_000 // 25)
    assert graph["14"]["inputs"]["previous_frames"] == ["13", 0]
    first = np.asarray(Image.open(io.BytesIO(fake.inputs[graph["11"]["inputs"]["image"]])))
    assert (first == picture(30)).all()
    status = service.look(KEY)
    with av.open(io.BytesIO(fake.outputs[status.result["filename"]])) as clip:
        assert clip.streams.audio


def test_a_talking_head_that_begins_gets_no_frames_before(fake: FakeComfy) -> None:
    fake.models = models_of("infinitetalk")
    service = service_of(fake, "infinitetalk")
    inputs = (FirstFrame(picture=PICTURE), AudioTrack(audio=SPEECH, start=0))
    service.submit(request(*inputs, fps=25, frames=21), MEDIA, KEY)
    graph = fake.jobs[KEY].graph
    assert not {"12", "13"} & set(graph)
    assert "previous_frames" not in graph["14"]["inputs"]


def test_media_without_sounds_are_a_fault_of_the_brief(fake: FakeComfy) -> None:
    fake.models = models_of("infinitetalk")
    media = ArrayMedia({PICTURE: picture(40)})
    inputs = (FirstFrame(picture=PICTURE), AudioTrack(audio=SPEECH, start=0))
    with pytest.raises(BriefError, match="briefs cannot carry one yet"):
        service_of(fake, "infinitetalk").submit(request(*inputs, fps=25, frames=21), media, KEY)


def test_a_character_gets_its_picture_and_the_motion(fake: FakeComfy) -> None:
    fake.models = models_of("wan-animate-2")
    asked = request(
        ReferenceImage(picture=PICTURE),
        ReferenceVideo(archive=MOTION, role="pose", start=2),
        fps=30,
        frames=5,
    )
    service_of(fake, "wan-animate-2").submit(asked, MEDIA, KEY)
    graph = fake.jobs[KEY].graph
    motion = frames_of(fake.inputs[graph["11"]["inputs"]["file"]])
    assert motion == pytest.approx([20, 30, 40, 50, 60], abs=1)
    assert "15" not in graph
    assert graph["16"]["inputs"]["reference_image"] == ["9", 0]


@pytest.mark.parametrize("name", ["wan-s2v", "phantom", "uni3c", "skyreels-v2"])
def test_each_other_shipped_workflow_is_accepted_and_gives_a_clip(
    fake: FakeComfy, name: str
) -> None:
    fake.models = models_of(name)
    service = service_of(fake, name)
    mapping = service.workflow.mapping
    given: dict[str, Any] = {
        "first_frame": FirstFrame(picture=PICTURE),
        "reference_image": ReferenceImage(picture=PICTURE),
        "reference_video": ReferenceVideo(archive=MOTION, role="pose", start=0),
        "audio": AudioTrack(audio=SPEECH, start=0),
    }
    inputs = [given[kind] for kind in sorted(mapping.required)]
    assert service.availability().available
    service.submit(request(*inputs, fps=mapping.fps, frames=21), MEDIA, KEY)
    assert service.look(KEY).state == "done"


# Money, and requests that cannot be made


def test_an_own_server_costs_nothing(service: ComfyService) -> None:
    assert not service.paid
    assert service.price(request()) == Money.of(0)
    assert service.bill(request(), JobStatus("done", usage={"seconds": 3})).price == Money.of(0)


def test_a_rented_server_is_paid_by_the_time_that_it_says(fake: FakeComfy, workflow: Path) -> None:
    service = service_of(fake, workflow, price_per_hour="0.72", currency="EUR", job_seconds=600)
    assert service.paid
    assert service.price(request()) == Money.of("0.12", "EUR")
    service.submit(request(), MEDIA, KEY)
    bill = service.bill(request(), service.look(KEY))
    assert (bill.price, bill.basis) == (Money.of("0.0025", "EUR"), "billed")
    unknown = service.bill(request(), JobStatus("failed"))
    assert (unknown.price, unknown.basis) == (Money.of("0.12", "EUR"), "estimated")


def test_options_that_go_to_no_node_are_refused(service: ComfyService) -> None:
    service.check([request(options={"steps": 3, "guidance": None})])
    with pytest.raises(BriefError, match=r"Tiny has guidance of its own and takes none \(3\.5"):
        service.check([request(options={"guidance": 3.5})])


def test_a_motion_without_the_video_that_is_needed_is_refused(fake: FakeComfy) -> None:
    service = service_of(fake, "uni3c")
    face = ReferenceVideo(archive=MOTION, role="face", start=0)
    with pytest.raises(BriefError, match="needs a video of pose"):
        service.check([request(FirstFrame(picture=PICTURE), face)])
    assert SIZE.width == 64
