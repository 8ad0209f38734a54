"""A storyboard has a time, and a writer that hangs or is slow costs no more than that."""

import math
import os
import signal
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from pipelines.errors import EnhancerError
from pipelines.prompting import llama
from pipelines.prompting.instruct import Instruction
from pipelines.prompting.llama import LlamaEnhancer, LlamaOptions, ShotRequest
from pipelines.prompting.time_limit import timed
from pipelines.prompting.tiny_model import write_tiny_mistral
from tests.pipelines.test_direct import direct, strategies
from tests.pipelines.test_instruct_model import TEMPLATE, question
from tests.support.scripted_writer import BothWriter, GoodWriter

OVER = "its time for this storyboard is over"


class Clock:
    """A clock that goes on when a writer is asked."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def spend(self, needed: float, allowed: float) -> None:
        """Go on for an answer. Raises EnhancerError if it needs more than is allowed."""
        self.now += min(needed, allowed)
        if needed > allowed:
            raise EnhancerError(f"no answer within {allowed:g} s")


class Director(GoodWriter):
    """Needs `seconds` for each answer; endless ones stand for a model that hangs."""

    storyboard_timeout = 600.0

    def __init__(self, clock: Clock, seconds: float) -> None:
        super().__init__()
        self.clock, self.needed = clock, seconds

    def structured(self, instruction: Instruction) -> str:
        good = super().structured(instruction)
        self.clock.spend(self.needed, instruction.seconds)
        return good


class Both(Director, BothWriter):
    """One that also goes on with a text, in `sentence` seconds."""

    def __init__(self, clock: Clock, seconds: float, sentence: float = 1.0) -> None:
        super().__init__(clock, seconds)
        self.sentence = sentence

    def words(self, request: ShotRequest) -> str:
        self.clock.spend(self.sentence, request.seconds)
        return super().words(request)


def test_a_writer_that_hangs_costs_three_quarters_of_the_time_and_then_completes() -> None:
    clock = Clock()
    board = direct(timed(Both(clock, math.inf), 4, clock))
    assert strategies(board) == ["complete"] * 4
    note = f"complete stands in for direct: outline: {OVER} (450 of 600 s)"
    assert all(shot.note.startswith(note) for shot in board.shots)
    assert all("REELWRIGHT_LLM_STORYBOARD_TIMEOUT" in shot.note for shot in board.shots)
    assert clock.now == 450 + 4


def test_a_writer_that_hangs_in_all_it_does_costs_its_time_and_the_template_says_why() -> None:
    clock = Clock()
    board = direct(timed(Both(clock, math.inf, math.inf), 4, clock))
    assert {shot.source for shot in board.shots} == {"template"}
    assert {shot.cause for shot in board.shots} == {"failed"}
    assert f"complete: {OVER} (600 s)" in board.shots[0].note
    assert clock.now == 600


def test_a_writer_that_only_directs_has_all_the_time() -> None:
    clock = Clock()
    board = direct(timed(Director(clock, math.inf), 4, clock))
    assert f"outline: {OVER} (600 s)" in board.shots[0].note
    assert clock.now == 600


def test_a_slow_writer_directs_as_many_shots_as_it_can() -> None:
    clock = Clock()
    writer = Both(clock, 100.0)
    board = direct(timed(writer, 4, clock))
    assert strategies(board) == ["direct", "direct", "complete", "complete"]
    assert OVER in board.shots[2].note
    assert OVER in board.shots[3].note
    assert [item.seconds for item in writer.asked] == [450, 350, 250, 150, 50]


def test_a_longer_film_has_more_time_in_proportion() -> None:
    clock = Clock()
    writer = Both(clock, 1.0)
    direct(timed(writer, 20, clock), count=1)
    assert writer.asked[0].seconds == 900


def test_a_writer_without_a_limit_is_asked_as_before() -> None:
    writer, other = GoodWriter(), GoodWriter()
    board = direct(timed(writer, 4))
    assert board == direct(other)
    assert writer.asked == other.asked


def test_time_begins_with_the_first_question_and_reading_what_is_kept_takes_none() -> None:
    clock = Clock()
    writer = timed(Director(clock, 1.0), 4, clock)
    clock.now = 10_000
    assert strategies(direct(writer)) == ["direct"] * 4


def test_what_a_writer_can_do_is_seen_through_its_limit() -> None:
    limited = timed(Director(Clock(), 1.0), 4)
    assert (limited.name, hasattr(limited, "structured")) == (GoodWriter.name, True)
    assert not hasattr(limited, "words")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "limited.gguf"
    write_tiny_mistral(path, template=TEMPLATE)
    return path


def late(seconds: float) -> Instruction:
    return replace(question(), seconds=seconds)


def test_an_answer_in_progress_is_stopped_and_the_model_stays_loaded(file: Path) -> None:
    with LlamaEnhancer(file, "tiny@1", "instruct", LlamaOptions(prompt_threads=1)) as writer:
        first = writer.structured(question())
        child = writer.child_pid
        with pytest.raises(EnhancerError, match="no answer within 0 s"):
            writer.structured(late(0.0))
        with pytest.raises(EnhancerError, match="no answer within 0 s"):
            writer.words(ShotRequest("a fox", "Wide shot", "A fox", 1, seconds=0.0))
        assert writer.structured(question()) == first
        assert writer.child_pid == child


def test_a_child_that_does_not_stop_by_itself_is_ended_and_not_asked_again_in_vain(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama, "_GRACE", 0.1)
    with LlamaEnhancer(file, "tiny@1", "instruct", LlamaOptions(prompt_threads=1)) as writer:
        writer.load()
        assert writer.child_pid is not None
        child = psutil.Process(writer.child_pid)
        os.kill(child.pid, signal.SIGSTOP)
        with pytest.raises(EnhancerError, match="gave no answer"):
            writer.structured(late(0.1))
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
        assert writer.child_pid is None
        assert writer.structured(question())  # its last start
