"""An editor's hand on a film that an instruct model wrote, through the stage that writes it."""

from typing import Any

from pipelines.documents.brief import Brief
from pipelines.documents.draft import Draft
from pipelines.planning.drafting import chunk_seconds, draft_shots
from pipelines.planning.edits import edited, settled
from pipelines.planning.plan import seed_of
from pipelines.schema.keys import ObjectKey
from pipelines.schema.phrases import with_phrases
from pipelines.schema.plan import Estimate, Plan, digest_of
from pipelines.schema.shots import EditedEntry, EditedShot
from tasks.review import drafted_sheet, drafted_shots
from tests.support.scripted_writer import FAULTS, SHEET, VILLAGE, FaultyWriter, GoodWriter
from tests.tasks.test_direct_stage import BRIEF, run
from tests.tasks.test_enhance import Bucket

ESTIMATE = Estimate(seconds=1, peak_memory_bytes=1, disk_bytes=1, basis="a test")
WISH = "closer, at night"


def drafted(store: Bucket, brief: Brief = BRIEF, writer: GoodWriter | None = None) -> Draft:
    board, plan = run(store, writer or GoodWriter(), brief)
    return Draft(
        shots=tuple(draft_shots(brief, plan, board, [None] * len(plan.chunks))),
        estimate=ESTIMATE,
        sheet=board.sheet,
        chunk_seconds=chunk_seconds(brief, len(plan.chunks)),
    )


def wished_by_hand(store: Bucket) -> Brief:
    """A film whose shots became shots by hand, with a wish for the first one."""
    draft = drafted(store)
    rows = drafted_shots(draft)
    moved = edited(BRIEF, draft, [rows[1], rows[0], *rows[2:]])
    return edited(moved, drafted(store, moved), changed(rows, 0, wish=WISH))


def planned(store: Bucket, brief: Brief) -> Plan:
    return run(store, GoodWriter(), brief)[1]


def made(store: Bucket, brief: Brief, before: Brief = BRIEF) -> list[int]:
    """Numbers of the chunks that `before` did not make."""
    found = {chunk.digest for chunk in planned(store, before).chunks}
    return [chunk.number for chunk in planned(store, brief).chunks if chunk.digest not in found]


def changed(shots: list[EditedShot], index: int, **values: Any) -> list[EditedShot]:
    return [
        shot.model_copy(update=values if number == index else {})
        for number, shot in enumerate(shots)
    ]


def test_a_wish_is_written_by_the_model_and_makes_one_chunk() -> None:
    store = Bucket()
    draft = drafted(store)
    wished = edited(BRIEF, draft, changed(drafted_shots(draft), 1, wish=WISH))
    assert made(store, wished) == [2]
    writer = GoodWriter()
    again = drafted(store, wished, writer)
    assert writer.asked == []  # the new words were kept, too
    assert again.shots[1].prompt != draft.shots[1].prompt
    assert again.shots[1].source == "llm"
    assert not again.shots[1].note
    settled_brief = settled(wished, again)
    assert made(store, settled_brief, wished) == []
    assert settled_brief.shots[0].prompt == again.shots[1].prompt


def test_a_wish_for_a_moved_shot_is_written_by_the_model_too() -> None:
    store = Bucket()
    draft = drafted(store)
    third, *rest = drafted_shots(draft)[::-1][1:] + drafted_shots(draft)[3:]
    moved = edited(BRIEF, draft, [third, *rest])
    assert made(store, moved) == []
    again = drafted(store, moved)
    wished = edited(moved, again, changed(drafted_shots(again), 0, wish=WISH))
    assert made(store, wished) == [1]
    assert drafted(store, wished).shots[0].source == "llm"


def test_a_model_that_cannot_grant_a_wish_leaves_it_behind_the_words() -> None:
    store = Bucket()
    draft = drafted(store)
    wished = edited(BRIEF, draft, changed(drafted_shots(draft), 1, wish=WISH))
    again = drafted(store, wished, FaultyWriter(FAULTS["never ends"]))
    assert again.shots[1].prompt == f"{draft.shots[1].prompt.rstrip('.')}, {WISH}."
    assert again.shots[1].note.startswith("the wish stands behind the words: ")
    assert again.shots[1].source == "editor"
    assert [shot.prompt for shot in again.shots[2:]] == [shot.prompt for shot in draft.shots[2:]]


def test_another_order_makes_nothing_and_keeps_who_wrote_the_shots() -> None:
    store = Bucket()
    draft = drafted(store)
    backwards = edited(BRIEF, draft, drafted_shots(draft)[::-1])
    assert made(store, backwards) == []
    again = drafted(store, backwards)
    assert [shot.source for shot in again.shots] == ["llm"] * 4
    assert [shot.size for shot in again.shots] == [shot.size for shot in draft.shots][::-1]
    assert again.sheet == draft.sheet


def test_a_changed_entry_of_the_sheet_makes_exactly_the_shots_that_show_it() -> None:
    store = Bucket()
    draft = drafted(store)
    shows = [shot.number for shot in draft.shots if "fisherman" in shot.shows]
    assert shows
    assert len(shows) < 4
    sheet = [EditedEntry(name="fisherman", appearance="a tall young woman in a yellow coat")]
    after = edited(BRIEF, draft, drafted_shots(draft), sheet)
    assert made(store, after) == shows
    again = drafted(store, after)
    assert drafted_sheet(again)[0] == sheet[0]
    assert [shot.shows for shot in again.shots] == [shot.shows for shot in draft.shots]
    back = edited(after, again, drafted_shots(again), drafted_sheet(draft))
    assert made(store, back) == []


