"""The stage with an instruct model: from the brief to the manifest, also after crashes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pipelines.documents.brief import Brief
from pipelines.documents.manifest import Manifest
from pipelines.documents.stand_ins import stand_ins
from pipelines.prompting.stored import story_digests
from pipelines.retention import Marks
from pipelines.schema.keys import ObjectKey
from pipelines.schema.plan import Plan
from pipelines.schema.storyboard import Storyboard
from tasks.enhance import enhance, plan_video
from tests.support.published import film_of, manifest_of
from tests.support.scripted_writer import (
    BEATS,
    FAULTS,
    VILLAGE,
    BothWriter,
    FaultyWriter,
    GoodWriter,
)
from tests.tasks.test_enhance import Bucket, Run

BRIEF = Brief(prompt=VILLAGE, preset="demo", seconds=8)


class DirectRun(Run):
    """A run whose language model follows instructions."""

    def __init__(self, brief: Brief, store: Bucket, writer: GoodWriter) -> None:
        super().__init__(brief, store)
        self.directing = writer

    @contextmanager
    def enhancer(self) -> Iterator[Any]:
        yield self.directing


def run(store: Bucket, writer: GoodWriter, brief: Brief = BRIEF) -> tuple[Storyboard, Plan]:
    context: Any = DirectRun(brief, store, writer)
    storyboard = enhance.fn(brief, context)
    return storyboard, plan_video.fn(brief, storyboard, context)


@pytest.fixture
def store() -> Bucket:
    return Bucket()


def published(storyboard: Storyboard, plan: Plan) -> Manifest:
    film = film_of(BRIEF).model_copy(update={"storyboard": storyboard, "plan": plan})
    return Manifest.model_validate_json(manifest_of(BRIEF, film).model_dump_json())


def test_a_brief_is_directed_and_its_manifest_says_how(store: Bucket) -> None:
    storyboard, plan = run(store, GoodWriter())
    board = published(storyboard, plan).storyboard
    assert board == storyboard
    assert board.outline == BEATS[:4]
    assert [entry.name for entry in board.sheet.characters] == ["fisherman", "boat"]
    assert {(shot.strategy, shot.source) for shot in board.shots} == {("direct", "llm")}
    assert stand_ins(None, board) == ()


def test_a_second_run_and_a_longer_brief_ask_for_what_is_new_only(store: Bucket) -> None:
    _, plan = run(store, GoodWriter())
    again, longer = GoodWriter(), GoodWriter()
    assert run(store, again)[1].content_id == plan.content_id
    assert again.asked == []
    _, more = run(store, longer, BRIEF.model_copy(update={"seconds": 10.0}))
    assert [chunk.digest for chunk in more.chunks[:4]] == [chunk.digest for chunk in plan.chunks]
    assert len(more.chunks) == 5
    assert longer.kinds() == ["outline", "sheet", "shot"]


def test_retention_keeps_all_that_a_published_film_was_told_by(store: Bucket) -> None:
    storyboard, plan = run(store, GoodWriter())
    marks = Marks()
    marks.add_manifest(published(storyboard, plan))
    stored = {key.split("/")[1][:64] for key in store.objects}
    assert len(stored) == 6  # an outline, a sheet, and four shots
    assert {bytes.fromhex(digest) for digest in stored} <= marks.used["shots"]


def test_a_run_that_is_killed_between_two_shots_loses_none(store: Bucket) -> None:
    class Killed(GoodWriter):
        def structured(self, instruction: Any) -> str:
            if len(self.asked) == 4:
                raise KeyboardInterrupt
            return super().structured(instruction)

    with pytest.raises(KeyboardInterrupt):
        run(store, Killed())
    again = GoodWriter()
    storyboard, plan = run(store, again)
    assert again.kinds() == ["shot", "shot"]
    assert plan.content_id == run(Bucket(), GoodWriter())[1].content_id
    assert storyboard.written == 2


def test_a_damaged_outline_is_written_again(store: Bucket) -> None:
    first, _ = run(store, GoodWriter())
    outline = next(story_digests(first.story, first.outline))
    store.objects[ObjectKey.shot(outline)] = b"{"
    writer = GoodWriter()
    assert run(store, writer)[0].shots == first.shots
    assert writer.kinds() == ["outline"]
    assert run(store, GoodWriter())[0].outline == first.outline


def test_a_command_goes_on_with_what_stood_in_for_the_chunks_that_it_has_made(
    store: Bucket,
) -> None:
    storyboard, plan = run(store, FaultyWriter(FAULTS["never ends"]))
    assert {shot.source for shot in storyboard.shots} == {"template"}
    assert {shot.strategy for shot in run(store, GoodWriter())[0].shots} == {"direct"}
    store = Bucket()
    storyboard, plan = run(store, FaultyWriter(FAULTS["never ends"]))
    store.objects[plan.chunks[0].key] = b"a clip"
    assert run(store, GoodWriter())[0].shots == storyboard.shots


def test_an_editor_s_attempts_keep_what_completed_in_place_of_a_director(
    store: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Writer(FaultyWriter, BothWriter):
        pass

    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "7")
    monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__ROOT_FLOW_RUN_ID", "one")
    draft, _ = run(store, Writer(FAULTS["miscounts"]))
    assert {shot.strategy for shot in draft.shots} == {"complete"}
    (line,) = stand_ins(None, draft)
    assert line.startswith("4 of 4 shots are written in another way: complete stands in for direct")
    assert run(store, BothWriter())[0].shots == draft.shots


def test_a_writer_whose_time_is_over_writes_no_more_and_the_film_says_so(store: Bucket) -> None:
    class Slow(GoodWriter):
        storyboard_timeout = 1e-9  # over as soon as it is looked at again

    slow = Slow()
    storyboard, plan = run(store, slow)
    assert slow.asked == []
    assert {shot.source for shot in storyboard.shots} == {"template"}
    assert "outline: its time for this storyboard is over" in storyboard.shots[3].note
    (line,) = stand_ins(None, published(storyboard, plan).storyboard)
    assert "its time for this storyboard is over" in line
    again = GoodWriter()
    assert {shot.strategy for shot in run(store, again)[0].shots} == {"direct"}
    assert again.kinds() == ["outline", "sheet", "shot", "shot", "shot", "shot"]


def test_a_wish_for_one_shot_of_four_makes_one_chunk(store: Bucket) -> None:
    storyboard, plan = run(store, GoodWriter())
    writer = GoodWriter()
    wish = BRIEF.model_validate(
        BRIEF.model_dump() | {"shots": [{"shot": 2, "wish": "closer, at dusk"}]}
    )
    wished, other = run(store, writer, wish)
    assert writer.kinds() == ["shot"]
    assert "blue dusk" in wished.shots[1].prompt.lower()
    changed = [
        after.number
        for before, after in zip(plan.chunks, other.chunks, strict=True)
        if before.digest != after.digest
    ]
    assert changed == [2]
    assert wished.sheet == storyboard.sheet
    silent = GoodWriter()
    assert run(store, silent, wish)[0].shots == wished.shots
    assert silent.asked == []


def test_shots_by_hand_are_written_again_with_a_wish(store: Bucket) -> None:
    board, plan = run(store, GoodWriter())
    hand = [
        {"prompt": shot.prompt, "seed": chunk.request.seed, "source": shot.source}
        for shot, chunk in zip(board.shots, plan.chunks, strict=True)
    ]
    moved = [hand[3], hand[0], hand[1], hand[2] | {"wish": "at dusk"}]
    brief = Brief.model_validate(BRIEF.model_dump() | {"storyboard": moved})
    _, other = run(store, GoodWriter(), brief)
    made = {chunk.digest for chunk in other.chunks} - {chunk.digest for chunk in plan.chunks}
    assert made == {other.chunks[3].digest}
