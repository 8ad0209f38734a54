"""The review of a storyboard: what becomes of answers that cannot be made."""

from typing import Any

import pytest

from pipelines.errors import RejectedError
from pipelines.schema.shots import EditedShot
from tasks import review
from tasks.review import Review, StoryboardAnswer, approve_storyboard
from tests.pipelines.test_edits import brief_of, drafted
from tests.tasks.test_route import route_of

BRIEF = brief_of()
BROKEN = [EditedShot(prompt="a heron", chunks=-1)]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Fields of the answers in order. What they leave is as the form shows it."""
    given: list[dict[str, Any]] = []

    def ask(form: type[StoryboardAnswer], *_: object) -> StoryboardAnswer:
        return form(**given.pop(0))

    monkeypatch.setattr(review, "ask", ask)
    monkeypatch.setattr(review, "show_draft", lambda _: None)
    return given


def reviewed() -> Review:
    return approve_storyboard(Review(BRIEF, needs_draft=True), drafted(BRIEF), route_of("demo"))


def test_edits_that_nobody_corrects_in_time_reject_the_film(answers: list[dict[str, Any]]) -> None:
    """Silence that approves would hand the same edits back for ever."""
    words = "nobody answered within 24 hours"
    answers += [{"shots": BROKEN}, {"decision": "approve", "by": "silence", "reason": words}]
    with pytest.raises(RejectedError, match=f"^{words}; .*-1 is no length"):
        reviewed()
    assert answers == []


def test_edits_that_a_person_corrects_are_taken(answers: list[dict[str, Any]]) -> None:
    answers += [{"shots": BROKEN}, {"shots": [EditedShot(prompt="a heron")], "by": "Mali"}]
    assert [shot.prompt for shot in reviewed().brief.storyboard] == ["a heron"]
    assert answers == []
