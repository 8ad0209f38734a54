"""A film of two chunks by a ComfyUI server, through the driver of remote backends."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from infra.adapters.remote.breaker import Breaker
from infra.adapters.remote.connection import HttpConnection
from pipelines.backends.base import BackendHost, Frame
from pipelines.backends.remote.comfyui.service import ComfyService
from pipelines.backends.remote.config import RemoteConfig
from pipelines.backends.remote.driver import RemoteBackend, definition_of
from pipelines.backends.remote.file import read_backends
from pipelines.backends.remote.kinds import kinds
from pipelines.errors import GenerationError, SettingsError, UnavailableError
from pipelines.media.ffmpeg import Ffmpeg, find_ffmpeg
from pipelines.schema.request import AudioTrack, ClipRequest, Continuation, FirstFrame
from tests.remote.comfyui.common import (
    BEFORE,
    MAPPING,
    PICTURE,
    SPEECH,
    Media,
    config_of,
    models_of,
    picture,
    request,
    write_workflow,
)
from tests.support.fake_comfyui import FakeComfy
from tests.support.remote import KilledError, Kills, RunHost, World


@pytest.fixture(scope="module")
def tool() -> Ffmpeg:
    return find_ffmpeg()


class Studio:
    """Makes films with one entry of the operator's file, in a new process each time."""

    def __init__(self, config: RemoteConfig, tool: Ffmpeg, folder: Path) -> None:
        self.config, self.tool, self.folder = config, tool, folder
        self.world = World(paid=False)

    def film(self, kills: Kills | None = None) -> list[list[Frame]]:
        """Two chunks: the second one goes on from the first one's last frame."""
        first = request(FirstFrame(picture=PICTURE))
        second = request(Continuation(chunk=BEFORE, frames=1), prompt="it goes on", seed=8)
        begun = self.clip(first, {}, kills)
        return [begun, self.clip(second, {BEFORE: begun[-1:]}, kills)]

    def clip(
        self, asked: ClipRequest, overlaps: dict[str, list[Frame]], kills: Kills | None = None
    ) -> list[Frame]:
        host = RunHost(self.world, kills or Kills(), self.tool, self.folder)
        connection = HttpConnection(self.config, breaker=Breaker(), pause=lambda _: None)
        host.access = replace(host.access, connection=connection)
        definition = definition_of(self.config, kinds()[self.config.kind])
        media = Media(pictures={PICTURE: picture(40)}, overlaps=overlaps)  # type: ignore[arg-type]
        backend = definition.create(cast(BackendHost, host), asked.kinds)
        with backend.open() as session:
            session.prepare([asked])
            self.sound = (found := session.generate(asked, media, lambda done, of: None)).sound
            return list(found.frames)


@pytest.fixture
def studio(comfy: FakeComfy, tool: Ffmpeg, tmp_path: Path) -> Studio:
    return Studio(config_of(comfy, write_workflow(tmp_path)), tool, tmp_path)


def test_two_chunks_become_one_film_without_a_seam(comfy: FakeComfy, studio: Studio) -> None:
    comfy.steps = 3
    first, second = studio.film()
    assert (len(first), len(second)) == (17, 17)
    seam = np.abs(first[-1].astype(int) - second[0].astype(int)).mean()
    assert seam < 3, "the second chunk does not begin with the first one's last frame"
    assert len(comfy.made()) == 2
    assert {record.outcome for record in studio.world.records.values()} == {"done"}


@pytest.mark.slow
def test_the_film_is_made_once_however_often_it_is_killed(
    comfy: FakeComfy, tool: Ffmpeg, tmp_path: Path
) -> None:
    """At each call of the journal, before and after it has had its effect."""
    config = config_of(comfy, write_workflow(tmp_path))
    counted = Kills()
    Studio(config, tool, tmp_path).film(counted)
    for at in range(counted.calls):
        for after in (False, True):
            comfy.restart()
            studio = Studio(config, tool, tmp_path)
            with pytest.raises(KilledError):
                studio.film(Kills(at, after=after))
            assert [len(clip) for clip in studio.film()] == [17, 17]
            assert len(comfy.made()) == 2, f"killed {'after' if after else 'before'} call {at}"


