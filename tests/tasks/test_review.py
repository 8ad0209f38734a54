"""The review of a storyboard: what becomes of answers that cannot be made, and of approved ones
when another backend must make the film."""

from importlib import import_module
from typing import Any
from uuid import uuid4

import pytest

from pipelines.documents.brief import Brief
from pipelines.documents.route import Forecast, Route
from pipelines.errors import BriefError, RejectedError, UnavailableError
from pipelines.language.brief_texts import foreign_texts
from pipelines.schema.money import Money
from pipelines.schema.shots import EditedShot
from tasks import review
from tasks.review import (
    Review,
    StoryboardAnswer,
    approve_storyboard,
    begin_review,
    drafted_shots,
    keep_review,
)
from tests.pipelines.test_edits import brief_of, drafted
from tests.tasks.test_edited_story import changed
from tests.tasks.test_enhance import Bucket
from tests.tasks.test_route import Run, route_of

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


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """That of a run in a studio."""
    found = Bucket()
    monkeypatch.setattr(review, "is_deployed", lambda: True)
    monkeypatch.setattr(review, "flow_run", Run(uuid4()))
    monkeypatch.setattr(review, "ObjectStore", lambda _: found)
    return found


ASKED = brief_of(preset="auto", frames=-1, approval="storyboard")
ROUTE = route_of("demo", "video_fast", "video_5b")


def turned(route: Route, turn: int) -> Route:
    """`route` after its candidates before `turn` failed."""
    left = route.candidates[turn:]
    return route_of(*(item.preset for item in left)).model_copy(update={"turn": turn})


def priced(route: Route, price: Money) -> Route:
    """`route`, whose only candidate has that price."""
    forecast = Forecast(seconds=60, price=price)
    only = route.chosen.model_copy(update={"forecast": forecast})
    return route.model_copy(update={"candidates": (only,)})


def fallen_back(answers: list[dict[str, Any]], **values: Any) -> Review:
    """The review by the second candidate, after a person answered so about the first one's."""
    first = begin_review(ASKED, ROUTE)
    draft = drafted(first.brief)
    answers.append({"shots": changed(drafted_shots(draft), 1, prompt="a heron"), **values})
    keep_review(approve_storyboard(first, draft, ROUTE), ROUTE)
    return begin_review(ASKED, turned(ROUTE, 1))


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("decision", ["approve", "revise"])
def test_another_candidate_makes_the_storyboard_as_it_was_edited(
    answers: list[dict[str, Any]], decision: str
) -> None:
    second = fallen_back(answers, decision=decision)
    assert second.brief.preset == "video_fast"
    assert second.needs_draft  # its stills are other ones
    first = drafted(ASKED.with_preset("demo"))
    words = [shot.prompt for shot in first.shots]
    assert [shot.prompt for shot in second.brief.storyboard] == [words[0], "a heron", *words[2:]]
    assert [shot.seed for shot in second.brief.storyboard] == [shot.seed for shot in first.shots]


@pytest.mark.usefixtures("bucket")
def test_words_that_nobody_changed_are_approved_ones_too(answers: list[dict[str, Any]]) -> None:
    """The next candidate may have another language model, which would write other words."""
    second = fallen_back(answers, shots=[])
    words = [shot.prompt for shot in drafted(ASKED.with_preset("demo")).shots]
    assert [shot.prompt for shot in second.brief.storyboard] == words


@pytest.mark.usefixtures("bucket")
def test_a_candidate_that_is_asked_about_its_price_keeps_its_own_edits(
    answers: list[dict[str, Any]],
) -> None:
    fallen_back(answers)
    again = begin_review(ASKED, ROUTE.model_copy(update={"turn": 1}))
    assert again.brief.preset == "demo"
    assert [(item.shot, item.prompt) for item in again.brief.shots] == [(2, "a heron")]
    assert again.brief.storyboard == ()


