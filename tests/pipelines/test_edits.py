"""What a person changes in a draft becomes a brief: what is made anew, and what is found again."""

from collections.abc import Sequence
from typing import Any

import pytest

from pipelines.documents.brief import Brief
from pipelines.documents.draft import Draft
from pipelines.errors import BriefError, StoryboardError
from pipelines.language.brief_texts import as_translated, foreign_texts
from pipelines.planning.drafting import chunk_seconds, draft_shots
from pipelines.planning.edits import edited, settled
from pipelines.planning.framing import with_style
from pipelines.planning.plan import has_wishes, seed_of, timeline
from pipelines.prompting.by_hand import grant_wishes, with_sheet
from pipelines.prompting.storyboard import write_storyboard
from pipelines.schema.plan import Estimate, Plan
from pipelines.schema.shots import MAX_PROMPT, EditedEntry, EditedShot
from pipelines.schema.storyboard import Sheet, SheetEntry, Shot, Storyboard
from pipelines.schema.translation import TranslatedText, Translation
from tests.support.planned import plan_brief

FOX = "a red fox with one white ear"
CABIN = "a small wooden cabin with a green door"
ESTIMATE = Estimate(seconds=1, peak_memory_bytes=1, disk_bytes=1, basis="a test")


def storyboard(brief: Brief) -> Storyboard:
    """Of a writer that repeats the sheet: the fox in shots 1, 2 and 4, the cabin in 3 and 4."""
    transitions = [slot.transition for slot in timeline(brief)]
    if brief.storyboard:
        found = write_storyboard(
            brief, transitions, 1, None, lambda _: None, lambda *_: None, lambda: ""
        )
        return grant_wishes(with_sheet(found, brief.sheet), brief, None)
    words = [f"{FOX.capitalize()} runs", f"Close-up: {FOX} drinks", f"{CABIN} at dusk"]
    words += [f"{FOX} sleeps beside {CABIN}"]
    shots = tuple(
        Shot(number=n + 1, camera="Wide shot", prompt=f"{words[n % 4]}{n // 4 or ''}", source="llm")
        for n in range(len(transitions))
    )
    overrides = {item.shot: item.prompt for item in brief.shots if item.prompt}
    shots = tuple(
        shot.model_copy(update={"prompt": overrides[shot.number], "source": "editor"})
        if shot.number in overrides
        else shot
        for shot in shots
    )
    shots = tuple(
        shot.model_copy(update={"prompt": with_style(shot.prompt, brief.style)}) for shot in shots
    )
    sheet = Sheet(
        characters=(SheetEntry(name="fox", appearance=FOX),),
        places=(SheetEntry(name="cabin", appearance=CABIN),),
    )
    found = Storyboard(shots=shots, enhancer="a writer", written=0, sheet=sheet)
    return grant_wishes(with_sheet(found, brief.sheet), brief, None)


def planned(brief: Brief) -> Plan:
    return plan_brief(brief, storyboard(brief))


def drafted(brief: Brief) -> Draft:
    board, plan = storyboard(brief), planned(brief)
    shots = tuple(draft_shots(brief, plan, board, [None] * len(plan.chunks)))
    seconds = chunk_seconds(brief, len(plan.chunks))
    return Draft(shots=shots, estimate=ESTIMATE, sheet=board.sheet, chunk_seconds=seconds)


def brief_of(**values: Any) -> Brief:
    return Brief.model_validate(
        {"prompt": "a fox", "preset": "video_fast", "frames": 33, "seconds": 8} | values
    )


def rows(draft: Draft, order: Sequence[int] = ()) -> list[EditedShot]:
    """The shots as the page hands them back, in that order; 0 is a new one."""
    by_number = {shot.number: shot for shot in draft.shots}
    return [
        EditedShot(
            prompt=by_number[number].prompt,
            seed=by_number[number].seed,
            chunks=by_number[number].chunks,
            size=by_number[number].size,
            camera=by_number[number].camera,
            drafted=number,
        )
        if number
        else EditedShot(prompt="a heron takes off")
        for number in order or by_number
    ]


def made(before: Brief, after: Brief) -> list[int]:
    """Numbers of the chunks of `after` that `before` did not make."""
    found = {chunk.digest for chunk in planned(before).chunks}
    return [chunk.number for chunk in planned(after).chunks if chunk.digest not in found]