def test_a_lost_answer_makes_no_second_job(comfy: FakeComfy, studio: Studio) -> None:
    comfy.loses = 2
    studio.film()
    assert len(comfy.made()) == 2
    assert comfy.asked.count("POST /prompt") == 2


def test_a_job_that_a_restart_lost_is_submitted_again(comfy: FakeComfy, studio: Studio) -> None:
    comfy.steps = 2
    with pytest.raises(KilledError):
        studio.clip(request(FirstFrame(picture=PICTURE)), {}, Kills(2, after=True))
    assert len(comfy.made()) == 1
    comfy.restart()
    assert len(studio.film()) == 2
    assert len(comfy.made()) == 2


def test_too_little_memory_lets_another_backend_make_the_video(
    comfy: FakeComfy, studio: Studio
) -> None:
    """At once: the same request would run out of memory again."""
    comfy.ending = "memory"
    with pytest.raises(UnavailableError, match="Tiny cannot make this clip: the memory of the"):
        studio.film()
    assert comfy.asked.count("POST /prompt") == 1


def test_a_workflow_that_gives_another_length_is_not_taken(
    comfy: FakeComfy, studio: Studio
) -> None:
    comfy.frames_off = 4
    with pytest.raises(GenerationError, match="13 frames of 64"):
        studio.film()


def test_a_workflow_that_is_edited_meanwhile_counts_from_the_next_start(
    comfy: FakeComfy, studio: Studio, tmp_path: Path
) -> None:
    """Its clips would be stored under the identity of the old one."""
    studio.film()
    definition = definition_of(studio.config, kinds()["comfyui"])
    write_workflow(tmp_path, MAPPING + 'constants: {"8.cfg": 1.5}\n')
    host = RunHost(studio.world, Kills(), studio.tool, tmp_path)
    backend = definition.create(cast(BackendHost, host), frozenset({"text"}))
    assert isinstance(backend, RemoteBackend)
    offline = backend._offline
    assert isinstance(offline, ComfyService)
    assert offline.workflow.digest == backend.identity(definition.presets[0].options)["workflow"]
    studio.film()
    assert len(studio.world.records) == 4, "clips of another workflow were taken"


def test_a_talking_head_has_its_sound(comfy: FakeComfy, tool: Ffmpeg, tmp_path: Path) -> None:
    """InfiniteTalk as it is shipped. The clip's sound is the given one, as long as the picture."""
    comfy.models = models_of("infinitetalk")
    studio = Studio(config_of(comfy, "infinitetalk"), tool, tmp_path)
    inputs = (FirstFrame(picture=PICTURE), AudioTrack(audio=SPEECH, start=0))
    frames = studio.clip(request(*inputs, fps=25, frames=21), {})
    assert len(frames) == 21
    assert studio.sound is not None
    assert len(studio.sound.samples) == 21 * studio.sound.rate // 25
    power = np.abs(np.fft.rfft(studio.sound.samples[:, 0]))
    pitch = np.fft.rfftfreq(len(studio.sound.samples), 1 / studio.sound.rate)[power.argmax()]
    assert pitch == pytest.approx(440, abs=3), "this is not the given sound"


def test_the_operator_s_file_is_checked_to_its_end(comfy: FakeComfy, tmp_path: Path) -> None:
    good = write_workflow(tmp_path)
    text = f"backends:\n  - {{name: box, kind: comfyui, address: {comfy.url}, workflow: {good}}}\n"
    (definition,) = read_backends(text, "backends.yaml")
    assert definition.name == "box"
    good.with_suffix(".yaml").write_text(MAPPING.replace("8.seed", "8.sead"))
    with pytest.raises(SettingsError) as caught:
        read_backends(text, "backends.yaml")
    message = str(caught.value)
    assert message.startswith("backends.yaml, line 2:")
    assert "tiny.yaml, line 12: '8.sead': node '8' (KSampler) has no input 'sead'" in message
    assert "only 'model', 'seed'" in message
    assert comfy.asked == []


def test_a_download_that_breaks_off_is_fetched_again(comfy: FakeComfy, studio: Studio) -> None:
    comfy.truncates = 2
    studio.film()
    assert len(comfy.made()) == 2
