"""The Wan contract says what it changed of a request."""

from typing import Any

import pytest

from infra.apps.gateway.wan_notes import notes_of, warnings_of
from infra.apps.gateway.wan_requests import Generate, brief_of
from pipelines.backends.registry import definitions, stand_in
from pipelines.backends.wan.service_tasks import WAN_TASKS
from pipelines.planning.plan import frames_of

TASK = WAN_TASKS["t2v-1.3B"]


def said(*, demo: bool = False, **values: Any) -> str:
    """The note of a request to Wan 2.1 1.3B, or to the demo model in its place."""
    backend = stand_in() if demo else definitions()[TASK.backend]
    body = Generate.model_validate({"prompt": "a ball"} | values)
    brief = brief_of(body, TASK, "text-to-video", backend)
    assert frames_of(brief) == max(body.frame_num, 4 if body.frame_num > 1 else 1)
    return notes_of(body, backend, brief)


def test_a_request_that_is_kept_gets_no_note() -> None:
    assert said(frame_num=33, size="832*480", sample_steps=12, sample_guide_scale=6) == ""
    assert said(frame_num=1) == ""


def test_a_length_that_the_model_cannot_make_is_told_with_what_becomes_of_it() -> None:
    assert said(frame_num=20) == (
        "clips of this model have 21 frames here: the video has the first 20, and the other 1 are "
        "dropped"
    )
    assert said(frame_num=2).startswith(
        "frame_num 2 became 4: a video lasts 0.25 s at least, at 16 frames a second; clips of"
    )


def test_a_stand_in_names_every_value_that_it_replaces() -> None:
    asked = {"size": "832*480", "sample_steps": 25, "sample_guide_scale": 7.5}
    note = said(demo=True, frame_num=33, **asked)
    for sentence in (
        "size 832*480 became 96*96",
        "sample_steps 25 became 8",
        "sample_guide_scale 7.5 became 2.0",
    ):
        assert sentence in note
    assert said(demo=True, frame_num=33) == ""  # what was not asked for was not changed


def test_fields_that_nobody_knows_are_warned_of_and_do_not_make_another_request() -> None:
    plain = Generate(prompt="a ball")
    strange = Generate.model_validate({"prompt": "a ball", "frames": 20, "n_prompt": "blur"})
    assert strange.known() == plain.known()
    assert warnings_of(plain) == []
    first, second, known = warnings_of(strange)
    assert (first, second) == (
        "'frames' is no field and was ignored",
        "'n_prompt' is no field and was ignored",
    )
    assert known.startswith("the fields are prompt, task, size, frame_num")
    many = Generate.model_validate({"prompt": "x"} | {f"field{n}": n for n in range(1000)})
    assert "995 further unknown fields were ignored" in warnings_of(many)


@pytest.mark.parametrize(
    "name",
    [item.name for item in WAN_TASKS.values() if item.backend and "text-to-video" in item.kinds],
)
def test_every_model_says_the_frames_that_it_drops(name: str) -> None:
    task = WAN_TASKS[name]
    backend = definitions()[task.backend]
    for count in range(4, 90, 5):
        body = Generate(prompt="a ball", frame_num=count)
        brief = brief_of(body, task, "text-to-video", backend)
        note = notes_of(body, backend, brief)
        lengths = backend.capabilities.lengths_around(count)
        assert ("are dropped" in note) == (count not in lengths), (count, note)
