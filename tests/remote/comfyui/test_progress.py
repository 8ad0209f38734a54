"""The progress of a job, from the messages of a websocket."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from pipelines.backends.remote.comfyui.progress import JobProgress
from pipelines.errors import UnavailableError


@dataclass
class Spoken:
    """Says what the test says."""

    waiting: list[str] = field(default_factory=list)
    opened: int = 0
    closed: int = 0
    broken: bool = False

    def say(self, kind: str, job: str = "mine", **data: Any) -> None:
        self.waiting.append(json.dumps({"type": kind, "data": {"prompt_id": job, **data}}))

    def listen(self) -> "Spoken":
        self.opened += 1
        return self

    def texts(self) -> Sequence[str]:
        if self.broken:
            raise UnavailableError("closed")
        found, self.waiting = self.waiting, []
        return found

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def spoken() -> Spoken:
    return Spoken()


def test_the_steps_of_the_sampler_are_the_progress(spoken: Spoken) -> None:
    job = JobProgress("mine", "8", 10, spoken.listen)
    spoken.say("progress", node="8", value=3, max=4)
    spoken.say("progress", node="3", value=9, max=9)  # a model that is loaded
    spoken.say("progress", job="another", node="8", value=4, max=4)
    assert job.update() == 0.75
    nodes = {"8": {"value": 1, "max": 4, "state": "running"}}
    spoken.say("progress_state", nodes=nodes)
    assert job.update() == 0.75, "the progress has fallen"
    spoken.say("progress_state", nodes={"8": {"value": 4, "max": 4, "state": "running"}})
    assert job.update() == 1.0


def test_without_a_sampler_the_nodes_that_ended_count(spoken: Spoken) -> None:
    job = JobProgress("mine", "", 4, spoken.listen)
    spoken.say("execution_cached", nodes=["1"])
    spoken.say("executing", node="2")
    assert job.update() == 0.25
    spoken.say("executing", node="3")
    assert job.update() == 0.5
    spoken.say("progress_state", nodes={"3": {"value": 1, "max": 1, "state": "finished"}})
    spoken.say("executing", node=None)
    assert job.update() == 0.75


def test_messages_of_another_version_change_nothing(spoken: Spoken) -> None:
    job = JobProgress("mine", "8", 4, spoken.listen)
    spoken.waiting = ["no json", "[]", '{"type": "progress"}', '{"type": "new", "data": null}']
    spoken.say("progress", node="8", value="three", max=4)
    spoken.say("progress_state", nodes=["8"])
    assert job.update() == 0.0


def test_a_connection_that_breaks_is_tried_again_three_times(spoken: Spoken) -> None:
    job = JobProgress("mine", "8", 4, spoken.listen)
    spoken.say("progress", node="8", value=2, max=4)
    assert job.update() == 0.5
    spoken.broken = True
    assert [job.update() for _ in range(6)] == [0.5] * 6
    assert (spoken.opened, spoken.closed) == (3, 3)
