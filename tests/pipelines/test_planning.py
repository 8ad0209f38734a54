"""The arithmetic of seconds, shots, chunks, seeds and digests."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.documents.brief import Brief
from pipelines.errors import BriefError
from pipelines.planning.estimate import default_rates, estimate
from pipelines.planning.memory import Footprint
from pipelines.planning.plan import frames_of, timeline
from pipelines.prompting.storyboard import write_storyboard
from pipelines.schema.keys import Digest, ObjectKey
from pipelines.schema.plan import Plan, digest_of
from pipelines.schema.presets import fade_of
from pipelines.schema.storyboard import Shot
from tests.support.planned import NamedBackend, plan_brief, plan_of


def digests(plan: Plan) -> list[str]:
    return [chunk.digest for chunk in plan.chunks]


@given(st.floats(0.5, 90), st.sampled_from([1 + 4 * k for k in range(1, 20)]))
def test_the_video_has_exactly_the_asked_frames(seconds: float, frames: int) -> None:
    plan = plan_of(seconds=seconds, frames=frames)
    assert plan.frames == round(16 * seconds)
    assert all(chunk.frame_count == frames for chunk in plan.chunks[:-1])
    assert 1 <= plan.chunks[-1].frame_count <= frames
    assert len(plan.chunks) == math.ceil(plan.frames / frames)


@pytest.mark.parametrize("preset", ["image_fast", "image_high"])
def test_a_still_is_one_frame_whatever_the_seconds(preset: str) -> None:
    assert frames_of(Brief(prompt="x", preset=preset, seconds=30)) == 1


@given(st.floats(1, 20), st.floats(0.1, 20))
def test_a_longer_version_starts_with_the_same_chunks(seconds: float, more: float) -> None:
    short, long = digests(plan_of(seconds=seconds)), digests(plan_of(seconds=seconds + more))
    assert long[: len(short)] == short


def test_another_seed_for_one_shot_changes_that_chunk_only() -> None:
    before = digests(plan_of(seconds=8))
    after = digests(plan_of(seconds=8, shots=[{"shot": 2, "seed": 99}]))
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True, True]


def test_the_same_brief_has_the_same_seeds_and_other_words_have_others() -> None:
    assert digests(plan_of()) == digests(plan_of())
    seeds = {chunk.request.seed for chunk in plan_of(seconds=60).chunks}
    assert len(seeds) == len(plan_of(seconds=60).chunks)
    assert plan_of().chunks[0].request.seed != plan_of(prompt="a blue fox").chunks[0].request.seed


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 3},
        {"guidance": 2.0},
        {"size": "128*128"},
        {"frames": 17},
        {"seed": 5},
        {"negative": "rain"},
        {"prompt": "a blue fox"},
    ],
    ids=str,
)
def test_whatever_decides_pixels_changes_the_digest(change: dict[str, object]) -> None:
    assert digests(plan_of(**change))[0] != digests(plan_of())[0]


def test_other_weights_or_numbers_change_the_digest() -> None:
    spec = plan_of().chunks[0].spec
    for name, value in (("transformer", digest_of("other")), ("dtype", "bfloat16")):
        changed = spec.model_copy(update={"identity": {**spec.identity, name: value}})
        assert changed.digest != spec.digest


def test_upscaling_leaves_chunks_alone_but_is_another_film() -> None:
    plain, large = plan_of(), plan_of(upscale=4)
    assert digests(plain) == digests(large)
    assert plain.content_id != large.content_id
    assert large.final_size == large.size.scaled(4)


def test_a_trimmed_chunk_has_a_segment_of_its_own() -> None:
    short, long = plan_of(seconds=3, upscale=2), plan_of(seconds=4.125, upscale=2)
    first = [plan.segment_digest(plan.chunks[0]) for plan in (short, long)]
    last = [plan.segment_digest(plan.chunks[1]) for plan in (short, long)]
    assert first[0] == first[1]
    assert last[0] != last[1]


def test_changing_a_shot_that_does_not_exist_is_refused() -> None:
    with pytest.raises(BriefError, match=r"shot 9 is changed, but the brief has 2 shots"):
        timeline(Brief(prompt="x", seconds=4, shots=[{"shot": 9}]))


def test_estimates_grow_with_the_work_and_say_where_they_come_from() -> None:
    footprint = Footprint(enhancer=10**8, upscaler=10**6)
    briefs = Brief(prompt="x", seconds=4), Brief(prompt="x", seconds=8, upscale=4)
    backend = NamedBackend(briefs[0].backend)
    rates = default_rates(backend.definition, "cpu")
    short, long = (estimate(brief, backend, rates, footprint) for brief in briefs)
    assert long.seconds > short.seconds
    assert long.disk_bytes > short.disk_bytes
    assert long.peak_memory_bytes >= short.peak_memory_bytes
    assert "not yet measured here" in short.basis


@pytest.mark.parametrize("text", ["", "A" * 64, "g" * 64, "a" * 63, "a" * 64 + "\n"])
def test_a_digest_refuses_nonsense(text: str) -> None:
    with pytest.raises(ValueError, match="SHA-256"):
        Digest(text)


@pytest.mark.parametrize(
    "text",
    ["", "/chunks/x", "chunks/../x", f"chunks/{'a' * 64}.avi", f"videos/{'a' * 64}/x.mp4"],
)
def test_a_key_refuses_what_is_outside_the_layout(text: str) -> None:
    with pytest.raises(ValueError, match="layout"):
        ObjectKey(text)


def test_shots_by_hand_share_the_length_and_may_have_seeds() -> None:
    hand = [{"prompt": "a fox", "seed": 7}, {"prompt": "a bear"}]
    brief = Brief.model_validate({"prompt": "x", "seconds": 8, "storyboard": hand})
    transitions = [slot.transition for slot in timeline(brief)]
    written = write_storyboard(brief, transitions, 1, None, no_shot, keep, str)
    assert [shot.prompt for shot in written.shots] == ["a fox", "a fox", "a bear", "a bear"]
    assert {shot.source for shot in written.shots} == {"editor"}
    plan = plan_brief(brief, written)
    assert plan.chunks[0].request.seed == 7
    assert len(set(digests(plan))) == 4  # no take is shown twice


def test_more_shots_by_hand_than_chunks_are_refused() -> None:
    brief = Brief.model_validate(
        {"prompt": "x", "seconds": 2, "storyboard": [{"prompt": "a"}, {"prompt": "b"}]}
    )
    with pytest.raises(BriefError, match=r"2 shots are given by hand.*room for 1.*more seconds"):
        timeline(brief)


def test_a_video_that_stands_in_is_another_video_of_the_same_chunks() -> None:
    plain, stand_in = plan_of(), plan_of(stands_in_for="t2v-1.3B")
    assert digests(plain) == digests(stand_in)
    assert plain.content_id != stand_in.content_id


def no_shot(_: Digest) -> Shot | None:
    return None


def keep(_: Digest, __: Shot) -> None:
    raise AssertionError("nothing was written")


@given(
    st.sampled_from(["video_fast", "video_high", "video_turbo", "video_picture"]),
    st.floats(0.5, 30),
)
def test_a_last_chunk_that_dissolves_has_a_keyframe_where_it_is_cut(
    preset: str, seconds: float
) -> None:
    upload = f"uploads/{'a' * 64}.png"
    values = {"prompt": "x", "preset": preset, "joins": "crossfade", "seconds": seconds}
    brief = Brief.model_validate(values | {"image": upload, "last_image": upload})
    can = brief.backend.capabilities
    for slot in timeline(brief):
        assert can.is_length(slot.frames)
        assert slot.blend in (0, fade_of(slot.frames, can.fps))


def test_a_backend_that_needs_a_picture_never_cuts_back_to_it() -> None:
    upload = f"uploads/{'a' * 64}.png"
    values = {"preset": "video_picture", "image": upload, "joins": "continue", "seconds": 60}
    plan = plan_of(**values)
    assert [chunk.transition for chunk in plan.chunks[1:]] == ["continue"] * (len(plan.chunks) - 1)


def test_options_that_have_their_default_are_in_no_digest() -> None:
    request = plan_of(preset="video_fast").chunks[0].request
    assert set(request.options) == {"steps", "guidance", "flow_shift"}
    assert (
        "lora_strength" in plan_of(preset="video_fast", lora_strength=0.5).chunks[0].request.options
    )
