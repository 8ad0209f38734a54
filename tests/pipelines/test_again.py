"""A video made again with a change keeps the chunks that the change does not touch."""

from typing import Any

import pytest

from pipelines.documents.brief import Brief
from pipelines.errors import BriefError
from pipelines.planning.again import Change, again
from pipelines.planning.plan import seed_of, timeline
from pipelines.prompting.storyboard import write_storyboard
from pipelines.schema.plan import Plan
from tests.support.planned import plan_brief

HAND = [{"prompt": "a fox"}, {"prompt": "a boat", "seed": 7}]


def planned(brief: Brief) -> Plan:
    """With the words that a run without a writer takes."""
    joins = [slot.transition for slot in timeline(brief)]
    board = write_storyboard(
        brief, joins, seed_of(brief), None, lambda _: None, lambda *_: None, lambda: ""
    )
    return plan_brief(brief, board)


def digests(brief: Brief) -> list[str]:
    return [chunk.digest for chunk in planned(brief).chunks]


def kept(made: Brief, change: Change) -> list[bool]:
    """For each chunk of the changed video, whether `made` has it at the same place."""
    before, after = digests(made), digests(again(made, change))
    return [number < len(before) and before[number] == cid for number, cid in enumerate(after)]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"seed": 5},
        {"storyboard": HAND},
        {"shots": [{"shot": 2, "prompt": "a cat"}, {"shot": 3, "seed": 9}]},
    ],
    ids=["written", "seed", "by hand", "changed shots"],
)
def test_another_take_of_shot_2_of_4_makes_one_chunk(values: dict[str, Any]) -> None:
    made = Brief(prompt="a red fox", seconds=8, **values)
    change = Change(take=1, shots=[2])
    assert kept(made, change) == [True, False, True, True]
    before, after = planned(made).chunks[1], planned(again(made, change)).chunks[1]
    assert before.request.prompt == after.request.prompt
    assert kept(again(made, change), Change(take=2, shots=[2])) == [True, False, True, True]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"storyboard": HAND},
        {"storyboard": [*HAND, {"prompt": "a cat"}]},
        {"storyboard": [{"prompt": "a fox", "chunks": 1}, {"prompt": "a boat", "chunks": 3}]},
        {"shots": [{"shot": 4, "prompt": "a cat"}]},
        {"joins": "continue"},
    ],
    ids=[
        "written",
        "by hand",
        "by hand, uneven",
        "by hand, with lengths",
        "changed shot",
        "continued",
    ],
)
def test_two_seconds_more_make_one_chunk(values: dict[str, Any]) -> None:
    made = Brief(prompt="a red fox", seconds=8, **values)
    assert kept(made, Change(longer=2)) == [True, True, True, True, False]


def test_what_is_longer_by_hand_goes_on_with_the_last_words_in_another_take() -> None:
    made = Brief(prompt="x", seconds=4, storyboard=HAND)
    chunks = planned(again(made, Change(longer=4))).chunks
    assert [chunk.request.prompt for chunk in chunks] == ["a fox", "a boat", "a boat", "a boat"]
    assert len({chunk.request.seed for chunk in chunks}) == 4


def test_another_take_of_all_keeps_the_words() -> None:
    made = Brief(prompt="a red fox", seconds=4, style="film")
    one, two = (planned(item) for item in (made, again(made, Change(take=3))))
    assert [c.request.prompt for c in one.chunks] == [c.request.prompt for c in two.chunks]
    assert not {c.request.seed for c in one.chunks} & {c.request.seed for c in two.chunks}


def test_another_preset_takes_its_own_size_and_steps() -> None:
    made = Brief(prompt="a fox", preset="demo", size="128*128", steps=3, guidance=2, seed=4)
    other = again(made, Change(preset="video_fast"))
    assert (other.preset, other.size, other.steps, other.guidance) == (
        "video_fast",
        "preset",
        -1,
        -1,
    )
    assert (other.prompt, other.seed) == ("a fox", 4)


@pytest.mark.parametrize(
    ("values", "change", "words"),
    [
        ({}, {}, "nothing would be different"),
        ({}, {"shots": [1]}, "nothing would be different"),
        ({}, {"take": 1, "shots": [9]}, "shot 9 does not exist; the video has shots 1 to 2"),
        ({}, {"preset": "none"}, "preset 'none' is unknown"),
        ({"seconds": 600}, {"longer": 2}, "seconds 602 is outside 0.25 to 600"),
        ({"kind": "image"}, {"longer": 2}, "a picture has no length"),
    ],
)
def test_what_cannot_be_is_a_sentence(
    values: dict[str, Any], change: dict[str, Any], words: str
) -> None:
    with pytest.raises(BriefError, match=words):
        again(Brief(prompt="a fox", **values), Change(**change))


@pytest.mark.parametrize(
    ("asked", "asks"),
    [("none", "none"), ("storyboard", "none"), ("video", "video"), ("both", "video")],
)
def test_words_that_were_approved_are_not_asked_about_again(asked: str, asks: str) -> None:
    made = Brief(prompt="a fox", approval=asked)  # type: ignore[arg-type]
    assert again(made, Change(take=1)).approval == asks