def test_size_and_camera_of_a_shot_are_changed_in_its_words() -> None:
    store = Bucket()
    draft = drafted(store)
    given = changed(drafted_shots(draft), 1, size="extreme close-up", camera="orbit")
    after = edited(BRIEF, draft, given)
    assert made(store, after) == [2]
    shot = drafted(store, after).shots[1]
    assert shot.prompt.startswith("Extreme close-up, orbit. ")
    assert shot.prompt.partition(". ")[2] == draft.shots[1].prompt.partition(". ")[2]


def test_a_shot_more_makes_one_chunk() -> None:
    store = Bucket()
    draft = drafted(store)
    new = EditedShot(prompt="A grey heron lands on the pier.")
    given = [*drafted_shots(draft)[:2], new, *drafted_shots(draft)[2:]]
    assert made(store, edited(BRIEF, draft, given)) == [3]


def test_the_storyboard_names_the_model_that_granted_a_wish_for_a_shot_by_hand() -> None:
    store = Bucket()
    brief = wished_by_hand(store)
    first, again = (run(store, GoodWriter(), brief)[0] for _ in range(2))
    assert (first.enhancer, first.written) == (GoodWriter.name, 1)
    assert (again.enhancer, again.written) == (GoodWriter.name, 0)
    assert again.shots == first.shots


def test_a_storyboard_by_hand_names_no_model_that_granted_nothing() -> None:
    store = Bucket()
    board, _ = run(store, FaultyWriter(FAULTS["never ends"]), wished_by_hand(store))
    assert (board.enhancer, board.written) == ("none", 0)


GIRL = "a tall young woman in a yellow coat"


def with_girl(brief: Brief) -> Brief:
    """`brief` with another fisherman, also in its shots by hand."""
    sheet = [{"name": "fisherman", "appearance": GIRL, "kind": "character"}]
    others = [entry.model_dump() for entry in brief.sheet if entry.name != "fisherman"]
    swaps = {SHEET["characters"][0]["appearance"]: GIRL}
    shots = [
        shot.model_dump() | {"prompt": with_phrases(shot.prompt, swaps)}
        for shot in brief.storyboard
    ]
    return Brief.model_validate(
        brief.model_dump() | {"sheet": [*sheet, *others], "storyboard": shots}
    )


def wishing(shot: int, wish: str) -> Brief:
    return Brief.model_validate(BRIEF.model_dump() | {"shots": [{"shot": shot, "wish": wish}]})


def showing(draft: Draft, name: str) -> list[int]:
    return [shot.number for shot in draft.shots if name in shot.shows]


def test_a_shot_that_was_written_again_follows_a_changed_sheet() -> None:
    store, brief = Bucket(), wishing(1, "the fisherman at a lake")
    before = drafted(store, brief)
    assert showing(before, "fisherman") == [1, 2, 3]  # the first one by the wish alone
    assert made(store, with_girl(brief), brief) == [1, 2, 3]
    writer = GoodWriter()
    after = drafted(store, with_girl(brief), writer)
    assert writer.asked == []
    assert f"{GIRL.capitalize()} " in after.shots[0].prompt
    assert "white beard" not in " ".join(shot.prompt for shot in after.shots)
    assert [shot.prompt for shot in drafted(store, brief).shots] == [
        shot.prompt for shot in before.shots
    ]


def test_a_shot_that_was_written_again_without_a_character_stays_when_that_one_changes() -> None:
    store = Bucket()
    draft = drafted(store)
    rows = changed(drafted_shots(draft), 1, wish=WISH)
    brief = edited(BRIEF, draft, [rows[1], rows[0], *rows[2:]])
    before = drafted(store, brief)
    assert showing(draft, "fisherman") == [2, 3]  # before the wish and the new order
    assert showing(before, "fisherman") == [3]
    writer = GoodWriter()
    after = drafted(store, with_girl(brief), writer)
    assert writer.asked == []
    assert after.shots[0] == before.shots[0]
    assert made(store, with_girl(brief), brief) == [3]


def test_words_that_an_editor_approved_after_a_wish_follow_a_changed_sheet_too() -> None:
    store = Bucket()
    wished = wishing(2, WISH)
    draft = drafted(store, wished)
    brief = settled(wished, draft)
    sheet = [EditedEntry(name="fisherman", appearance=GIRL)]
    after = edited(brief, draft, drafted_shots(draft), sheet)
    assert made(store, after, brief) == showing(draft, "fisherman") == [2, 3]
    assert GIRL in drafted(store, after).shots[1].prompt


def test_a_rewritten_shot_of_an_earlier_version_is_found_again() -> None:
    """Up to 0.6.0 it was kept under the words of its sheet."""
    store, brief = Bucket(), wishing(2, WISH)
    board, _ = run(store, GoodWriter())
    others = set(store.objects)
    written, _ = run(store, GoodWriter(), brief)
    (key,) = set(store.objects) - others
    words, seed = board.shots[1].prompt, seed_of(brief)
    earlier = digest_of(["direct/1", "rewrite", GoodWriter.name, VILLAGE, words, WISH, seed])
    store.objects[ObjectKey.shot(earlier)] = store.objects.pop(key)
    writer = GoodWriter()
    assert run(store, writer, brief)[0].shots == written.shots
    assert writer.asked == []
