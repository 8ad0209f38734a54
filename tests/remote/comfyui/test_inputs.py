"""What goes to a ComfyUI server, what it costs, and what is refused before."""

import io
import wave
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from pipelines.backends.remote.comfyui.service import ComfyService
from pipelines.backends.remote.service import JobStatus
from pipelines.errors import (
    BriefError,
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
from tests.remote.comfyui.common import (
    BEFORE,
    KEY,
    MEDIA,
    MOTION,
    PICTURE,
    SIZE,
    SPEECH,
    models_of,
    picture,
    request,
    service_of,
)
from tests.support.fake_comfyui import FakeComfy

# Inputs


def test_a_picture_arrives_as_it_is_and_under_the_name_of_its_bytes(
    comfy: FakeComfy, service: ComfyService
) -> None:
    service.submit(request(FirstFrame(picture=PICTURE)), MEDIA, KEY)
    ((name, data),) = comfy.inputs.items()
    assert name.startswith("reelwright/")
    assert name.endswith(".png")
    assert (np.asarray(Image.open(io.BytesIO(data))) == picture(40)).all()
    assert comfy.jobs[KEY].graph["6"]["inputs"]["image"] == name
    service.submit(request(FirstFrame(picture=PICTURE), seed=2), MEDIA, KEY)
    assert list(comfy.inputs) == [name]


def test_a_continued_chunk_sends_the_oldest_repeated_frame(
    comfy: FakeComfy, service: ComfyService
) -> None:
    service.submit(request(Continuation(chunk=BEFORE, frames=1)), MEDIA, KEY)
    (data,) = comfy.inputs.values()
    assert (np.asarray(Image.open(io.BytesIO(data))) == picture(30)).all()


def frames_of(data: bytes) -> list[int]:
    """Mean shade of each frame."""
    with av.open(io.BytesIO(data)) as video:
        return [round(float(f.to_ndarray(format="rgb24").mean())) for f in video.decode(video=0)]


def test_talking_heads_get_picture_sound_and_the_frames_before(comfy: FakeComfy) -> None:
    """InfiniteTalk as it is shipped: a chunk that goes on repeats nine frames."""
    comfy.models = models_of("infinitetalk")
    service = service_of(comfy, "infinitetalk")
    asked = request(
        Continuation(chunk=BEFORE, frames=9), AudioTrack(audio=SPEECH, start=24), fps=25, frames=21
    )
    service.submit(asked, MEDIA, KEY)
    graph = comfy.jobs[KEY].graph
    before = frames_of(comfy.inputs[graph["12"]["inputs"]["file"]])
    assert before == pytest.approx([30 + 10 * number for number in range(9)], abs=1)
    sound = comfy.inputs[graph["9"]["inputs"]["audio"]]
    with wave.open(io.BytesIO(sound)) as heard:
        assert (heard.getframerate(), heard.getnframes()) == (16_000, 21 * 16_000 // 25)
    assert graph["14"]["inputs"]["previous_frames"] == ["13", 0]
    first = np.asarray(Image.open(io.BytesIO(comfy.inputs[graph["11"]["inputs"]["image"]])))
    assert (first == picture(30)).all()
    status = service.look(KEY)
    with av.open(io.BytesIO(comfy.outputs[status.result["filename"]])) as clip:
        assert clip.streams.audio


def test_a_talking_head_that_begins_gets_no_frames_before(comfy: FakeComfy) -> None:
    comfy.models = models_of("infinitetalk")
    service = service_of(comfy, "infinitetalk")
    inputs = (FirstFrame(picture=PICTURE), AudioTrack(audio=SPEECH, start=0))
    service.submit(request(*inputs, fps=25, frames=21), MEDIA, KEY)
    graph = comfy.jobs[KEY].graph
    assert not {"12", "13"} & set(graph)
    assert "previous_frames" not in graph["14"]["inputs"]


def test_media_without_sounds_are_a_fault_of_the_brief(comfy: FakeComfy) -> None:
    comfy.models = models_of("infinitetalk")
    media = ArrayMedia({PICTURE: picture(40)})
    inputs = (FirstFrame(picture=PICTURE), AudioTrack(audio=SPEECH, start=0))
    with pytest.raises(BriefError, match="briefs cannot carry one yet"):
        service_of(comfy, "infinitetalk").submit(request(*inputs, fps=25, frames=21), media, KEY)


def test_a_character_gets_its_picture_and_the_motion(comfy: FakeComfy) -> None:
    comfy.models = models_of("wan-animate-2")
    asked = request(
        ReferenceImage(picture=PICTURE),
        ReferenceVideo(archive=MOTION, role="pose", start=2),
        fps=30,
        frames=5,
    )
    service_of(comfy, "wan-animate-2").submit(asked, MEDIA, KEY)
    graph = comfy.jobs[KEY].graph
    motion = frames_of(comfy.inputs[graph["11"]["inputs"]["file"]])
    assert motion == pytest.approx([20, 30, 40, 50, 60], abs=1)
    assert "15" not in graph
    assert graph["16"]["inputs"]["reference_image"] == ["9", 0]


@pytest.mark.parametrize("name", ["wan-s2v", "phantom", "uni3c", "skyreels-v2"])
def test_each_other_shipped_workflow_is_accepted_and_gives_a_clip(
    comfy: FakeComfy, name: str
) -> None:
    comfy.models = models_of(name)
    service = service_of(comfy, name)
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


def test_a_rented_server_is_paid_by_the_time_that_it_says(comfy: FakeComfy, workflow: Path) -> None:
    service = service_of(comfy, workflow, price_per_hour="0.72", currency="EUR", job_seconds=600)
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


def test_a_motion_without_the_video_that_is_needed_is_refused(comfy: FakeComfy) -> None:
    service = service_of(comfy, "uni3c")
    face = ReferenceVideo(archive=MOTION, role="face", start=0)
    with pytest.raises(BriefError, match="needs a video of pose"):
        service.check([request(FirstFrame(picture=PICTURE), face)])
    assert SIZE.width == 64
