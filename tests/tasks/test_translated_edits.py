"""What an editor types in Thai on the approval page: translated for the models, kept for him."""

from pathlib import Path
from typing import Any

import pytest

from infra.adapters.settings import Settings
from pipelines.documents.brief import Brief
from pipelines.documents.draft import Draft
from pipelines.documents.stand_ins import stand_ins
from pipelines.language.brief_texts import as_translated, foreign_texts
from pipelines.language.reviewed_texts import as_reviewed
from pipelines.planning.drafting import chunk_seconds, draft_shots
from pipelines.planning.edits import edited, settled
from pipelines.schema.plan import Plan
from pipelines.schema.shots import EditedEntry
from pipelines.schema.storyboard import Storyboard
from tasks.artifacts import describe_draft
from tasks.enhance import enhance, plan_video
from tasks.review import drafted_sheet, drafted_shots
from tasks.translate import why_not_translated
from tests.support.scripted_writer import GoodWriter
from tests.tasks.test_direct_stage import BRIEF, DirectRun
from tests.tasks.test_edited_story import ESTIMATE, changed
from tests.tasks.test_enhance import Bucket
from tests.tasks.test_translate import (
    BALL,
    LIGHT,
    SQUARE,
    in_process,
    installed,
    settings,
    taught,
)
from tests.tiny.marian import PAIRS

__all__ = ["in_process", "installed", "settings", "taught"]
pytestmark = pytest.mark.usefixtures("in_process")
BLUE = PAIRS[SQUARE]


class Desk:
    """An editor's storyboards, with or without a translator."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.store = settings, Bucket()

    def board(self, brief: Brief, writer: GoodWriter | None = None) -> tuple[Storyboard, Plan]:
        context: Any = DirectRun(brief, self.store, writer or GoodWriter())
        context.settings = self.settings
        board = enhance.fn(brief, context)
        return board, plan_video.fn(brief, board, context)

    def draft(self, brief: Brief = BRIEF, writer: GoodWriter | None = None) -> Draft:
        board, plan = self.board(brief, writer)
        english = as_translated(brief, board.translation)
        return Draft(
            shots=tuple(draft_shots(english, plan, board, [None] * len(plan.chunks))),
            estimate=ESTIMATE,
            sheet=board.sheet,
            translation=board.translation,
            warnings=stand_ins(None, board),
            chunk_seconds=chunk_seconds(brief, len(plan.chunks)),
        )

    def made(self, brief: Brief, before: Brief) -> list[int]:
        """Numbers of the chunks of `brief` that `before` did not make."""
        found = {chunk.digest for chunk in self.board(before)[1].chunks}
        chunks = self.board(brief)[1].chunks
        return [chunk.number for chunk in chunks if chunk.digest not in found]


@pytest.fixture
def desk(installed: Settings) -> Desk:
    return Desk(installed)


@pytest.fixture
def bare(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Without a translator, also in a test whose other desk has one."""
    monkeypatch.setenv("REELWRIGHT_MODELS_DIR", str(tmp_path / "empty"))
    found = Settings.load()
    assert found.paths.models != settings.paths.models
    return Desk(found)


def reviewed(brief: Brief, draft: Draft, *, approved: bool, rows: Any = ()) -> Brief:
    """`brief` after an answer to its `draft`, as another process reads it."""
    result = edited(settled(brief, draft), draft, rows)
    kept = as_reviewed(result, brief, draft, approved=approved)
    return Brief.model_validate_json(kept.model_dump_json())


def with_looks(desk: Desk) -> Brief:
    """The looks of the fisherman in Thai."""
    draft = desk.draft()
    entry = EditedEntry(name="fisherman", appearance=SQUARE)
    return edited(BRIEF, draft, drafted_shots(draft), [entry])


def test_looks_in_thai_reach_the_models_in_english_and_the_page_in_thai(desk: Desk) -> None:
    before = desk.draft()
    after = with_looks(desk)
    again = desk.draft(after)
    shows = [shot.number for shot in before.shots if "fisherman" in shot.shows]
    assert [shot.number for shot in again.shots if BLUE in shot.prompt.lower()] == shows
    assert not any(SQUARE in shot.prompt for shot in again.shots)
    assert again.sheet.characters[0].appearance == BLUE
    assert drafted_sheet(again)[0].appearance == SQUARE
    assert again.warnings == ()
    assert edited(after, again, drafted_shots(again), drafted_sheet(again)) == after
    assert "- the looks of fisherman: " + SQUARE + " → " + BLUE in describe_draft(again)