def test_a_draft_that_nobody_changed_leaves_the_brief_as_it_is() -> None:
    brief = brief_of()
    draft = drafted(brief)
    assert edited(brief, draft, []) == brief
    assert edited(brief, draft, rows(draft)) == brief
    assert edited(brief, draft, [EditedShot(prompt=shot.prompt) for shot in draft.shots]) == brief


def test_other_words_for_one_shot_make_one_chunk() -> None:
    brief = brief_of()
    draft = drafted(brief)
    given = rows(draft)
    given[1] = given[1].model_copy(update={"prompt": "a heron takes off"})
    after = edited(brief, draft, given)
    assert made(brief, after) == [2]
    assert storyboard(after).shots[0].source == "llm"
    assert not after.storyboard


def test_another_order_makes_nothing() -> None:
    brief = brief_of()
    draft = drafted(brief)
    after = edited(brief, draft, rows(draft, [3, 1, 4, 2]))
    assert made(brief, after) == []
    assert [shot.prompt for shot in after.storyboard] == [
        draft.shots[number - 1].prompt for number in (3, 1, 4, 2)
    ]
    again = drafted(after)
    assert [shot.source for shot in again.shots] == ["llm"] * 4
    assert made(brief, edited(after, again, rows(again, [2, 1, 3, 4]))) == []


@pytest.mark.parametrize("joins", ["cut", "crossfade"])
@pytest.mark.parametrize("style", ["", "35 mm film."])
def test_a_new_shot_makes_one_chunk_and_lengthens_the_video(joins: str, style: str) -> None:
    brief = brief_of(joins=joins, style=style)
    draft = drafted(brief)
    rest = [shot.number for shot in draft.shots[1:]]
    after = edited(brief, draft, rows(draft, [1, 0, *rest]))
    assert made(brief, after) == [2]
    assert after.seconds == pytest.approx(brief.seconds + draft.chunk_seconds)


def test_a_removed_shot_makes_nothing_and_shortens_the_video() -> None:
    brief = brief_of()
    draft = drafted(brief)
    after = edited(brief, draft, rows(draft, [1, 2, 4]))
    assert made(brief, after) == []
    assert after.seconds == pytest.approx(brief.seconds - draft.chunk_seconds)


def test_a_longer_shot_makes_one_chunk_wherever_it_is_moved_to() -> None:
    brief = brief_of()
    draft = drafted(brief)
    given = rows(draft)
    given[0] = given[0].model_copy(update={"chunks": 2})
    longer = edited(brief, draft, given)
    assert made(brief, longer) == [2]
    again = drafted(longer)
    assert [shot.chunks for shot in again.shots] == [2, 1, 1, 1]
    assert again.shots[0].seconds == pytest.approx(2 * draft.chunk_seconds, abs=0.01)
    assert made(longer, edited(longer, again, rows(again, [2, 3, 1, 4]))) == []


def test_a_changed_sheet_makes_exactly_the_shots_that_show_it() -> None:
    brief = brief_of()
    draft = drafted(brief)
    assert [shot.shows for shot in draft.shots] == [
        ("fox",),
        ("fox",),
        ("cabin",),
        ("fox", "cabin"),
    ]
    blue = EditedEntry(name="cabin", appearance="a small wooden cabin with a blue door")
    after = edited(brief, draft, rows(draft), [blue])
    assert made(brief, after) == [3, 4]
    again = drafted(after)
    assert "blue door" in again.shots[2].prompt
    assert [shot.shows for shot in again.shots] == [shot.shows for shot in draft.shots]
    moved = edited(after, again, rows(again, [4, 3, 2, 1]))
    grey = EditedEntry(name="fox", appearance="a grey fox")
    last = edited(moved, drafted(moved), rows(drafted(moved)), [grey])
    assert made(moved, last) == [1, 3, 4]
    assert last.storyboard[3].prompt.startswith("A grey fox runs")
    assert {entry.name: entry.appearance for entry in last.sheet} == {
        "fox": "a grey fox",
        "cabin": "a small wooden cabin with a blue door",
    }


def test_words_of_the_editor_follow_the_sheet_too() -> None:
    brief = brief_of()
    draft = drafted(brief)
    given = rows(draft)
    given[1] = given[1].model_copy(update={"prompt": f"{FOX} jumps"})
    after = edited(brief, draft, given, [EditedEntry(name="fox", appearance="a grey fox")])
    assert [shot.prompt for shot in storyboard(after).shots][:2] == [
        "A grey fox runs",
        "a grey fox jumps",
    ]


