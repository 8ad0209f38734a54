"""Films of Google's clips through the driver: real HTTP, real clips, and the bill to the cent."""

import dataclasses
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import cast

import pytest

from infra.adapters.remote.breaker import Breaker
from infra.adapters.remote.connection import HttpConnection
from pipelines.backends.base import BackendHost, GeneratedClip
from pipelines.backends.remote.config import RemoteConfig
from pipelines.backends.remote.driver import definition_of
from pipelines.backends.remote.kinds import kinds
from pipelines.errors import GenerationError, LostJobError, QuotaError, RefusedError
from pipelines.media.ffmpeg import Ffmpeg, find_ffmpeg
from pipelines.schema.request import ClipRequest
from pipelines.schema.sizes import Size
from tests.remote.google import FIRST, Pictures, omni_config, request, veo_config
from tests.support.fake_google import FakeGoogle
from tests.support.fake_google_clips import clip_of
from tests.support.remote import Kills, RunHost, World

SMALL = Size(640, 360)
CHUNKS = [request(seconds=3, size=SMALL), request(FIRST, seconds=3, size=SMALL)]


@pytest.fixture(scope="module")
def tool() -> Ffmpeg:
    return find_ffmpeg()


Film = Callable[..., list[GeneratedClip]]


@pytest.fixture
def film(google: FakeGoogle, tool: Ffmpeg, tmp_path: Path) -> Film:
    """Make the chunks of a film in a new process, as it were."""
    google.clip = lambda resolution, aspect, seconds: clip_of(
        tool.executable, resolution, aspect, seconds
    )

    def make(
        world: World,
        config: RemoteConfig,
        chunks: list[ClipRequest] = CHUNKS,
        on_step: Callable[[int, int], None] = lambda done, of: None,
    ) -> list[GeneratedClip]:
        host = RunHost(world, Kills(), tool, tmp_path)
        connection = HttpConnection(config, breaker=Breaker(), pause=lambda _: None)
        host.access = dataclasses.replace(host.access, connection=connection)
        definition = definition_of(config, kinds()[config.kind])
        backend = definition.create(cast(BackendHost, host), frozenset({"text"}))
        with backend.open() as session:
            session.prepare(chunks)
            return [session.generate(chunk, Pictures(), on_step) for chunk in chunks]

    return make


def omni(google: FakeGoogle, delivery: str = "uri") -> RemoteConfig:
    return omni_config(google, resolutions=["360p"], delivery=delivery)


@pytest.mark.parametrize("delivery", ["uri", "inline"])
def test_two_chunks_have_their_frames_and_sound_and_cost_what_the_bill_says(
    google: FakeGoogle, film: Film, delivery: str
) -> None:
    world = World()
    for clip in film(world, omni(google, delivery)):
        frames = list(clip.frames)
        assert len(frames) == 72
        assert frames[0].shape == (360, 640, 3)
        assert clip.sound is not None
        assert len(clip.sound.samples) == 3 * clip.sound.rate
        assert abs(clip.sound.samples).max() > 0.01
    assert len(google.jobs) == len(google.created()) == 2
    assert world.spent == google.bill > 0


def test_a_chunk_of_veo_comes_the_same_way(google: FakeGoogle, film: Film) -> None:
    world = World()
    (clip,) = film(world, veo_config(google), [request(seconds=4)])
    assert len(list(clip.frames)) == 96
    assert world.spent == google.bill == Decimal("0.40")


def test_failed_jobs_are_made_again_and_what_they_cost_is_counted(
    google: FakeGoogle, film: Film
) -> None:
    google.modes, world = ["failed", "ok", "truncated-once"], World()
    assert len(film(world, omni(google))) == 2
    assert len(google.jobs) == 3
    assert world.spent == google.bill


def test_an_interrupted_run_goes_on_with_its_job(google: FakeGoogle, film: Film) -> None:
    world = World()

    def interrupt(done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        film(world, omni(google), CHUNKS[:1], interrupt)
    assert len(google.jobs) == 1
    film(world, omni(google), CHUNKS[:1])
    film(world, omni(google), CHUNKS[:1])  # it is there: nothing is made or paid again
    assert len(google.created()) == 1
    assert world.spent == google.bill


@pytest.mark.parametrize("mode", ["refused", "filtered"])
def test_a_refusal_ends_the_film_and_no_other_job_is_started(
    google: FakeGoogle, film: Film, mode: str
) -> None:
    google.modes, world = [mode], World()
    with pytest.raises(RefusedError, match="no other backend was tried"):
        film(world, omni(google), CHUNKS[:1])
    assert len(google.created()) == 1
    assert world.spent == google.bill


def test_a_job_whose_answer_was_lost_is_not_submitted_again(google: FakeGoogle, film: Film) -> None:
    google.modes, world = ["lost"], World()
    with pytest.raises(LostJobError):
        film(world, omni(google), CHUNKS[:1])
    assert len(google.created()) == 1
    assert world.spent >= google.bill > 0  # the reservation stays


@pytest.mark.parametrize("mode", ["429", "403-quota", "budget"])
def test_without_quota_nothing_is_paid_and_the_film_may_go_elsewhere(
    google: FakeGoogle, film: Film, mode: str
) -> None:
    google.modes, world = [mode], World()
    with pytest.raises(QuotaError):
        film(world, omni(google), CHUNKS[:1])
    assert len(google.created()) == 1
    assert world.spent == google.bill == 0


def test_a_clip_of_another_length_is_paid_and_does_not_count(
    google: FakeGoogle, film: Film
) -> None:
    google.modes, world = ["short"], World()
    with pytest.raises(GenerationError, match="72 frames"):
        film(world, omni(google), CHUNKS[:1])
    assert world.spent == google.bill > 0


def test_over_ten_chunks_the_ledger_is_the_bill_to_the_cent(google: FakeGoogle, film: Film) -> None:
    """Three in ten fail, one answer is lost, one is refused, one is fetched twice."""
    google.by_second, world = Decimal("0.07"), World()
    prices = {"as_of": "2026-11-27", "source": "a contract", "per_second": {"360p": "0.07"}}
    config = omni_config(google, resolutions=["360p"], prices=prices)
    # What each job is, in order; after a failure comes the one that is made in its place.
    google.modes = [
        *("ok", "failed", "ok", "lost", "ok", "refused", "failed", "failed", "ok"),
        *("truncated-once", "ok", "short", "ok", "ok"),
    ]
    ends: list[type[Exception] | None] = []
    for number in range(11):
        chunk = request(seconds=3, size=SMALL).model_copy(update={"seed": number})
        try:
            film(world, config, [chunk])
        except (RefusedError, LostJobError, GenerationError) as error:
            ends.append(type(error))
        else:
            ends.append(None)
    assert not google.modes
    assert [end for end in ends if end] == [LostJobError, RefusedError, GenerationError]
    assert world.spent == google.bill > 0
    assert len(google.jobs) == len(google.created()) == 14
