"""What models of 7 billion parameters do in answers that fit their schema, and what comes of it."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from pipelines.prompting.compose import action_without_subject, by_noun
from pipelines.prompting.instruct import Instruction
from pipelines.prompting.questions import (
    MAX_APPEARANCE,
    MAX_BEAT,
    BeatsAnswer,
    EntryAnswer,
    ShotAnswer,
)
from pipelines.prompting.words import missing_words
from pipelines.schema.storyboard import Sheet, SheetEntry
from tests.pipelines.test_direct import direct, strategies
from tests.support.scripted_writer import BEATS, FaultyWriter

FISHERMAN = "an old fisherman with a white beard and a yellow oilskin coat"


def habit(change: Callable[[dict[str, Any]], None], kind: str) -> FaultyWriter:
    """A writer that always does so in its answers of that kind."""

    def fault(_: Instruction, good: str) -> str:
        answer = json.loads(good)
        change(answer)
        return json.dumps(answer)

    return FaultyWriter(fault, only=(kind,))


@pytest.mark.parametrize("mark", ["1. ", "2) ", "- ", "* ", "Beat 3. ", "Shot 4 - ", "12: "])
def test_numbers_before_the_beats_are_left_out(mark: str) -> None:
    def number(answer: dict[str, Any]) -> None:
        answer["beats"] = [f"{mark}{beat}" for beat in answer["beats"]]

    writer = habit(number, "outline")
    board = direct(writer)
    assert board.outline == BEATS[:4]
    assert writer.kinds().count("outline") == 1


def test_a_number_that_belongs_to_a_beat_stays() -> None:
    beats = ["3 boats leave the harbour", "1920s lamps glow on the quay", "A-frame roofs in rain"]
    assert BeatsAnswer(beats=beats).beats == beats


def test_a_text_that_was_cut_in_a_word_ends_with_the_word_before() -> None:
    long = "An old fisherman pulls the heavy net over the side of his green boat "
    long += "while silver fish fall onto the wet and slippery dec"
    cut = long[:MAX_BEAT]
    assert len(cut) == MAX_BEAT
    (beat,) = BeatsAnswer(beats=[cut]).beats
    assert cut.startswith(beat)
    assert beat.endswith("onto the wet and slippery")
    assert BeatsAnswer(beats=[cut[:-1]]).beats == [cut[:-1]]  # it ended by itself
    looks = f"{FISHERMAN} and boots of ".ljust(MAX_APPEARANCE, "x")
    assert EntryAnswer(name="fisherman", appearance=looks).appearance == f"{FISHERMAN} and boots"


def test_the_small_words_before_a_cut_go_too() -> None:
    values = dict.fromkeys(("size", "camera_move", "subject", "setting", "light"), "wide shot")
    kept = "muted blues and warm greys over pale sand with one small spot of coral"
    palette = f"{kept} and with some of the ".ljust(100, "u")
    answer = ShotAnswer(**values, action="pushes the boat", palette=palette)
    assert answer.palette == kept


@pytest.mark.parametrize(
    ("action", "subject", "begun"),
    [
        ("pushes a green boat", "the old fisherman", "pushes a green boat"),
        ("Pushes a green boat", "the old fisherman", "pushes a green boat"),
        ("The old fisherman pushes a green boat", "the old fisherman", "pushes a green boat"),
        ("Fisherman pushes a green boat", "a fisherman", "pushes a green boat"),
        ("He slowly pushes a boat", "the fisherman", "slowly pushes a boat"),
        ("light up the dark quay", "the light", "light up the dark quay"),
        ("the fisherman waves", "the fisherman", "the fisherman waves"),
    ],
)
def test_an_action_says_its_subject_only_once(action: str, subject: str, begun: str) -> None:
    assert action_without_subject(action, subject) == begun


def test_an_action_with_a_subject_of_its_own_makes_one_person() -> None:
    def repeat(answer: dict[str, Any]) -> None:
        answer["action"] = f"{answer['subject'].capitalize()} {answer['action']}"

    prompt = direct(habit(repeat, "shot")).shots[1].prompt.lower()
    assert prompt.count("fisherman") == 1


def listed(*names: str) -> Sheet:
    entries = (SheetEntry(name=name, appearance=f"an {name}") for name in names)
    return Sheet(characters=tuple(entries))


def test_a_character_is_called_as_the_beats_call_it() -> None:
    def elaborate(answer: dict[str, Any]) -> None:
        answer["characters"][0]["name"] = "Old Fisherman"

    board = direct(habit(elaborate, "sheet"))
    assert board.sheet.characters[0].name == "fisherman"
    shows = [shot.number for shot in board.shots if FISHERMAN in shot.prompt.replace("An", "an")]
    assert shows == [2, 3]  # 'An old fisherman pushes …', 'The fisherman casts …'


@pytest.mark.parametrize(
    ("names", "beats", "kept"),
    [
        (("old fisherman",), ["an old fisherman waits"], ["old fisherman"]),
        (("old man", "young man"), ["the man waits"], ["old man", "young man"]),
        (("house of stone",), ["a stone falls"], ["house of stone"]),
        (("market woman",), ["a woman weighs fish"], ["woman"]),
    ],
)
def test_a_name_is_shortened_only_where_it_stays_clear(
    names: tuple[str, ...], beats: list[str], kept: list[str]
) -> None:
    found = by_noun(listed(*names), Sheet(), beats)
    assert [entry.name for entry in found.characters] == kept
    assert by_noun(listed("old boat"), listed("boat"), ["the boat"]) == listed("old boat")


def test_a_wrong_entry_of_the_sheet_is_left_out_and_the_film_is_still_directed() -> None:
    def add(answer: dict[str, Any]) -> None:
        answer["characters"].append({"name": "dragon", "appearance": "a red dragon with wings"})

    writer = habit(add, "sheet")
    board = direct(writer)
    assert strategies(board) == ["direct"] * 4
    assert [entry.name for entry in board.sheet.characters] == ["fisherman", "boat"]
    assert writer.kinds()[:3] == ["outline", "sheet", "sheet"]
    assert "'dragon' is in no beat" in writer.asked[2].data["fault"]


def test_a_sheet_of_wrong_entries_only_is_refused() -> None:
    def replace(answer: dict[str, Any]) -> None:
        wrong = {"name": "dragon", "appearance": "a red dragon with wings"}
        answer["characters"], answer["places"] = [wrong], []

    board = direct(habit(replace, "sheet"))
    assert {shot.source for shot in board.shots} == {"template"}
    assert "sheet: two answers failed" in board.shots[0].note


@pytest.mark.parametrize(
    ("word", "text", "missing"),
    [
        ("grey", "a gray cat", False),
        ("harbour", "boats in the harbors", False),
        ("colours", "a color of dawn", False),
        ("gray", "a grey cat", False),
        ("four", "for a walk", True),
        ("green", "a gray cat", True),
    ],
)
def test_american_spelling_keeps_a_word_of_the_brief(word: str, text: str, missing: bool) -> None:
    assert missing_words([word], text) == ([word] if missing else [])