def test_looks_in_thai_stay_translated_when_the_shots_become_shots_by_hand(
    desk: Desk, bare: Desk
) -> None:
    after = with_looks(desk)
    draft = desk.draft(after)
    moved = edited(after, draft, drafted_shots(draft)[::-1], drafted_sheet(draft))
    assert desk.made(moved, after) == []
    bare.store = desk.store
    again = bare.draft(moved)
    assert [shot.prompt for shot in again.shots] == [shot.prompt for shot in draft.shots][::-1]
    assert drafted_sheet(again)[0].appearance == SQUARE
    assert again.warnings == ()


def test_the_writer_is_asked_with_the_wish_in_english(desk: Desk) -> None:
    draft = desk.draft()
    wished = edited(BRIEF, draft, changed(drafted_shots(draft), 1, wish=LIGHT))
    writer = GoodWriter()
    board, _ = desk.board(wished, writer)
    assert {item.data["wish"] for item in writer.asked} == {PAIRS[LIGHT]}
    assert board.translation is not None
    assert [item.title for item in board.translation.others] == ["the wish for shot 2"]
    assert not board.translation.is_of_prompt


def test_a_size_and_a_camera_in_thai_stand_in_the_words_in_english(desk: Desk) -> None:
    draft = desk.draft()
    given = changed(drafted_shots(draft), 1, size=BALL, camera=LIGHT)
    after = edited(BRIEF, draft, given)
    assert desk.made(after, BRIEF) == [2]
    shot = desk.draft(after).shots[1]
    assert (shot.size, shot.camera) == (PAIRS[BALL], PAIRS[LIGHT])
    assert shot.prompt.startswith("A red ball moves right, warm light. ")
    assert shot.prompt.partition(". ")[2] == draft.shots[1].prompt.partition(". ")[2]


def test_without_a_translator_they_stay_as_written_and_the_page_says_so(bare: Desk) -> None:
    draft = bare.draft()
    given = changed(changed(drafted_shots(draft), 1, wish=LIGHT), 2, size=BALL)
    after = edited(BRIEF, draft, given, [EditedEntry(name="fisherman", appearance=SQUARE)])
    assert why_not_translated(after, bare.settings) == ""
    again = bare.draft(after)
    assert again.shots[2].prompt.startswith(BALL)
    assert any(SQUARE in shot.prompt for shot in again.shots)
    assert [line.partition(" from Thai, so")[0] for line in again.warnings] == [
        "nobody here can translate the wish for shot 2",
        "nobody here can translate the size of shot 3",
        "nobody here can translate the looks of fisherman",
    ]
    assert "reelwright models download translator-th" in again.warnings[0]
    kept = reviewed(after, again, approved=False)
    assert why_not_translated(kept, bare.settings) == ""
    assert bare.made(kept, after) == []


def test_an_addition_whose_translation_fails_its_checks_stays_as_written(desk: Desk) -> None:
    draft = desk.draft()
    wished = edited(BRIEF, draft, changed(drafted_shots(draft), 1, wish=f"{LIGHT} 7"))
    writer = GoodWriter()
    warnings = desk.draft(wished, writer).warnings
    assert writer.asked[0].data["wish"] == f"{LIGHT} 7"
    assert "the number 7 is lost" in warnings[0]


def test_shots_by_hand_in_thai_keep_their_originals_through_every_edit(
    desk: Desk, bare: Desk
) -> None:
    shots = [{"prompt": BALL}, {"prompt": SQUARE}, {"prompt": "a green boat"}]
    values = BRIEF.model_dump() | {"seconds": 6.0, "storyboard": shots}
    brief = Brief.model_validate(values)
    draft = desk.draft(brief)
    rows = changed(drafted_shots(draft), 2, prompt="a green boat at dusk")
    after = edited(brief, draft, rows)
    assert [shot.original for shot in after.storyboard] == [BALL, SQUARE, ""]
    bare.store = desk.store
    again = bare.draft(after)
    moved = edited(after, again, drafted_shots(again)[::-1])
    last = bare.draft(moved)
    assert last.translation is not None
    assert [(item.title, item.original, item.english) for item in last.translation.others] == [
        ("the words of shot 2", SQUARE, BLUE),
        ("the words of shot 3", BALL, PAIRS[BALL]),
    ]
    assert bare.made(moved, after) == []
    typed = edited(moved, last, changed(drafted_shots(last), 1, prompt="a red square"))
    assert [shot.original for shot in typed.storyboard] == ["", "", BALL]


def left_as_written(bare: Desk) -> tuple[Brief, Draft]:
    """A draft with a wish, a size and looks in Thai, made where nobody can translate."""
    draft = bare.draft()
    given = changed(changed(drafted_shots(draft), 1, wish=LIGHT), 2, size=BALL)
    after = edited(BRIEF, draft, given, [EditedEntry(name="fisherman", appearance=SQUARE)])
    return after, bare.draft(after)


