"""How chunks meet: the arithmetic of every mode, and crossfades that are exact to the frame."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipelines.backends.base import BackendDefinition, Frame
from pipelines.backends.registry import definition_of, presets, registered
from pipelines.documents.brief import Brief
from pipelines.documents.manifest import ChunkRecord, StoredObject
from pipelines.documents.parsing import parse_brief
from pipelines.errors import BriefError, MediaError
from pipelines.media.codec import clip_writer
from pipelines.media.ffmpeg import Ffmpeg
from pipelines.media.still import stack_png, unstack_png
from pipelines.planning.plan import frames_of, make_plan, timeline
from pipelines.prompting.storyboard import write_storyboard
from pipelines.quality.seams import MAX_SEAM
from pipelines.quality.transitions import score_transitions
from pipelines.schema.keys import Digest
from pipelines.schema.plan import Plan, PlannedChunk, digest_of
from pipelines.schema.presets import MAX_EXTENSIONS, BackendOptions, fade_of
from pipelines.schema.sizes import Size
from pipelines.stitching.concat import stitch
from pipelines.stitching.pieces import CHUNK_CRF, CHUNK_SPEED, ChunkClip, copy_part, pieces_of
from tests.support.pictures import decode, moving_frames, numbered_frames, read_number, timestamps

RATES = (8, 24)
"""Frames a second of backends beside the demo's 16: `demo-8` and `demo-24` are presets of them."""


@dataclass(frozen=True)
class PlanningBackend:
    """A stand-in that knows what plans ask for: identity and capabilities. It makes no clip."""

    definition: BackendDefinition

    def identity(self, options: BackendOptions) -> Mapping[str, str]:
        return {"transformer": digest_of(self.definition.name)}


def at_rate(fps: int) -> BackendDefinition:
    """The demo's backend with another frame rate."""
    preset = presets()["demo"]
    demo, name = definition_of(preset), f"demo-{fps}"
    return replace(
        demo,
        name=name,
        capabilities=demo.capabilities.model_copy(update={"fps": fps}),
        presets=(preset.model_copy(update={"name": name, "backend": name}),),
        stand_in=False,
    )


@pytest.fixture(autouse=True, scope="module")
def backends() -> Iterator[None]:
    with ExitStack() as stack:
        for fps in RATES:
            stack.enter_context(registered(at_rate(fps)))
        yield


def plan_of(brief: Brief) -> Plan:
    transitions = [slot.transition for slot in timeline(brief)]
    storyboard = write_storyboard(brief, transitions, 1, None, lambda _: None, lambda *_: None, str)
    return make_plan(brief, storyboard, PlanningBackend(brief.backend), None)  # type: ignore[arg-type]


@settings(max_examples=60)
@given(
    st.sampled_from(["cut", "continue", "crossfade"]),
    st.sampled_from([9, 13, 17, 33, 77]),
    st.floats(0.5, 60),
    st.sampled_from(["demo", "video_high", *(f"demo-{fps}" for fps in RATES)]),
)
def test_every_mode_gives_exactly_the_asked_frames(
    joins: str, frames: int, seconds: float, preset: str
) -> None:
    # A continued chunk of Wan 2.1 repeats 5 frames, and the next one goes on from 5 new ones.
    assume(joins != "continue" or preset != "video_high" or frames >= 13)
    brief = Brief(prompt="x", seconds=seconds, joins=joins, frames=frames, preset=preset)
    plan = plan_of(brief)
    fps = int(preset.partition("-")[2] or 16)
    assert plan.fps == fps
    assert plan.frames == frames_of(brief) == round(fps * seconds)
    position = 0
    for chunk in plan.chunks:
        span = plan.span_of(chunk)
        assert (span.start, span.frames > 0) == (position, True)
        position += span.frames
        assert chunk.blend + chunk.frame_count <= chunk.request.new_frames
    assert position == plan.frames
    for chunk in plan.chunks[:-1]:
        assert chunk.blend + chunk.frame_count == chunk.request.new_frames


def continued(chunk: PlannedChunk) -> Digest | None:
    """The chunk that it goes on from."""
    given = chunk.request.continuation
    return given.chunk if given else None


