"""How chunks meet: the arithmetic of every mode, and crossfades that are exact to the frame."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import BriefError, MediaError
from pipelines.joining import CHUNK_CRF, CHUNK_SPEED, copy_part, pieces_of, score_joins
from pipelines.media.codec import clip_writer
from pipelines.media.ffmpeg import Ffmpeg
from pipelines.media.still import stack_png, unstack_png
from pipelines.planning.plan import Weights, frames_of, make_plan, timeline
from pipelines.prompting.storyboard import write_storyboard
from pipelines.quality.seams import MAX_SEAM
from pipelines.schema.brief import Brief
from pipelines.schema.manifest import ChunkRecord, StoredObject
from pipelines.schema.parsing import parse_brief
from pipelines.schema.plan import Plan, digest_of
from pipelines.schema.presets import MAX_EXTENSIONS, Size, fade_of
from pipelines.stitching import stitch
from tests.pictures import decode, moving_frames, numbered_frames, read_number, timestamps

WEIGHTS = Weights(digest_of("wan"), "float32", "esrgan", digest_of("esrgan"), "float32")


def plan_of(brief: Brief) -> Plan:
    joins = [slot.join for slot in timeline(brief)]
    storyboard = write_storyboard(brief, joins, 1, None, lambda _: None, lambda *_: None)
    return make_plan(brief, storyboard, WEIGHTS)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(["cut", "continue", "crossfade"]),
    st.sampled_from([9, 13, 17, 33, 77]),
    st.floats(0.5, 60),
    st.sampled_from(["demo", "video_high"]),
)
def test_every_mode_gives_exactly_the_asked_frames(
    joins: str, frames: int, seconds: float, preset: str
) -> None:
    brief = Brief(prompt="x", seconds=seconds, joins=joins, frames=frames, preset=preset)
    plan = plan_of(brief)
    assert plan.frames == frames_of(brief) == round(16 * seconds)
    position = 0
    for chunk in plan.chunks:
        span = plan.span_of(chunk)
        assert (span.start, span.frames > 0) == (position, True)
        position += span.frames
        assert chunk.blend + chunk.keep <= chunk.spec.new_frames
    assert position == plan.frames
    for chunk in plan.chunks[:-1]:
        assert chunk.blend + chunk.keep == chunk.spec.new_frames


def test_a_continued_chunk_is_known_by_what_it_continues() -> None:
    brief = Brief(prompt="x", seconds=6, joins="continue")
    plan, other = plan_of(brief), plan_of(brief.model_copy(update={"seed": 5}))
    first, second, third = (chunk.spec for chunk in plan.chunks)
    assert first.conditioning is None
    assert getattr(second.conditioning, "chunk", None) == first.digest
    assert getattr(third.conditioning, "chunk", None) == second.digest
    assert {c.spec.digest for c in plan.chunks}.isdisjoint(c.spec.digest for c in other.chunks)
    changed = parse_brief(
        {"prompt": "x", "seconds": 6, "joins": "continue", "shots": [{"shot": 2, "seed": 9}]}
    )
    digests = [chunk.spec.digest for chunk in plan_of(changed).chunks]
    assert [a == b.spec.digest for a, b in zip(digests, plan.chunks, strict=True)] == [
        *(True, False, False)
    ]


def test_the_first_chunk_is_shared_by_all_modes() -> None:
    plans = [
        plan_of(Brief(prompt="x", seconds=6, joins=j)) for j in ("cut", "continue", "crossfade")
    ]
    assert len({plan.chunks[0].spec.digest for plan in plans}) == 1
    assert plans[0].chunks[1].spec.digest == plans[2].chunks[1].spec.digest
    assert len({plan.content_id for plan in plans}) == 3


def test_after_five_extensions_comes_a_cut() -> None:
    brief = Brief(prompt="x", seconds=30, joins="continue")
    joins = [slot.join for slot in timeline(brief)]
    assert joins[:8] == ["cut"] + ["continue"] * MAX_EXTENSIONS + ["cut", "continue"]
    shots = plan_of(brief).chunks
    assert shots[6].spec.conditioning is None


def test_the_studios_chunks_continue_by_five_frames_of_vace() -> None:
    brief = Brief(prompt="x", seconds=4, joins="continue", preset="video_high")
    conditioning = plan_of(brief).chunks[1].spec.conditioning
    assert conditioning is not None
    assert (conditioning.method, conditioning.frames) == ("vace", 5)


def test_a_shot_that_goes_on_keeps_its_words_until_the_editor_gives_others() -> None:
    brief = parse_brief(
        {
            "prompt": "a fox",
            "seconds": 8,
            "joins": "continue",
            "shots": [{"shot": 3, "prompt": "the fox jumps"}],
        }
    )
    prompts = [chunk.spec.prompt for chunk in plan_of(brief).chunks]
    assert prompts[0] == prompts[1]
    assert prompts[2] == prompts[3] == "the fox jumps"


@pytest.mark.parametrize("frames", [1, 5])
def test_chunks_too_short_to_continue_are_refused(frames: int) -> None:
    with pytest.raises(BriefError, match=f"9 frames or more, not {frames}"):
        parse_brief({"prompt": "x", "joins": "continue", "frames": frames})


def test_an_unknown_join_is_refused() -> None:
    with pytest.raises(BriefError, match="joins 'wipe'"):
        parse_brief({"prompt": "x", "joins": "wipe"})


SIZE = Size(64, 64)


def write_chunks(ffmpeg: Ffmpeg, plan: Plan, folder: Path, kind: object) -> list[Path]:
    paths = []
    for chunk in plan.chunks:
        path = folder / f"chunk_{chunk.number}.mp4"
        length = chunk.spec.new_frames
        fade = fade_of(chunk.spec.frames)
        with clip_writer(
            ffmpeg, path, plan.size, length, crf=CHUNK_CRF, speed=CHUNK_SPEED, keyframe=fade
        ) as write:
            for frame in kind(chunk.number, length):  # type: ignore[operator]
                write(frame)
        paths.append(path)
    return paths


def numbers(chunk: int, length: int) -> object:
    return numbered_frames(SIZE, length, 100 * chunk)


def test_a_crossfade_keeps_every_other_frame_and_blends_in_between(
    ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    plan = plan_of(Brief(prompt="x", seconds=6, joins="crossfade", frames=33))
    clips = write_chunks(ffmpeg, plan, tmp_path, numbers)
    film = tmp_path / "film.mp4"
    stitch(ffmpeg, pieces_of(ffmpeg, plan, clips, tmp_path), film, frames=plan.frames)
    frames = decode(film)
    assert len(frames) == 96
    assert timestamps(film) == [index / 16 for index in range(96)]
    assert [read_number(frame) for frame in frames[:25]] == list(range(100, 125))
    assert [read_number(frame) for frame in frames[33:50]] == list(range(208, 225))
    assert read_number(frames[58]) == 308
    old, new = decode(clips[0])[-8:], decode(clips[1])[:8]
    for index in range(8):
        share = (index + 1) / 9
        expected = old[index] * (1 - share) + new[index] * share
        assert np.abs(frames[25 + index] - expected).mean() < 3


def test_only_crossfades_are_encoded_again(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    for joins in ("cut", "continue"):
        plan = plan_of(Brief(prompt="x", seconds=3, joins=joins, frames=17))
        folder = tmp_path / joins
        folder.mkdir()
        clips = write_chunks(ffmpeg, plan, folder, numbers)
        assert pieces_of(ffmpeg, plan, clips, folder) == clips


def test_a_part_that_does_not_begin_at_a_keyframe_is_noticed(
    ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    plan = plan_of(Brief(prompt="x", seconds=2, frames=33))
    (clip,) = write_chunks(ffmpeg, plan, tmp_path, numbers)
    whole = decode(clip)
    copy_part(ffmpeg, clip, tmp_path / "part.mp4", SIZE, start=8, frames=20)
    part = decode(tmp_path / "part.mp4")
    assert (np.stack(part) == np.stack(whole[8:28])).all()
    with pytest.raises(MediaError, match="before frame 5, which is no keyframe"):
        copy_part(ffmpeg, clip, tmp_path / "wrong.mp4", SIZE, start=5, frames=30)


def records(plan: Plan) -> list[ChunkRecord]:
    thing = StoredObject(
        key=plan.chunks[0].spec.key, size=1, sha256=digest_of("x"), content_type="video/mp4"
    )
    return [
        ChunkRecord(
            object=thing,
            beside=(),
            digest=chunk.spec.digest,
            seed=1,
            frames=chunk.spec.new_frames,
            made=True,
            seconds=0,
            memory="resident",
            join=chunk.join,
            takes=(),
        )
        for chunk in plan.chunks
    ]


@pytest.mark.parametrize("joins", ["cut", "continue", "crossfade"])
def test_each_join_of_the_film_gets_a_figure(ffmpeg: Ffmpeg, tmp_path: Path, joins: str) -> None:
    plan = plan_of(Brief(prompt="x", seconds=3, joins=joins, frames=17, size="128*128"))
    film = list(moving_frames(plan.size, 48))

    def pictures(chunk: int, length: int) -> object:
        if joins == "continue":
            start = sum(c.keep for c in plan.chunks[: chunk - 1])
            return (film + film)[start : start + length]
        return moving_frames(plan.size, length, seed=chunk)

    clips = write_chunks(ffmpeg, plan, tmp_path, pictures)
    path = tmp_path / "film.mp4"
    stitch(ffmpeg, pieces_of(ffmpeg, plan, clips, tmp_path), path, frames=plan.frames)
    found = score_joins(ffmpeg, plan, path, records(plan))
    assert [join.number for join in found] == list(range(1, len(plan.chunks)))
    assert [join.made for join in found] == [joins] * len(found)
    assert [join.frame for join in found] == [plan.span_of(c).start for c in plan.chunks[1:]]
    scores = [join.seam.score for join in found]
    assert all(score > MAX_SEAM for score in scores) == (joins == "cut")


def test_raw_frames_come_back_to_the_bit() -> None:
    frames = list(moving_frames(SIZE, 5))
    again = unstack_png(stack_png(frames), 5)
    assert all((a == b).all() for a, b in zip(again, frames, strict=True))
    with pytest.raises(MediaError, match="cannot be 3"):
        unstack_png(stack_png(frames[:1]), 3)
    with pytest.raises(MediaError, match="cannot be read"):
        unstack_png(b"junk", 1)
