"""What an editor types in Thai on the approval page: translated for the models, kept for him."""

from typing import Any

import pytest

from infra.adapters.settings import Settings
from pipelines.documents.brief import Brief
from pipelines.documents.draft import Draft
from pipelines.documents.stand_ins import stand_ins
from pipelines.language.brief_texts import as_translated
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
def bare(settings: Settings) -> Desk:
    """Without a translator."""
    return Desk(settings)


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
    kept = settled(after, again)
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
