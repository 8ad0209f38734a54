"""The second answer of an instruct model is held to the check of second answers."""

import json

import pytest

from pipelines.prompting.compose import MIN_WORDS
from pipelines.prompting.instruct import Instruction
from pipelines.prompting.words import words_of
from tests.pipelines.test_direct import direct, strategies
from tests.support.scripted_writer import BEATS, FaultyWriter


def _without_light(instruction: Instruction, good: str) -> str:
    """An answer to the second question that only the check of second answers lets through; none to
    the first one."""
    if "refused" not in instruction.data:
        return "{"
    answer = json.loads(good)
    if "beats" in answer:
        return json.dumps({"beats": BEATS[1:5]})
    if "light" in answer:
        answer |= {"light": "pale even daylight", "palette": "muted blues and greys"}
        answer |= {"setting": "on wet bare rocks above a calm bay"}
    return json.dumps(answer)


@pytest.mark.parametrize("kind", ["outline", "shot"])
def test_an_answer_after_an_unreadable_one_is_checked_as_a_second_answer(kind: str) -> None:
    count = 4 if kind == "outline" else 2
    board = direct(FaultyWriter(_without_light, only=(kind,)), count)
    assert strategies(board) == ["direct"] * count
    if kind == "outline":
        assert board.outline == BEATS[1:5]
    else:
        assert len(words_of(board.shots[0].prompt)) < MIN_WORDS
