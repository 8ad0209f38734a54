"""What the driver of remote backends does not pay for: a second job, and a clip it cannot hold."""

from pathlib import Path
from typing import cast

import pytest

from pipelines.backends.base import BackendHost
from pipelines.backends.remote.driver import definition_of
from pipelines.errors import PendingJobError, UnavailableError
from pipelines.media.ffmpeg import Ffmpeg
from tests.remote.test_driver import CONFIG, REQUEST, Run
from tests.remote.test_driver import run as run
from tests.remote.test_driver import tool as tool
from tests.support.remote import PRICE, SIZE, Kills, RunHost, World, kind_of


def test_no_other_backend_is_tried_while_nobody_says_whether_a_paid_job_is_at_work(
    run: Run,
) -> None:
    """Falling back is what an UnavailableError leads to."""
    world = World(finds=True, loses_answers=1, deaf=2)
    for _ in range(2):  # the worker starts the run again
        with pytest.raises(PendingJobError, match="may be at work on a paid job") as caught:
            run(world)
        assert not isinstance(caught.value, UnavailableError)
    assert (len(world.jobs), world.spent) == (1, PRICE.amount)
    assert run(world) == 16
    assert len(world.jobs) == 1
    assert world.spent == world.bill


def test_another_backend_may_make_what_a_free_service_does_not_answer_about(run: Run) -> None:
    with pytest.raises(UnavailableError, match="left alone"):
        run(World(paid=False, finds=True, loses_answers=1, deaf=1))


def test_a_host_that_cannot_hold_the_frames_of_a_clip_pays_for_none(run: Run) -> None:
    need = SIZE.width * SIZE.height * 3 * 16
    world, kills = World(free_memory=need - 1), Kills()
    with pytest.raises(UnavailableError, match=r"GB of this host's memory.*nothing was paid"):
        run(world, kills)
    assert not {"reserve", "submit"} & set(kills.names)
    assert run(World(free_memory=need)) == 16


def test_the_memory_of_a_clips_frames_is_in_the_estimate(tool: Ffmpeg, tmp_path: Path) -> None:
    world, kills = World(), Kills()
    host = cast(BackendHost, RunHost(world, kills, tool, tmp_path))
    backend = definition_of(CONFIG, kind_of(world, kills, tool)).create(host, frozenset({"text"}))
    longer = REQUEST.model_copy(update={"frames": 24})
    assert backend.effort([REQUEST, longer]).memory_bytes == SIZE.width * SIZE.height * 3 * 24
