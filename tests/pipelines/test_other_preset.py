"""A storyboard that a person approved, made by another preset with chunks of another length."""

from typing import Any

import pytest

from pipelines.documents.brief import Brief
from pipelines.errors import BriefError
from pipelines.planning.again import Change, again
from pipelines.planning.edits import by_hand
from pipelines.planning.other_preset import with_other_preset
from pipelines.planning.plan import timeline
from pipelines.schema.shots import EditedEntry, EditedShot
from tasks.review import drafted_shots
from tests.pipelines.test_edits import brief_of, drafted
from tests.tasks.test_edited_story import changed


def approved(**values: Any) -> Brief:
    """A film of four shots of two seconds, as shots by hand."""
    brief = brief_of(preset="demo", frames=-1, **values)
    return by_hand(brief, drafted(brief), [])


def chunks(brief: Brief) -> list[int]:
    return [shot.chunks for shot in brief.storyboard]


def words(brief: Brief) -> list[str]:
    return [shot.prompt for shot in brief.storyboard]


def test_shots_by_hand_have_all_the_words_and_seeds_of_the_draft() -> None:
    brief = brief_of(preset="demo", frames=-1, style="35 mm film")
    draft = drafted(brief)
    rows = changed(drafted_shots(draft), 1, prompt="a grey heron")
    sheet = [EditedEntry(name="fox", appearance="a white fox")]
    film = by_hand(brief, draft, rows, sheet)
    assert words(film)[1] == "a grey heron"
    assert words(film)[0] == "A white fox runs"
    assert [shot.seed for shot in film.storyboard] == [shot.seed for shot in draft.shots]
    assert [entry.appearance for entry in film.sheet if entry.name == "fox"] == ["a white fox"]
    assert [shot.source for shot in film.storyboard] == ["editor", "editor", "llm", "editor"]


def test_shorter_chunks_are_shared_out_so_that_each_shot_keeps_its_length() -> None:
    film = approved()
    assert chunks(film) == [1, 1, 1, 1]
    moved = with_other_preset(film, "video_fast")
    assert chunks(moved) == [2, 2, 2, 2]
    assert moved.seconds == film.seconds
    assert words(moved) == words(film)


def test_a_longer_shot_stays_the_longer_one() -> None:
    brief = brief_of(preset="demo", frames=-1, seconds=8)
    first, *_, last = drafted_shots(drafted(brief))
    film = by_hand(brief, drafted(brief), changed([first, last], 0, chunks=3))
    assert chunks(film) == [3, 1]
    assert chunks(with_other_preset(film, "video_fast")) == [6, 2]


def test_longer_chunks_make_the_video_longer_and_leave_no_shot_out() -> None:
    film = approved()
    moved = with_other_preset(film, "video_5b")
    assert chunks(moved) == [1, 1, 1, 1]
    assert words(moved) == words(film)
    assert moved.seconds > 15
    assert len(timeline(moved)) == 4


def test_the_same_chunks_change_nothing_but_the_preset() -> None:
    film = approved()
    assert with_other_preset(film, "video_high") == film.with_preset("video_high")


def test_a_brief_without_lengths_is_moved_as_it_is() -> None:
    brief = brief_of(storyboard=[{"prompt": "a fox"}])
    assert with_other_preset(brief, "demo") == brief.with_preset("demo")


def test_a_video_that_would_be_too_long_is_refused_with_what_to_do() -> None:
    brief = brief_of(preset="demo", frames=-1, seconds=300)
    given = [EditedShot(prompt=f"shot {n}") for n in range(146)]
    film = by_hand(brief, drafted(brief), given)
    with pytest.raises(BriefError, match="remove shots, or make some shorter"):
        with_other_preset(film, "video_5b")


def test_a_reviewed_video_is_made_again_with_another_preset() -> None:
    film = approved()
    moved = again(film, Change(preset="video_fast"))
    assert (chunks(moved), words(moved)) == ([2, 2, 2, 2], words(film))
    assert chunks(again(film, Change(preset="video_5b"))) == [1, 1, 1, 1]