def test_a_continued_chunk_is_known_by_what_it_continues() -> None:
    brief = Brief(prompt="x", seconds=6, joins="continue")
    plan, other = plan_of(brief), plan_of(brief.model_copy(update={"seed": 5}))
    first, second, third = (chunk for chunk in plan.chunks)
    assert first.request.continuation is None
    assert continued(second) == first.digest
    assert continued(third) == second.digest
    assert {c.digest for c in plan.chunks}.isdisjoint(c.digest for c in other.chunks)
    changed = parse_brief(
        {"prompt": "x", "seconds": 6, "joins": "continue", "shots": [{"shot": 2, "seed": 9}]}
    )
    digests = [chunk.digest for chunk in plan_of(changed).chunks]
    assert [a == b.digest for a, b in zip(digests, plan.chunks, strict=True)] == [
        *(True, False, False)
    ]


def test_the_first_chunk_is_shared_by_all_modes() -> None:
    plans = [
        plan_of(Brief(prompt="x", seconds=6, joins=j)) for j in ("cut", "continue", "crossfade")
    ]
    assert len({plan.chunks[0].digest for plan in plans}) == 1
    assert plans[0].chunks[1].digest == plans[2].chunks[1].digest
    assert len({plan.content_id for plan in plans}) == 3


def test_after_five_extensions_comes_a_cut() -> None:
    brief = Brief(prompt="x", seconds=30, joins="continue")
    transitions = [slot.transition for slot in timeline(brief)]
    assert transitions[:8] == ["cut"] + ["continue"] * MAX_EXTENSIONS + ["cut", "continue"]
    assert plan_of(brief).chunks[6].request.continuation is None


def test_the_studios_chunks_continue_by_five_frames_of_vace() -> None:
    brief = Brief(prompt="x", seconds=4, joins="continue", preset="video_high")
    continuation = plan_of(brief).chunks[1].request.continuation
    assert continuation is not None
    assert continuation.frames == 5


def test_a_shot_that_goes_on_keeps_its_words_until_the_editor_gives_others() -> None:
    brief = parse_brief(
        {
            "prompt": "a fox",
            "seconds": 8,
            "joins": "continue",
            "shots": [{"shot": 3, "prompt": "the fox jumps"}],
        }
    )
    prompts = [chunk.request.prompt for chunk in plan_of(brief).chunks]
    assert prompts[0] == prompts[1]
    assert prompts[2] == prompts[3] == "the fox jumps"


@pytest.mark.parametrize(
    ("preset", "frames", "least"), [("demo", 1, 5), ("video_high", 5, 13), ("demo-24", 1, 5)]
)
def test_chunks_too_short_to_continue_are_refused(preset: str, frames: int, least: int) -> None:
    """Of a chunk, what repeats the one before is dropped, and something new must remain."""
    with pytest.raises(BriefError, match=f"{least} frames or more, not {frames}"):
        parse_brief({"prompt": "x", "joins": "continue", "frames": frames, "preset": preset})


def test_an_unknown_join_is_refused() -> None:
    with pytest.raises(BriefError, match="joins 'wipe'"):
        parse_brief({"prompt": "x", "joins": "wipe"})


SIZE = Size(96, 96)
Kind = Callable[[int, int], Iterable[Frame]]
"""The pictures of a test's chunk: (its number, how many)."""


def write_chunks(ffmpeg: Ffmpeg, plan: Plan, folder: Path, kind: Kind) -> list[ChunkClip]:
    clips = []
    for chunk in plan.chunks:
        path = folder / f"chunk_{chunk.number}.mp4"
        length = chunk.request.new_frames
        options = {"fps": plan.fps, "crf": CHUNK_CRF, "speed": CHUNK_SPEED}
        fade = fade_of(chunk.request.frames, plan.fps)
        with clip_writer(ffmpeg, path, plan.size, length, keyframe=fade, **options) as write:
            for frame in kind(chunk.number, length):
                write(frame)
        clips.append(ChunkClip(path, length, chunk.blend, chunk.frame_count))
    return clips


def joined(ffmpeg: Ffmpeg, plan: Plan, clips: list[ChunkClip], folder: Path) -> Path:
    pieces = pieces_of(ffmpeg, clips, plan.size, plan.fps, folder)
    stitch(ffmpeg, pieces, folder / "film.mp4", fps=plan.fps, frames=plan.frames)
    return folder / "film.mp4"


def numbers(chunk: int, length: int) -> Iterator[Frame]:
    return numbered_frames(SIZE, length, 100 * chunk)


