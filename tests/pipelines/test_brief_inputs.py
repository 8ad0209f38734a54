"""What a brief may ask of each preset: its inputs, options, size and length, said before a plan."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.backends.registry import definition_of, definitions, presets, registered
from pipelines.documents.brief import Brief
from pipelines.documents.parsing import parse_brief
from pipelines.errors import BriefError
from pipelines.planning.plan import frames_of, timeline
from pipelines.schema.keys import Digest
from pipelines.schema.limits import MAX_REFERENCES
from pipelines.schema.request import (
    Continuation,
    FirstFrame,
    LastFrame,
    ReferenceImage,
    ReferenceVideo,
)
from tests.support.planned import plan_of

A, B = Digest("a" * 64), Digest("b" * 64)
PICTURE, OTHER, ARCHIVE = f"uploads/{A}.png", f"uploads/{B}.png", f"uploads/{A}.zip"
VACE, ANIMATE, LTX, DRAFT = "video_fast", "animate", "ltx2_sound", "animatediff_draft"
MOVED: dict[str, object] = {"preset": ANIMATE, "references": [PICTURE], "motion": ARCHIVE}

REFUSED: dict[str, tuple[dict[str, object], str, str]] = {
    # inputs that a preset does not take
    "first picture": ({"preset": DRAFT, "image": PICTURE}, "begin with", "leave out"),
    "last picture": ({"last_image": PICTURE}, "'demo' cannot end with a picture", "video_fast"),
    "references": ({"references": [PICTURE]}, "'demo' cannot show a reference", "animate"),
    "motion": ({"motion": ARCHIVE}, "'demo' cannot follow a video", "animate, replace"),
    "joins": ({"preset": LTX, "joins": "continue"}, "cannot go on from chunk to chunk", "demo"),
    # inputs that a preset needs
    "no picture": ({"preset": "video_picture"}, "needs a picture to begin with (image)", "give"),
    "no character": ({"preset": ANIMATE, "motion": ARCHIVE}, "(references)", "give one"),
    "no motion": ({"preset": ANIMATE, "references": [PICTURE]}, "(motion)", "give one"),
    # inputs that are no uploads, or too many
    "last picture elsewhere": ({"last_image": "/etc/x.png"}, "last_image '/etc/x.png'", ".png"),
    "reference elsewhere": ({"references": ["x.png"]}, "references 'x.png'", "/uploads"),
    "picture for motion": ({"motion": PICTURE}, "motion 'uploads/", "uploads/….zip"),
    "archive for a picture": ({"image": ARCHIVE}, "image 'uploads/", "uploads/….png"),
    "five references": (
        {"preset": VACE, "references": [PICTURE] * (MAX_REFERENCES + 1)},
        "5 reference pictures",
        "leave some out",
    ),
    "two characters": (
        MOVED | {"references": [PICTURE, OTHER]},
        "2 reference pictures are given; the preset 'animate' takes 1",
        "leave some out",
    ),
    # options
    "steps of LTX": ({"preset": LTX, "steps": 4}, "steps 4 is set", "another preset"),
    "lora of AnimateDiff": ({"preset": DRAFT, "lora": "mine"}, "lora 'mine'", "another preset"),
    "strength of AnimateDiff": (
        {"preset": DRAFT, "lora_strength": 1},
        "lora_strength 1",
        "default",
    ),
    "steps of AnimateDiff": ({"preset": DRAFT, "steps": 0}, "steps 0 is not", "equal to 1;"),
    "guidance of LTX": ({"preset": LTX, "guidance": 9}, "guidance 9", "less than or equal to 5;"),
    "strength": ({"lora_strength": 2.5}, "lora_strength 2.5", "0 to 2"),
    "strength below": ({"lora_strength": -0.5}, "lora_strength -0.5", "-1 for the preset's"),
    "strength nan": ({"lora_strength": float("nan")}, "lora_strength nan", "0 to 2"),
    # sizes that another preset offers
    "size of Wan": ({"preset": DRAFT, "size": "832*480"}, "'832*480'", "one of 512*512"),
    "size of LTX": ({"preset": "video_14b", "size": "1280*704"}, "'video_14b'", "832*480"),
    "size for small": ({"preset": "video_14b", "size": "1024*1024"}, "'1024*1024'", "1280*720"),
    # lengths and stills
    "100 frames": ({"preset": LTX, "frames": 100}, "8k+1 from 9 to 121", "choose 97 or 105"),
    "1 frame": ({"preset": LTX, "frames": 1}, "videos only", "ask for a video"),
    "129 frames": ({"preset": LTX, "frames": 129}, "129 frames", "choose 121"),
    "80 frames": ({"preset": DRAFT, "frames": 80}, "80 frames", "1 to 64: choose 64"),
    "still of LTX": ({"preset": LTX, "kind": "image"}, "'ltx2_sound' makes videos only", "ask for"),
    "still of Animate": (MOVED | {"kind": "image"}, "'animate' makes videos only", "ask for"),
    "still with an end": (
        {"preset": VACE, "kind": "image", "last_image": PICTURE},
        "a picture cannot begin or end with a picture",
        "ask for a video",
    ),
    "preset of stills with a beginning": (
        {"preset": "image_fast", "image": PICTURE},
        "a picture cannot begin or end with a picture",
        "ask for a video",
    ),
    "short chunks that go on": (
        {"preset": VACE, "frames": 5, "joins": "continue"},
        "chunks of 13 frames or more, not 5",
        "or for cuts",
    ),
}


@pytest.mark.parametrize(("values", "value", "remedy"), REFUSED.values(), ids=REFUSED)
def test_what_a_preset_cannot_make_is_refused_with_value_and_remedy(
    values: dict[str, object], value: str, remedy: str
) -> None:
    with pytest.raises(BriefError) as refusal:
        parse_brief({"prompt": "a red fox", **values})
    assert value in str(refusal.value)
    assert remedy in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "values",
    [
        {"image": PICTURE},
        {"preset": VACE, "image": PICTURE, "last_image": OTHER, "joins": "continue"},
        {"preset": VACE, "references": [PICTURE] * MAX_REFERENCES},
        {"preset": "video_picture", "image": PICTURE, "last_image": OTHER},
        {"preset": LTX, "image": PICTURE, "size": "768*512"},
        {"preset": LTX, "aspect": "square"},
        {"lora": "mine", "lora_strength": 0},
        MOVED,
        MOVED | {"preset": "replace"},
    ],
    ids=str,
)
def test_what_a_preset_can_make_is_taken(values: dict[str, object]) -> None:
    brief = parse_brief({"prompt": "a red fox", **values})
    uploads = (brief.image, brief.last_image, *brief.references, brief.motion)
    assert brief.uploads == tuple(item for item in uploads if item)


def test_a_lora_and_its_strength_become_options_of_the_preset() -> None:
    brief = parse_brief({"prompt": "x", "lora": "mine", "lora_strength": 0.5})
    assert brief.resolved_preset().options.model_dump() == {
        **presets()["demo"].options.model_dump(),
        "lora": "mine",
        "lora_strength": 0.5,
    }


def test_a_backend_that_is_registered_later_has_rules_of_its_own() -> None:
    demo = definitions()["wan-demo"]
    can = demo.capabilities.model_copy(
        update={"min_frames": 9, "frame_step": 8, "fps": 24, "max_frames": 41}
    )
    with registered(dataclasses.replace(demo, capabilities=can)):
        assert frames_of(Brief(prompt="x", seconds=2)) == 48
        with pytest.raises(BriefError, match=r"29 frames .* 8k\+1 from 9 to 41: choose 25 or 33"):
            parse_brief({"prompt": "x", "frames": 29})
        with pytest.raises(BriefError, match="makes videos only"):
            parse_brief({"prompt": "x", "kind": "image"})
    assert frames_of(Brief(prompt="x", seconds=2, frames=29)) == 32


@given(
    st.sampled_from([LTX, "ltx2_turbo", DRAFT, "video_5b", "demo"]),
    st.floats(0.25, 60),
    st.integers(0, 200),
    st.sampled_from(["cut", "crossfade"]),
)
def test_any_length_is_exact_at_every_rate(
    preset: str, seconds: float, wish: int, joins: str
) -> None:
    can = definition_of(presets()[preset]).capabilities
    frames = max(can.lengths_around(wish)[0], 9)
    plan = plan_of(preset=preset, seconds=seconds, frames=frames, joins=joins)
    assert plan.frames == round(can.fps * seconds)
    assert {chunk.request.fps for chunk in plan.chunks} == {can.fps}
    assert all(can.is_length(chunk.request.frames) for chunk in plan.chunks)
    assert plan.seconds == plan.frames / can.fps


@given(
    st.sampled_from([VACE, "video_high", "video_picture"]),
    st.floats(0.25, 40),
    st.integers(5, 81),
    st.sampled_from(["cut", "continue", "crossfade"]),
)
def test_the_picture_to_end_with_is_the_last_frame_that_is_seen(
    preset: str, seconds: float, wish: int, joins: str
) -> None:
    can = definition_of(presets()[preset]).capabilities
    frames = can.lengths_around(wish)[0]
    if joins == "continue":
        frames = max(frames, can.shortest_continued)
    values = {"preset": preset, "seconds": seconds, "frames": frames, "joins": joins}
    brief = parse_brief({"prompt": "x", "image": PICTURE, "last_image": OTHER, **values})
    *before, last = timeline(brief)
    assert all(can.is_length(slot.frames) for slot in (*before, last))
    # Of the last clip nothing is cut off at its end, so its last frame is the film's.
    assert last.frames == last.overlap + last.blend + last.frame_count
    # Something is left to make between what the clip is given.
    assert last.frames > max(last.overlap, 1) + 1
    asked = round(can.fps * seconds)
    # A chunk that dissolves may have to be of the usual length.
    longer = max(can.shortest_continued, frames if joins == "crossfade" else 0)
    assert asked <= frames_of(brief) < asked + longer
    plain = timeline(parse_brief({"prompt": "x", "image": PICTURE, **values}))
    assert before == plain[:-1]


def test_only_the_last_chunk_is_given_the_picture_to_end_with() -> None:
    plan = plan_of(preset=VACE, seconds=3, joins="continue", image=PICTURE, last_image=OTHER)
    kinds = [[type(item) for item in chunk.request.inputs] for chunk in plan.chunks]
    assert kinds[0] == [FirstFrame]
    assert kinds[-1] == [Continuation, LastFrame]
    assert all(some == [Continuation] for some in kinds[1:-1])
    assert plan.chunks[-1].request.inputs[-1] == LastFrame(picture=B)


def test_references_are_given_to_every_chunk_in_their_order() -> None:
    plan = plan_of(preset=VACE, seconds=3, references=[OTHER, PICTURE])
    assert len(plan.chunks) == 3
    for chunk in plan.chunks:
        assert chunk.request.inputs == (ReferenceImage(picture=B), ReferenceImage(picture=A))


@pytest.mark.parametrize(
    ("preset", "roles"),
    [(ANIMATE, ["pose", "face"]), ("replace", ["pose", "face", "background", "mask"])],
)
def test_each_chunk_follows_its_own_part_of_the_motion(preset: str, roles: list[str]) -> None:
    plan = plan_of(**MOVED | {"preset": preset}, seconds=6, joins="continue")
    parts = [
        [item for item in chunk.request.inputs if isinstance(item, ReferenceVideo)]
        for chunk in plan.chunks
    ]
    assert all([item.role for item in some] == roles for some in parts)
    # 77 frames, of which a chunk that goes on repeats one.
    assert [{item.start for item in some} for some in parts] == [{0}, {76}, {152}]
    assert plan.frames == 180


def test_another_input_is_another_chunk() -> None:
    digests = {
        plan_of(preset=VACE, seconds=1, **values).chunks[-1].digest
        for values in (
            {},
            {"last_image": PICTURE},
            {"last_image": OTHER},
            {"references": [PICTURE]},
            {"references": [PICTURE, OTHER]},
            {"references": [OTHER, PICTURE]},
            {"lora": "mine"},
            {"lora": "mine", "lora_strength": 0.5},
        )
    }
    assert len(digests) == 8
