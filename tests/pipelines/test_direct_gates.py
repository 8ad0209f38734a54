"""The checks of the strategy `direct`: each names its fault, and good answers pass."""

import pytest

from pipelines.prompting.compose import SHORT_WORDS
from pipelines.prompting.gates_direct import (
    ShotCheck,
    fault_of_outline,
    fault_of_sheet,
    fault_of_shot,
)
from pipelines.schema.storyboard import Sheet, SheetEntry
from tests.pipelines.test_direct import direct
from tests.support.scripted_writer import VILLAGE, GoodWriter


@pytest.mark.parametrize(
    ("part", "text", "fault"),
    [
        ("action", "pushes the green boat slowly off the beach into the water", ""),
        ("action", "pulls the boat and the net over the sand of the beach", ""),
        ("action", "opens the door and walks into the room", "begins a second action"),
        ("action", "lifts the net, then turns to the shore", "'then' begins a second action"),
        ("action", "casts a net and pulls it over the side of the boat", "second action"),
        ("action", "moves as the camera pans over the boat", "'the camera' speaks about the task"),
        ("light", "warm morning light from the left bathes the scene in gold", ""),
        ("setting", "the scene opens on a wide beach below a grey sky", "speaks about the task"),
        ("action", "stands there with no one around it", "says what is not there"),
        ("action", "pushes a bright purple crate slowly over the sand", "'purple'"),
        ("action", "throws a bicycle slowly over the side of the boat", "'bicycle' is neither"),
        ("subject", "he", "is a pronoun"),
        ("setting", "a beach where two horses rest on wet stones near the water", "'horses' is"),
        ("setting", "a beach under a banner with large lettering over the street", "'lettering'"),
        ("setting", "in this shot the camera shows us a wide beach", "speaks about the task"),
        ("light", "la luz del sol cae por la ventana de la casa", "not English"),
        ("palette", "grey kiln bricks and warm clay", "copied from the example"),
        ("light", "xkcd qwrt plmn brrr zzkt", "not made of words"),
    ],
)
def test_the_gates_of_a_shot_name_the_fault(part: str, text: str, fault: str) -> None:
    board = direct(GoodWriter())
    assert board.shots[1].plan is not None
    plan = board.shots[1].plan.model_copy(update={part: text})
    found = fault_of_shot(plan, ShotCheck(VILLAGE, board.sheet, (), ()))
    assert (fault in found) if fault else found == ""


def test_a_shot_that_says_too_little_is_refused_and_a_short_one_only_at_first() -> None:
    board = direct(GoodWriter())
    assert board.shots[1].plan is not None
    few = {"setting": "on grey stones", "light": "dim light", "palette": "grey and brown"}
    plan = board.shots[1].plan.model_copy(update=few)
    fault = fault_of_shot(plan, ShotCheck(VILLAGE, board.sheet, (), ()))
    assert "too few; say more of setting and light" in fault
    assert fault_of_shot(plan, ShotCheck(VILLAGE, board.sheet, (), (), least=SHORT_WORDS)) == ""


def test_a_shot_must_say_its_words_of_the_brief_and_be_like_no_earlier_one() -> None:
    board = direct(GoodWriter())
    plan = board.shots[1].plan
    assert plan is not None
    check = ShotCheck(VILLAGE, board.sheet, ("fisherman", "storm"), ())
    assert fault_of_shot(plan, check) == "it does not say storm"
    check = ShotCheck(VILLAGE, board.sheet, (), board.shots[:2])
    assert fault_of_shot(plan, check) == "it is like shot 2"


@pytest.mark.parametrize(
    ("beats", "fault"),
    [
        (["A boat leaves the fishing village", "A crate of fish stands on the quay"], ""),
        (["A boat leaves the fishing village"], "1 beats instead of 2"),
        (
            ["A boat leaves the village", "A crate stands on the quay"],
            "idea's fishing is in no beat",
        ),
        (["A boat leaves the fishing village", "The boat leaves a fishing village"], "are alike"),
        (
            ["A boat leaves the fishing village", "Nobody stands on the quay"],
            "beat 2: it says",
        ),
        (["A boat leaves the fishing village", "Go"], "beat 2: 1 words instead of"),
    ],
)
def test_the_gates_of_an_outline_name_the_fault(beats: list[str], fault: str) -> None:
    found = fault_of_outline(beats, 2, VILLAGE, [], complete=True)
    assert (fault in found) if fault else found == ""


@pytest.mark.parametrize(
    ("name", "appearance", "fault"),
    [
        ("kite", "a red kite of thin paper with a long tail", ""),
        ("kite", "a blue paper kite with a long tail", "does not say 'red'"),
        ("kite", "a red thing of thin paper with a tail", "does not say 'kite'"),
        ("dragon", "a red dragon with green scales", "is in no beat"),
        ("old kite", "a red kite without a tail of any kind", "says what is not there"),
    ],
)
def test_the_gates_of_a_sheet_name_the_fault(name: str, appearance: str, fault: str) -> None:
    entry = SheetEntry(name=name, appearance=appearance)
    found = fault_of_sheet([entry], Sheet(), "a red kite rises from an old roof", "a red kite")
    assert (fault in found) if fault else found == ""