def test_what_was_approved_as_it_is_written_stays_so_where_somebody_can_translate(
    desk: Desk, bare: Desk
) -> None:
    after, seen = left_as_written(bare)
    words = [shot.prompt for shot in seen.shots]
    approved = reviewed(after, seen, approved=True)
    backwards = reviewed(after, seen, approved=True, rows=drafted_shots(seen)[::-1])
    desk.store = bare.store
    for _ in range(2):  # and in a later attempt
        film = desk.draft(approved)
        assert [shot.prompt for shot in film.shots] == words
        assert [shot.prompt for shot in desk.draft(backwards).shots] == words[::-1]
    assert [chunk.digest for chunk in desk.board(approved)[1].chunks] == [
        chunk.digest for chunk in bare.board(after)[1].chunks
    ]
    assert [line.partition(" as it is written in Thai")[0] for line in film.warnings] == [
        "the size of shot 3: the text was approved",
        "the looks of fisherman: the text was approved",
    ]


def test_what_stayed_as_it_is_written_is_translated_in_the_next_draft(
    desk: Desk, bare: Desk
) -> None:
    after, seen = left_as_written(bare)
    again = reviewed(after, seen, approved=False)
    desk.store = bare.store
    draft = desk.draft(again)
    assert draft.shots[2].size == PAIRS[BALL]
    assert draft.sheet.characters[0].appearance == BLUE


def test_approved_translations_are_filmed_where_nobody_can_translate(
    desk: Desk, bare: Desk
) -> None:
    after = with_looks(desk).model_copy(update={"style": LIGHT})
    seen = desk.draft(after)
    approved = reviewed(after, seen, approved=True)
    assert why_not_translated(approved, bare.settings) == ""
    film = bare.draft(approved)  # in another bucket
    assert (film.shots, film.translation) == (seen.shots, seen.translation)
    assert film.warnings == ()


def test_a_drafted_shot_with_something_added_may_stay(bare: Desk) -> None:
    draft = bare.draft()
    words = f"{draft.shots[1].prompt} {' '.join([SQUARE] * 12)}"
    rows = changed(drafted_shots(draft), 1, prompt=words)
    added = reviewed(BRIEF, draft, approved=True, rows=rows)
    assert [item.written for item in foreign_texts(added)] == [words]
    assert why_not_translated(added, bare.settings) == ""
    assert SQUARE in bare.draft(added).shots[1].prompt
    rows = changed(drafted_shots(draft), 1, prompt=f"{SQUARE} in the warm light")
    other = reviewed(BRIEF, draft, approved=True, rows=rows)
    assert "nobody here can translate" in why_not_translated(other, bare.settings)


def test_a_first_brief_whose_shot_is_half_thai_is_refused(bare: Desk) -> None:
    shots = [{"prompt": f"{SQUARE}{LIGHT} in the warm light"}, {"prompt": "a red ball"}]
    brief = Brief.model_validate(BRIEF.model_dump() | {"storyboard": shots})
    assert "set the language to 'as-written'" in why_not_translated(brief, bare.settings)
    named = Brief(prompt="a red ball", storyboard=({"prompt": f'a sign says "{SQUARE}"'},))
    assert why_not_translated(named, bare.settings) == ""


def test_a_shot_in_thai_follows_later_changes_of_the_looks_that_it_has(desk: Desk) -> None:
    shots = [{"prompt": f"{BALL} {SQUARE}"}, {"prompt": "a green boat"}]
    sheet = [{"name": "square", "appearance": SQUARE}]
    values = BRIEF.model_dump() | {"seconds": 4.0, "storyboard": shots, "sheet": sheet}
    brief = Brief.model_validate(values)
    draft = desk.draft(brief)
    assert draft.shots[0].prompt == f"{PAIRS[BALL]} {BLUE}"
    assert draft.shots[0].shows == ("square",)
    entry = EditedEntry(name="square", appearance=LIGHT)
    after = edited(brief, draft, drafted_shots(draft), [entry])
    assert after.storyboard[0].original == f"{BALL} {LIGHT}"
    assert desk.made(after, brief) == [1]
    assert desk.draft(after).shots[0].prompt == f"{PAIRS[BALL]} {PAIRS[LIGHT]}"


def test_a_changed_shot_in_thai_follows_later_changes_of_the_looks_that_it_has(desk: Desk) -> None:
    before = with_looks(desk)
    draft = desk.draft(before)
    rows = changed(drafted_shots(draft), 3, prompt=f"{BALL} {SQUARE}")
    typed = edited(before, draft, rows)
    seen = desk.draft(typed)
    assert seen.shots[3].prompt == f"{PAIRS[BALL]} {BLUE}"
    entry = EditedEntry(name="fisherman", appearance=LIGHT)
    after = edited(typed, seen, drafted_shots(seen), [entry])
    again = desk.draft(after)
    assert again.shots[3].prompt == f"{PAIRS[BALL]} {PAIRS[LIGHT]}"
    assert not any(BLUE in shot.prompt.lower() for shot in again.shots)
