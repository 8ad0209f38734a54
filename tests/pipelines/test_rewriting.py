"""A shot written again with an editor's wish: one chunk, and nothing else changes."""

import pytest

from pipelines.documents.brief import Brief
from pipelines.prompting.asking import NoAnswerError
from pipelines.prompting.rewriting import Rewriter
from pipelines.prompting.stored import Shelf
from tests.pipelines.test_direct import Bucket, digests, direct
from tests.support.planned import plan_brief
from tests.support.scripted_writer import FAULTS, VILLAGE, Fault, FaultyWriter, GoodWriter


def rewriter(model: GoodWriter, bucket: Bucket) -> Rewriter:
    shelf = Shelf(bucket.get, bucket.keep, lambda: "a run")
    return Rewriter(VILLAGE, 7, 2.0, model, shelf)


def test_a_wish_writes_one_shot_again_and_makes_one_chunk() -> None:
    brief, board = Brief(prompt=VILLAGE, seconds=8.0), direct(GoodWriter())
    bucket = Bucket()
    wished = rewriter(GoodWriter(), bucket).rewrite(board, 2, "closer, at dusk")
    assert wished.shots[1] != board.shots[1]
    assert "dusk" in wished.shots[1].prompt
    assert wished.shots[1].seed == board.shots[1].seed
    before, after = plan_brief(brief, board), plan_brief(brief, wished)
    new = set(digests(after)) - set(digests(before))
    assert new == {after.chunks[1].digest}
    silent = GoodWriter()
    assert rewriter(silent, bucket).rewrite(board, 2, "closer, at dusk") == wished
    assert silent.asked == []


def test_a_wish_works_on_words_that_another_strategy_wrote() -> None:
    board = direct(FaultyWriter(FAULTS["is empty"]))
    wished = rewriter(GoodWriter(), Bucket()).rewrite(board, 3, "a lamp at a lake")
    assert wished.shots[2].strategy == "direct"
    assert wished.shots[1] == board.shots[1]


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_wish_that_nobody_can_fulfil_changes_nothing_and_says_why(fault: Fault) -> None:
    board, bucket = direct(GoodWriter()), Bucket()
    with pytest.raises(NoAnswerError) as raised:
        rewriter(FaultyWriter(fault), bucket).rewrite(board, 2, "closer")
    assert raised.value.fault
    assert bucket == {}
