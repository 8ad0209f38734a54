"""The form of a storyboard: what a browser sends becomes an answer, or stays as it was typed."""

from typing import Any

import pytest
from starlette.datastructures import FormData, UploadFile

from infra.apps.gateway.problems import ProblemError
from infra.apps.gateway.storyboard_form import Row, StoryboardForm, form_of, lengths_of, read_form
from pipelines.documents.draft import Draft, DraftShot
from pipelines.errors import StoryboardError
from pipelines.schema.plan import Estimate
from pipelines.schema.storyboard import Sheet, SheetEntry
from pipelines.schema.translation import TranslatedText, Translation

DRAFT = Draft(
    shots=tuple(
        DraftShot(
            number=number,
            prompt=f"shot {number}",
            seconds=seconds,
            seed=number * 11,
            chunks=chunks,
            size="wide shot",
            shows=("fox",) if number < 3 else (),
        )
        for number, seconds, chunks in ((1, 2.06, 1), (2, 16.5, 8), (3, 1.25, 1))
    ),
    estimate=Estimate(seconds=1, peak_memory_bytes=1, disk_bytes=1, basis="a test"),
    sheet=Sheet(characters=(SheetEntry(name="fox", appearance="a red fox"),)),
    chunk_seconds=2.0625,
)


def sent(form: StoryboardForm, **more: str) -> FormData:
    """What a browser sends for `form`."""
    fields: list[tuple[str, str]] = []
    for row in form.rows:
        for name in ("drafted", "prompt", "seed", "chunks", "size", "camera", "wish"):
            fields.append((name, getattr(row, name)))
    fields += [
        item for look in form.looks for item in (("entry", look.name), ("looks", look.appearance))
    ]
    return FormData([*fields, *more.items()])


def order(form: StoryboardForm) -> list[str]:
    return [row.drafted for row in form.rows]


def test_a_form_comes_back_as_it_was_shown() -> None:
    form = form_of(DRAFT)
    assert read_form(sent(form), DRAFT) == form
    assert form.looks[0].shots == (1, 2)
    assert not any(row.is_changed for row in form.rows)
    answer = form.answer("approve")
    assert [(shot.drafted, shot.seed, shot.chunks) for shot in answer.shots] == [
        (1, 11, 1),
        (2, 22, 8),
        (3, 33, 1),
    ]


def test_looks_that_were_translated_are_shown_as_the_editor_wrote_them() -> None:
    looks = TranslatedText(field="sheet.fox", original="จิ้งจอกแดง", english="a red fox")
    told = Translation(
        language="th", original="a fox", english="a fox", translator="model@1", others=(looks,)
    )
    form = form_of(DRAFT.model_copy(update={"translation": told}))
    assert [(look.name, look.appearance) for look in form.looks] == [("fox", "จิ้งจอกแดง")]


@pytest.mark.parametrize(
    ("action", "after"),
    [
        ("up:3", ["1", "3", "2"]),
        ("up:1", ["1", "2", "3"]),
        ("down:1", ["2", "1", "3"]),
        ("down:3", ["1", "2", "3"]),
        ("remove:2", ["1", "3"]),
        ("add", ["1", "2", "3", ""]),
        ("keep", ["1", "2", "3"]),
        ("remove:4", ["1", "2", "3"]),
        ("remove:0", ["1", "2", "3"]),
        ("remove:²", ["1", "2", "3"]),
        ("", ["1", "2", "3"]),
    ],
)
def test_a_button_changes_the_order(action: str, after: list[str]) -> None:
    assert order(form_of(DRAFT).edited(action)) == after


def test_the_last_shot_cannot_be_removed() -> None:
    form = form_of(DRAFT).edited("remove:1").edited("remove:1").edited("remove:1")
    assert order(form) == ["3"]


def test_a_shot_is_changed_if_anything_but_its_place_is_other() -> None:
    form = form_of(DRAFT).edited("up:2")
    assert not any(row.is_changed for row in form.rows)
    typed = FormData(
        [
            (name, "another" if (name, value) == ("prompt", "shot 3") else value)
            for name, value in sent(form).multi_items()
        ]
    )
    assert [row.is_changed for row in read_form(typed, DRAFT).rows] == [False, False, True]
    assert Row().is_changed


def test_a_shot_offers_whole_chunks_and_its_own_length() -> None:
    rows = form_of(DRAFT).rows
    assert lengths_of(rows[0], DRAFT)[:2] == [(1, 2.06), (2, 4.125)]
    assert lengths_of(rows[1], DRAFT)[-1] == (8, 16.5)
    assert lengths_of(rows[2], DRAFT)[0] == (1, 1.25)  # the last one of the video is cut
    assert lengths_of(rows[0], DRAFT.model_copy(update={"chunk_seconds": 0.0})) == []


@pytest.mark.parametrize("name", ["seed", "chunks", "drafted"])
@pytest.mark.parametrize("text", ["seven", "1.5", "²", "9" * 21, "--1"])
def test_a_number_that_is_none_is_said_at_its_shot(name: str, text: str) -> None:
    form = form_of(DRAFT)
    values: dict[str, Any] = {name: text}
    wrong = StoryboardForm(rows=(*form.rows[:2], Row(**values)), looks=())
    with pytest.raises(StoryboardError) as caught:
        wrong.answer("revise")
    assert list(caught.value.problems) == [2]
    assert f"the {name}" in caught.value.problems[2]
    shown = wrong.with_problems(caught.value)
    assert [bool(row.problem) for row in shown.rows] == [False, False, True]
    assert getattr(shown.rows[2], name) == text
    assert not wrong.answer("reject").shots  # whoever rejects need not mend it


def test_a_form_of_an_earlier_page_or_of_a_program_may_leave_fields_out() -> None:
    form = read_form(FormData([("prompt", "a"), ("seed", "-1"), ("decision", "approve")]), DRAFT)
    (shot,) = form.answer("approve").shots
    assert (shot.prompt, shot.seed, shot.chunks, shot.drafted) == ("a", -1, 0, 0)
    assert not read_form(FormData([("decision", "approve")]), None).answer("approve").shots


@pytest.mark.parametrize(
    "fields",
    [
        [("prompt", "a"), ("prompt", "b"), ("seed", "1")],
        [("seed", "1")],
        [("entry", "fox")],
    ],
)
def test_parts_that_do_not_belong_together_are_refused(
    fields: list[tuple[str, str | UploadFile]],
) -> None:
    with pytest.raises(ProblemError, match="incomplete"):
        read_form(FormData(fields), DRAFT)


def test_nothing_is_sent_without_a_decision() -> None:
    for decision in (None, "", "perhaps"):
        with pytest.raises(ProblemError, match="nothing was decided"):
            form_of(DRAFT).answer(decision)