def test_size_and_camera_are_changed_in_the_words() -> None:
    brief = brief_of()
    draft = drafted(brief)
    given = rows(draft)
    given[1] = given[1].model_copy(update={"size": "wide shot", "camera": "slow pan left"})
    after = edited(brief, draft, given)
    assert made(brief, after) == [2]
    assert after.storyboard[1].prompt == f"Wide shot, slow pan left: Close-up: {FOX} drinks"
    again = drafted(after)
    assert (again.shots[1].size, again.shots[1].camera) == ("wide shot", "slow pan left")
    given = rows(again)
    given[1] = given[1].model_copy(update={"size": "extreme close-up"})
    assert (
        edited(after, again, given)
        .storyboard[1]
        .prompt.startswith("Extreme close-up, slow pan left: Close-up")
    )


def test_a_wish_is_granted_once_and_its_words_stay() -> None:
    brief = brief_of()
    draft = drafted(brief)
    given = rows(draft)
    given[2] = given[2].model_copy(update={"wish": "closer, at night"})
    asked = edited(brief, draft, given)
    assert made(brief, asked) == [3]
    again = drafted(asked)
    assert again.shots[2].prompt == f"{CABIN} at dusk, closer, at night"
    kept = settled(asked, again)
    assert made(asked, kept) == []
    assert not kept.shots[0].wish
    moved = edited(kept, again, rows(again, [3, 1, 2, 4]))
    assert made(asked, moved) == []


def test_shots_by_hand_keep_their_seeds_when_one_of_them_changes() -> None:
    shots = [{"prompt": "a fox", "seed": 7}, {"prompt": "a heron"}]
    brief = brief_of(storyboard=shots)
    draft = drafted(brief)
    assert [shot.chunks for shot in draft.shots] == [2, 2]
    given = rows(draft)
    given[1] = given[1].model_copy(update={"prompt": "a grey heron"})
    after = edited(brief, draft, given)
    assert made(brief, after) == [3, 4]
    assert [shot.chunks for shot in after.storyboard] == [0, 0]


def test_a_client_of_an_earlier_version_is_understood() -> None:
    """It sends words and seeds only, and -1 for what it leaves."""
    brief = brief_of()
    draft = drafted(brief)
    words = [shot.prompt for shot in draft.shots]
    given = [EditedShot(prompt=text) for text in (*words[:3], "a heron takes off")]
    assert made(brief, edited(brief, draft, given)) == [4]
    given = [EditedShot(prompt=text) for text in words[:2]]
    assert made(brief, edited(brief, draft, given)) == []
    given = [
        EditedShot(prompt=text, seed=seed)
        for text, seed in zip(words, (5, -1, -1, -1), strict=True)
    ]
    assert made(brief, edited(brief, draft, given)) == [1]


def test_every_problem_is_said_at_its_shot() -> None:
    brief = brief_of()
    draft = drafted(brief)
    given = rows(draft)
    given[0] = given[0].model_copy(update={"prompt": " "})
    given[2] = given[2].model_copy(update={"seed": 2**40})
    given[3] = given[3].model_copy(update={"size": "x" * 99})
    with pytest.raises(StoryboardError) as caught:
        edited(brief, draft, given)
    assert list(caught.value.problems) == [0, 2, 3]
    assert "remove it" in caught.value.problems[0]
    assert "outside 0 to 4294967295" in caught.value.problems[2]
    assert "shorten it" in caught.value.problems[3]


def test_a_video_has_an_end_and_a_sheet_only_what_it_has() -> None:
    brief = brief_of()
    draft = drafted(brief)
    given = rows(draft)
    given[0] = given[0].model_copy(update={"chunks": 2_000})
    with pytest.raises(BriefError, match="the longest, has 291"):
        edited(brief, draft, given)
    with pytest.raises(BriefError, match="it has: fox, cabin"):
        edited(brief, draft, [], [EditedEntry(name="owl", appearance="a white owl")])
    image = brief_of(kind="image", preset="image_fast", frames=-1)
    with pytest.raises(BriefError, match="a picture has one shot"):
        edited(image, drafted(image), rows(drafted(image), [1, 0]))


