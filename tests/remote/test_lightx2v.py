"""A LightX2V server, through the driver and over HTTP."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.backends.remote.videos.lightx2v import LightX2VService
from pipelines.errors import BriefError, UnavailableError
from pipelines.media.ffmpeg import Ffmpeg
from tests.remote.servers import (
    GOES_ON,
    PICTURE,
    SIZE,
    Host,
    Pictures,
    config_of,
    generate,
    request_of,
)
from tests.support.fake_lightx2v import FakeLightX2V, fake_lightx2v, picture_in
from tests.support.remote import World

KEY = "12345678-1234-5678-1234-567812345678"


@pytest.fixture
def fake(ffmpeg: Ffmpeg, tmp_path: Path) -> Iterator[FakeLightX2V]:
    with fake_lightx2v(ffmpeg, tmp_path) as found:
        yield found


@pytest.fixture
def host(ffmpeg: Ffmpeg, tmp_path: Path) -> Host:
    return Host(World(paid=False), ffmpeg, tmp_path)


def config(fake: FakeLightX2V, **changes: Any) -> Any:
    return config_of("lightx2v", fake.url, **changes)


def service_of(fake: FakeLightX2V, host: Host) -> LightX2VService:
    return LightX2VService(config(fake), host.connection(config(fake)))


def test_everything_that_decides_pixels_is_sent(fake: FakeLightX2V, host: Host) -> None:
    _, frames = generate(config(fake), host, request_of())
    (task,) = fake.sent
    (record,) = host.world.records.values()
    assert task.task_id == record.key == record.operation
    assert (task.prompt, task.negative_prompt, task.seed) == ("a red ball, é ☃", "blue", 2**32 - 1)
    assert (task.target_video_length, task.target_fps, task.infer_steps) == (9, 16, 12)
    assert task.target_shape == [SIZE.height, SIZE.width]
    assert "image_path" not in task.model_fields_set
    assert (len(frames), frames[0].shape) == (9, (SIZE.height, SIZE.width, 3))


def test_steps_that_nobody_set_are_the_server_s(fake: FakeLightX2V, host: Host) -> None:
    generate(config(fake, steps=None), host, request_of(options={}))
    assert "infer_steps" not in fake.sent[0].model_fields_set


def test_a_picture_travels_within_the_request(fake: FakeLightX2V, host: Host) -> None:
    for given, level in ((PICTURE, 90), (GOES_ON, 200)):
        generate(config(fake), host, request_of(given))
        picture = np.asarray(Image.open(io.BytesIO(picture_in(fake.sent[-1]))))
        assert picture.shape == (SIZE.height, SIZE.width, 3)
        assert (picture == level).all()
        assert fake.sent[-1].last_frame_path == ""


def test_a_task_whose_answer_was_lost_is_found_by_its_id(fake: FakeLightX2V, host: Host) -> None:
    fake.lose = 1
    _, frames = generate(config(fake), host, request_of())
    assert len(frames) == 9
    assert len(fake.sent) == 1


def test_a_task_that_is_there_already_is_ours(fake: FakeLightX2V, host: Host) -> None:
    service = service_of(fake, host)
    assert service.find(KEY) is None
    assert service.submit(request_of(), Pictures(), KEY) == KEY
    assert service.submit(request_of(), Pictures(), KEY) == KEY
    assert service.find(KEY) == KEY
    assert len(fake.sent) == 1


def test_a_task_that_a_restart_lost_is_submitted_anew(fake: FakeLightX2V, host: Host) -> None:
    done = host.access.pause

    def pause(seconds: float) -> None:
        done(seconds)
        if len(host.pauses) == 1:
            fake.restart()

    object.__setattr__(host.access, "pause", pause)
    fake.steps = 3
    _, frames = generate(config(fake), host, request_of())
    assert len(frames) == 9
    assert len({task.task_id for task in fake.sent}) == 2


def test_a_full_queue_is_no_fault_of_the_brief(fake: FakeLightX2V, host: Host) -> None:
    service = service_of(fake, host)
    assert service.availability().available
    fake.most = 0
    assert "is full" in service.availability().reason
    with pytest.raises(UnavailableError, match="Task queue is full"):
        service.submit(request_of(), Pictures(), KEY)


def test_a_failure_comes_with_the_server_s_words(fake: FakeLightX2V, host: Host) -> None:
    fake.outcomes = ["failed"] * 3
    with pytest.raises(UnavailableError, match="CUDA out of memory"):
        generate(config(fake), host, request_of())
    assert len(fake.sent) == 3


def test_cancelling_stops_the_task(fake: FakeLightX2V, host: Host) -> None:
    fake.outcomes = ["endless"]
    service = service_of(fake, host)
    service.submit(request_of(), Pictures(), KEY)
    assert service.look(KEY).state == "running"
    service.cancel(KEY)
    status = service.look(KEY)
    assert (status.state, status.message) == ("failed", "Task cancelled by user")
    service.cancel("unknown")


def test_another_server_is_told_from_it(host: Host) -> None:
    absent = config_of("lightx2v", "http://127.0.0.1:9")
    found = LightX2VService(absent, host.connection(absent)).availability()
    assert not found.available
    assert "check that it runs" in found.reason


def test_guidance_is_no_option_of_it(fake: FakeLightX2V, host: Host) -> None:
    with pytest.raises(BriefError, match="cannot work with guidance"):
        generate(config(fake), host, request_of(options={"guidance": 3.0}))
    assert fake.sent == []