@pytest.mark.usefixtures("bucket")
def test_a_third_candidate_begins_with_what_the_second_one_was_not_asked_about(
    answers: list[dict[str, Any]],
) -> None:
    keep_review(fallen_back(answers), turned(ROUTE, 1))
    third = begin_review(ASKED, priced(turned(ROUTE, 2), Money.of("0")))
    assert third.brief.preset == "video_5b"
    assert third.brief.storyboard[1].prompt == "a heron"


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("price", [Money.of("0"), Money.of("0.40")])
def test_a_longer_film_than_its_price_was_forecast_for_is_not_ordered(
    answers: list[dict[str, Any]], price: Money
) -> None:
    keep_review(fallen_back(answers), turned(ROUTE, 1))
    route = priced(turned(ROUTE, 2), price)
    if not price.amount:
        assert begin_review(ASKED, route).brief.seconds > ASKED.seconds
        return
    with pytest.raises(BriefError, match="is for the shorter video, so nothing was ordered"):
        begin_review(ASKED, route)


def test_what_was_approved_before_and_is_damaged_is_asked_again(
    answers: list[dict[str, Any]], bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    fallen_back(answers)
    (key,) = bucket.objects
    bucket.objects[key] = b"{"
    assert begin_review(ASKED, turned(ROUTE, 1)).brief == ASKED.with_preset("video_fast")
    assert "cannot be read" in caplog.text


@pytest.mark.usefixtures("bucket")
def test_without_an_approval_or_an_answer_the_brief_stays_as_it_is() -> None:
    keep_review(begin_review(ASKED, ROUTE), ROUTE)
    assert begin_review(ASKED, turned(ROUTE, 1)).brief == ASKED.with_preset("video_fast")
    silent = ASKED.model_copy(update={"approval": "none"})
    assert not begin_review(silent, ROUTE).needs_draft


@pytest.mark.usefixtures("bucket")
def test_the_flow_films_on_the_second_backend_what_was_approved_on_the_first(
    answers: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The GPU host and the store of films are not there; the flow and the review are the real
    ones."""
    module = import_module("flows.produce_content")
    filmed: list[Brief] = []

    def render(brief: Brief, turn: int) -> str:
        filmed.append(brief)
        if turn == 0:
            raise UnavailableError("not today")
        return "a film"

    for name, stand_in in {
        "route_brief": lambda _: ROUTE,
        "fall_back": lambda *_: turned(ROUTE, 1),
        "runs_on_gpu_host": lambda _: True,
        "draft_on_gpu_host": lambda brief, *_: drafted(brief),
        "render_on_gpu_host": render,
        "publish": lambda brief, film, _: (brief, film),
        "show_video": lambda _: None,
    }.items():
        monkeypatch.setattr(module, name, stand_in)
    words = [shot.prompt for shot in drafted(ASKED.with_preset("demo")).shots]
    edits = changed(drafted_shots(drafted(ASKED.with_preset("demo"))), 1, prompt="a heron")
    answers += [{"shots": edits}, {}]
    published, film = module.produce_content.fn(ASKED)
    assert answers == []  # a person approved the stills of the second one, too
    assert film == "a film"
    assert [brief.preset for brief in filmed] == ["demo", "video_fast"]
    assert [shot.prompt for shot in drafted(filmed[0]).shots] == [words[0], "a heron", *words[2:]]
    assert [shot.prompt for shot in published.storyboard] == [words[0], "a heron", *words[2:]]
    assert published == filmed[1]


@pytest.mark.parametrize("decision", ["approve", "revise"])
def test_an_answer_decides_about_words_that_nobody_translated(
    answers: list[dict[str, Any]], decision: str
) -> None:
    brief = brief_of(shots=[{"shot": 2, "wish": "สุนัขจิ้งจอกสองตัววิ่งบนหิมะ"}])
    draft = drafted(brief)
    answers.append({"decision": decision})
    after = approve_storyboard(Review(brief, needs_draft=True), draft, route_of("demo"))
    words = draft.shots[1].prompt
    assert [item.written for item in foreign_texts(after.brief) if item.may_stay] == [words]
    (text,) = after.brief.reviewed
    assert (text.original, text.english) == (words, words if decision == "approve" else "")
    assert after.reviewed is not None
    carried = after.reviewed.by_hand  # to another preset, whose storyboard is looked at again
    assert [(item.original, item.english) for item in carried.reviewed] == [(words, "")]