def test_a_brief_of_the_longest_words_can_be_edited() -> None:
    """Its shots have a camera before its words, and are longer than a brief."""
    brief = brief_of(prompt="x" * MAX_PROMPT)
    board = storyboard(brief)
    long = tuple(
        shot.model_copy(update={"prompt": f"Slow tracking shot: {brief.prompt}"})
        for shot in board.shots
    )
    plan = plan_brief(brief, board.model_copy(update={"shots": long}))
    shots = tuple(draft_shots(brief, plan, board.model_copy(update={"shots": long}), [None] * 4))
    draft = Draft(shots=shots, estimate=ESTIMATE)
    assert len(edited(brief, draft, rows(draft, [2, 1, 3, 4])).storyboard) == 4


@pytest.mark.parametrize("by_hand", [False, True])
def test_an_edited_film_of_a_translated_brief_is_english_and_keeps_its_takes(by_hand: bool) -> None:
    """Only the writer may be able to translate, and it is not loaded for shots by hand."""
    shots = [{"prompt": "สุนัขจิ้งจอก"}, {"prompt": "นกกระสา"}] if by_hand else []
    brief = brief_of(prompt="สุนัขจิ้งจอก", style="แสงอบอุ่น", negative="ผู้คน", storyboard=shots)
    texts = {"prompt": "a fox", "style": "warm light", "negative": "people"}
    texts |= {"storyboard.1": "a fox", "storyboard.2": "a heron"}
    told = Translation(
        language="th",
        original=brief.prompt,
        english=texts["prompt"],
        translator="a writer",
        others=tuple(
            TranslatedText(field=item.field, original=item.text, english=texts[item.field])
            for item in foreign_texts(brief)
            if item.field != "prompt"
        ),
    )
    english = as_translated(brief, told)
    draft = drafted(english).model_copy(update={"translation": told})
    given = rows(draft) if by_hand else rows(draft, [2, 1, 3, 4])
    if by_hand:
        given[1] = given[1].model_copy(update={"prompt": "a grey heron"})
    after = edited(brief, draft, given)
    assert (after.style, after.negative) == ("warm light", "people")
    assert foreign_texts(after) == ()
    assert after.seed == seed_of(brief)
    assert made(english, after) == ([3, 4] if by_hand else [])


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_wish_that_has_no_room_behind_long_words_is_left_out_and_said(by_hand: bool) -> None:
    long, wish = "x" * 1_950, "y" * 290
    change: dict[str, Any] = {"shots": [{"shot": 1, "prompt": long, "wish": wish}]}
    if by_hand:
        change = {"storyboard": [{"prompt": long, "wish": wish}]}
    brief = brief_of(**change)
    draft = drafted(brief)
    assert draft.shots[0].prompt == long
    assert draft.shots[0].note.startswith("the words have no room for the wish (2,200 characters")
    kept = settled(brief, draft)
    assert made(brief, kept) == []
    assert not has_wishes(kept)


@pytest.mark.parametrize("by_hand", [False, True])
def test_wishes_stay_if_the_drafted_words_are_too_long_for_a_brief(by_hand: bool) -> None:
    given = {"prompt": "a fox", "wish": "closer"}
    change = {"storyboard": [given]} if by_hand else {"shots": [given | {"shot": 1}]}
    brief = brief_of(**change)
    draft = drafted(brief)
    long = tuple(shot.model_copy(update={"prompt": "x" * 3_000}) for shot in draft.shots)
    assert settled(brief, draft.model_copy(update={"shots": long})) == brief


def test_a_wish_gives_a_shot_by_hand_one_text_in_all_its_chunks() -> None:
    asked: list[int] = []

    def rewrite(board: Storyboard, number: int, wish: str) -> tuple[Shot | None, str]:
        asked.append(number)
        words = f"a fox, {wish}, asked for chunk {number}"
        return board.shots[number - 1].model_copy(update={"prompt": words}), ""

    brief = brief_of(storyboard=[{"prompt": "a fox", "wish": "closer"}, {"prompt": "a heron"}])
    plain = brief_of(storyboard=[{"prompt": "a fox"}, {"prompt": "a heron"}])
    granted = grant_wishes(storyboard(plain), brief, rewrite)
    assert asked == [1]
    words = [shot.prompt for shot in granted.shots]
    assert words == ["a fox, closer, asked for chunk 1"] * 2 + ["a heron"] * 2
    assert [shot.number for shot in granted.shots] == [1, 2, 3, 4]
