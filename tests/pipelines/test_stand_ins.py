"""The template's words in place of the enhancer's: used again by the same run, and by no other."""

from typing import Any

import pytest

from pipelines.documents.brief import Brief
from pipelines.planning.plan import seed_of
from pipelines.prompting.stored import shot_digests, stand_in_digest
from pipelines.schema.keys import Digest
from pipelines.schema.storyboard import Shot
from tests.pipelines.test_prompting import GOOD, OTHER, ScriptedEnhancer, write

PROMPT = "a red fox in the snow"
FAILURES = {"failed": ["CRASH"], "refused": ["no", "no", "no"]}


def digests(count: int = 1) -> list[Digest]:
    """Of the shots of a `ScriptedEnhancer`."""
    brief = Brief(prompt=PROMPT)
    return list(shot_digests(count, PROMPT, seed_of(brief), ScriptedEnhancer.name))


@pytest.mark.parametrize("cause", FAILURES)
def test_a_template_s_shot_is_not_kept_as_the_enhancer_s(cause: str) -> None:
    kept: dict[Digest, Any] = {}
    (shot,) = write(ScriptedEnhancer(*FAILURES[cause]), kept=kept, run="one").shots
    assert (shot.source, shot.cause) == ("template", cause)
    assert list(kept) == [stand_in_digest("one", digests()[0])]


@pytest.mark.parametrize("cause", FAILURES)
def test_another_run_asks_the_enhancer_again_and_keeps_its_words(cause: str) -> None:
    kept: dict[Digest, Any] = {}
    write(ScriptedEnhancer(*FAILURES[cause]), kept=kept, run="one")
    board = write(ScriptedEnhancer(GOOD), kept=kept, run="two")
    assert (board.shots[0].source, board.shots[0].cause, board.written) == ("llm", "", 1)
    assert kept[digests()[0]] == board.shots[0]
    again = write(ScriptedEnhancer(), kept=kept, run="three")
    assert again.shots == board.shots


def test_the_same_run_goes_on_with_the_words_that_it_began_with() -> None:
    """Its second attempt finds the chunks of the first one, whose identity contains the words."""
    kept: dict[Digest, Any] = {}
    first = write(ScriptedEnhancer(GOOD, "CRASH"), count=2, kept=kept, run="one")
    again = write(ScriptedEnhancer(), count=2, kept=kept, run="one")
    assert [shot.source for shot in first.shots] == ["llm", "template"]
    assert again.shots == first.shots


def test_the_enhancer_s_own_words_come_before_those_of_the_template() -> None:
    """Another run has written them meanwhile."""
    kept: dict[Digest, Any] = {}
    write(ScriptedEnhancer("CRASH"), kept=kept, run="one")
    better = write(ScriptedEnhancer(OTHER), kept=kept, run="two")
    assert write(ScriptedEnhancer(), kept=kept, run="one").shots == better.shots


def test_a_template_s_shot_of_an_earlier_version_is_written_again() -> None:
    """Version 0.2 kept it under the digest of the enhancer's shot."""
    old = Shot(number=1, camera="Wide shot", prompt=f"Wide shot: {PROMPT}.", source="template")
    kept = {digests()[0]: old}
    (shot,) = write(ScriptedEnhancer(GOOD), kept=kept).shots
    assert shot.source == "llm"
    assert kept[digests()[0]] == shot


def test_the_note_tells_refused_words_from_an_enhancer_that_does_not_work() -> None:
    refused = write(ScriptedEnhancer(*FAILURES["refused"])).shots[0].note
    failed = write(ScriptedEnhancer(*FAILURES["failed"])).shots[0].note
    assert "3 answers failed the checks, the last one: 1 words" in refused
    assert failed.endswith("stands in for the enhancer: the enhancer's process died")


def test_the_template_s_shots_do_not_count_as_written_by_the_model() -> None:
    """The seconds of a shot are learned from this number."""
    assert write(ScriptedEnhancer("CRASH", GOOD), count=2).written == 1


def test_an_editor_s_words_say_nothing_of_the_template_that_they_replace() -> None:
    (shot,) = write(ScriptedEnhancer("CRASH"), shots=[{"shot": 1, "prompt": "a bird"}]).shots
    assert (shot.source, shot.note, shot.cause) == ("editor", "", "")