@pytest.mark.parametrize(("preset", "fade"), [("demo-8", 4), ("demo", 8), ("demo-24", 12)])
def test_a_crossfade_keeps_every_other_frame_and_blends_in_between(
    ffmpeg: Ffmpeg, tmp_path: Path, preset: str, fade: int
) -> None:
    """Three chunks of 33 frames, half a second of each lying over the one before."""
    fps = 2 * fade
    count = 99 - 2 * fade - 3
    plan = plan_of(
        Brief(prompt="x", seconds=count / fps, joins="crossfade", frames=33, preset=preset)
    )
    clips = write_chunks(ffmpeg, plan, tmp_path, numbers)
    film = joined(ffmpeg, plan, clips, tmp_path)
    frames, body = decode(film), 33 - 2 * fade
    assert timestamps(film) == [index / fps for index in range(count)]
    starts = {0: (100, 33 - fade), 33: (200 + fade, body), 66 - fade: (300 + fade, 33 - fade - 3)}
    for start, (number, length) in starts.items():
        found = [read_number(frame) for frame in frames[start : start + length]]
        assert found == list(range(number, number + length))
    old, new = decode(clips[0].path)[-fade:], decode(clips[1].path)[:fade]
    for index in range(fade):
        share = (index + 1) / (fade + 1)
        expected = old[index] * (1 - share) + new[index] * share
        assert np.abs(frames[33 - fade + index] - expected).mean() < 3


def test_only_crossfades_are_encoded_again(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    for joins in ("cut", "continue"):
        plan = plan_of(Brief(prompt="x", seconds=3, joins=joins, frames=17))
        folder = tmp_path / joins
        folder.mkdir()
        clips = write_chunks(ffmpeg, plan, folder, numbers)
        pieces = pieces_of(ffmpeg, clips, plan.size, plan.fps, folder)
        assert pieces == [clip.path for clip in clips]


def test_a_part_that_does_not_begin_at_a_keyframe_is_noticed(
    ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    plan = plan_of(Brief(prompt="x", seconds=2, frames=33))
    clip = write_chunks(ffmpeg, plan, tmp_path, numbers)[0].path
    whole = decode(clip)
    copy_part(ffmpeg, clip, tmp_path / "part.mp4", SIZE, fps=16, start=8, frames=20)
    part = decode(tmp_path / "part.mp4")
    assert (np.stack(part) == np.stack(whole[8:28])).all()
    with pytest.raises(MediaError, match="before frame 5, which is no keyframe"):
        copy_part(ffmpeg, clip, tmp_path / "wrong.mp4", SIZE, fps=16, start=5, frames=30)


def records(plan: Plan) -> list[ChunkRecord]:
    thing = StoredObject(
        key=plan.chunks[0].key, size=1, sha256=digest_of("x"), content_type="video/mp4"
    )
    return [
        ChunkRecord(
            object=thing,
            beside=(),
            digest=chunk.digest,
            seed=1,
            frames=chunk.request.new_frames,
            made=True,
            seconds=0,
            memory_mode="resident",
            transition=chunk.transition,
            takes=(),
        )
        for chunk in plan.chunks
    ]


@pytest.mark.parametrize("joins", ["cut", "continue", "crossfade"])
def test_each_transition_of_the_film_gets_a_figure(
    ffmpeg: Ffmpeg, tmp_path: Path, joins: str
) -> None:
    """Every cut to another picture jumps visibly; nothing jumps where the picture goes on, nor
    where it dissolves."""
    plan = plan_of(Brief(prompt="x", seconds=3, joins=joins, frames=17, size="128*128"))
    film = list(moving_frames(plan.size, 48))

    def pictures(chunk: int, length: int) -> Iterable[Frame]:
        if joins == "continue":
            start = sum(c.frame_count for c in plan.chunks[: chunk - 1])
            return (film + film)[start : start + length]
        return moving_frames(plan.size, length, seed=chunk)

    clips = write_chunks(ffmpeg, plan, tmp_path, pictures)
    path = joined(ffmpeg, plan, clips, tmp_path)
    found = score_transitions(ffmpeg, plan, path, records(plan))
    assert [item.number for item in found] == list(range(1, len(plan.chunks)))
    assert [item.made for item in found] == [joins] * len(found)
    assert [item.frame for item in found] == [plan.span_of(c).start for c in plan.chunks[1:]]
    scores = [item.seam.score for item in found]
    assert len(scores) >= 2
    jumps = [score > MAX_SEAM for score in scores]
    assert jumps == [joins == "cut"] * len(scores)


def test_raw_frames_come_back_to_the_bit() -> None:
    frames = list(moving_frames(SIZE, 5))
    again = unstack_png(stack_png(frames), 5)
    assert all((a == b).all() for a, b in zip(again, frames, strict=True))
    with pytest.raises(MediaError, match="cannot be 5"):
        unstack_png(stack_png(frames[:1]), 5)
    with pytest.raises(MediaError, match="cannot be read"):
        unstack_png(b"junk", 1)
