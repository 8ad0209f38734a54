"""Broken chunks are found and made again; joins get figures that mean what a person sees."""

import numpy as np
import pytest

from pipelines.backends.base import Frame, GeneratedClip
from pipelines.errors import BadFramesError
from pipelines.quality.continuing import dissolve, go_on
from pipelines.quality.gate import judge
from pipelines.quality.seams import MAX_SEAM, seam_between, seams_in
from pipelines.quality.takes import FromChunk, choose_take, seed_of_take
from pipelines.schema.computation import Computation
from pipelines.schema.plan import ChunkSpec
from pipelines.schema.request import ClipRequest, Continuation
from pipelines.schema.sizes import Size
from tests.support.pictures import moving_frames

SIZE = Size(128, 64)
REQUEST = ClipRequest(prompt="a", negative="b", size=SIZE, fps=16, frames=17, seed=7)
SPEC = ChunkSpec(backend="any", identity={}, request=REQUEST)
_GOING_ON = (Continuation(chunk=SPEC.digest, frames=1),)
CONTINUED = SPEC.model_copy(update={"request": REQUEST.model_copy(update={"inputs": _GOING_ON})})


def good(count: int = 17, seed: int = 0) -> list[Frame]:
    return list(moving_frames(SIZE, count, seed))


def black() -> list[Frame]:
    return [np.zeros_like(frame) for frame in good()]


def frozen() -> list[Frame]:
    return [good()[0]] * 17


def flickering() -> list[Frame]:
    return [(frame * (0.85 if i % 2 else 1.0)).astype(np.uint8) for i, frame in enumerate(good())]


@pytest.mark.parametrize(
    ("frames", "fault"), [(black, "black"), (frozen, "frozen"), (flickering, "flicker")]
)
def test_a_broken_chunk_is_named(frames: object, fault: str) -> None:
    assert fault in judge(frames(), 7).faults  # type: ignore[operator]


def test_what_may_look_broken_and_is_not_passes() -> None:
    night = [np.where(frame > 250, frame, frame // 12) for frame in good()]
    fade_in = [(frame * min(1.0, i / 8)).astype(np.uint8) for i, frame in enumerate(good())]
    rng = np.random.default_rng(0)
    still_life = [
        np.clip(good()[0] + rng.normal(0, 1.5, good()[0].shape), 0, 255).astype(np.uint8)
        for _ in range(17)
    ]
    for frames in (good(), night, fade_in, still_life, good(1)):
        assert judge(frames, 7).faults == ()


def renders(*takes: list[Frame] | BadFramesError) -> tuple[list[int], object]:
    """A renderer that hands out `takes` in turn, and the seeds that it was asked for."""
    seeds: list[int] = []

    def render(spec: ChunkSpec) -> GeneratedClip:
        take = takes[len(seeds)]
        seeds.append(spec.request.seed)
        if isinstance(take, BadFramesError):
            raise take
        return GeneratedClip(iter(take), "resident")

    return seeds, render


def test_a_good_first_take_is_the_only_one() -> None:
    seeds, render = renders(good())
    chosen = choose_take(SPEC, "cut", None, render)
    assert (seeds, chosen.kept, len(chosen.takes)) == ([7], 0, 1)


def test_broken_takes_are_made_again_with_seeds_that_can_be_repeated() -> None:
    seeds, render = renders(BadFramesError("nan"), frozen(), good())
    chosen = choose_take(SPEC, "cut", None, render)
    assert seeds == [seed_of_take(7, attempt) for attempt in range(3)]
    assert len(set(seeds)) == 3
    assert [take.faults for take in chosen.takes] == [("non-finite",), ("frozen",), ()]
    assert chosen.kept == 2
    assert (np.stack(chosen.frames) == np.stack(good())).all()


def test_a_chunk_says_how_the_take_that_was_kept_was_computed() -> None:
    made = [Computation(attention=name, compiled=False) for name in ("sage", "native")]
    takes = iter(zip((frozen(), good()), made, strict=True))

    def render(_: ChunkSpec) -> GeneratedClip:
        frames, how = next(takes)
        return GeneratedClip(iter(frames), "resident", computation=how)

    chosen = choose_take(SPEC, "cut", None, render)
    assert (chosen.kept, chosen.computation) == (1, made[1])


def test_of_broken_takes_the_best_is_kept() -> None:
    _, render = renders(black(), flickering(), frozen())
    chosen = choose_take(SPEC, "cut", None, render)
    assert len(chosen.takes) == 3
    assert chosen.takes[chosen.kept].faults == ("flicker",)


def test_a_chunk_that_shows_nothing_is_an_error_that_names_every_take() -> None:
    _, render = renders(black(), BadFramesError("nan"), black())
    with pytest.raises(BadFramesError, match=r"seed 7: black.*non-finite"):
        choose_take(SPEC, "cut", None, render)


def test_where_each_take_is_paid_for_there_is_one() -> None:
    seeds, render = renders(frozen(), good())
    chosen = choose_take(SPEC, "cut", None, render, retries=0)
    assert (len(seeds), chosen.takes[0].faults) == (1, ("frozen",))


def split(count: int) -> tuple[FromChunk, list[Frame]]:
    """A film's first frames as the earlier chunk; the rest with the overlapping frame."""
    film = good(17 + count)
    return FromChunk(film[:17], film[16:17]), film[16:]


def test_a_continued_chunk_loses_the_frame_that_it_repeats() -> None:
    earlier, rest = split(16)
    _, render = renders(rest)
    chosen = choose_take(CONTINUED, "continue", earlier, render)
    assert len(chosen.frames) == 16 == CONTINUED.request.new_frames
    assert chosen.made == "continue"
    assert chosen.takes[0].seam < 2


def test_a_join_that_jumps_is_made_again_and_at_last_dissolved() -> None:
    earlier, rest = split(16)
    other = [earlier.overlap[0], *good(16, seed=5)]
    seeds, render = renders(other, rest)
    chosen = choose_take(CONTINUED, "continue", earlier, render)
    assert [take.faults for take in chosen.takes] == [("seam",), ()]
    assert (len(seeds), chosen.made) == (2, "continue")

    _, render = renders(other, other, other)
    hidden = choose_take(CONTINUED, "continue", earlier, render)
    assert (hidden.made, len(hidden.frames)) == ("crossfade", 16)
    raw = seam_between(earlier.film, other[1:]).score
    assert seam_between(earlier.film, hidden.frames).score < raw / 3


def test_colours_that_drifted_are_those_of_the_chunk_before() -> None:
    earlier, rest = split(16)
    drifted = [np.clip(frame * 0.9 + 18, 0, 255).astype(np.uint8) for frame in rest]
    matched = go_on(drifted, earlier.overlap)
    error = np.abs(np.stack(matched).astype(int) - np.stack(rest[1:])).mean()
    assert error < 1.5
    assert np.abs(np.stack(drifted[1:]).astype(int) - np.stack(rest[1:])).mean() > 5


def test_a_thing_that_is_drawn_differently_leaves_the_colours_around_it_alone() -> None:
    """A white square on brown that is grey and smaller in the repetition."""
    earlier = np.full((64, 128, 3), (130, 84, 48), np.uint8)
    repeated = earlier.copy()
    earlier[16:48, 40:72], repeated[22:40, 46:70] = 250, 150
    new = go_on([repeated, repeated], [earlier])[0]
    assert new[0, 0].tolist() == [130, 84, 48]
    assert new[30, 60].tolist() == [150, 150, 150]


def test_a_dissolve_neither_adds_nor_loses_frames() -> None:
    frames = good(16)
    mixed = dissolve(good(1, seed=3)[0], frames, 16)
    assert len(mixed) == 16
    assert (np.stack(mixed[8:]) == np.stack(frames[8:])).all()
    assert not (mixed[0] == frames[0]).all()


def fast_cut(kind: str) -> list[Frame]:
    """A film of 34 frames with a join after frame 17."""
    film, other = good(34), good(34, seed=9)
    after = {
        "none": film[17:],
        "cut": other[17:],
        "hue": [np.roll(frame, 1, axis=-1) for frame in film[17:]],
        "darker": [(frame * 0.7).astype(np.uint8) for frame in film[17:]],
        "jump": [np.roll(frame, 12, axis=1) for frame in film[17:]],
        "back": film[1:18],
    }[kind]
    return film[:17] + after


def test_a_join_that_nobody_sees_scores_about_one() -> None:
    seam = seam_between(fast_cut("none")[:17], fast_cut("none")[17:])
    assert seam.score < 1.5


@pytest.mark.parametrize(
    ("kind", "measure"),
    [("cut", "structure"), ("hue", "colour"), ("darker", "colour"), ("back", "motion")],
)
def test_a_join_that_jumps_scores_high_in_what_jumped(kind: str, measure: str) -> None:
    film = fast_cut(kind)
    seam = seam_between(film[:17], film[17:])
    assert getattr(seam, measure) > 2.5
    assert seam.score >= getattr(seam, measure)
    if kind in ("cut", "hue", "darker"):
        assert seam.score > MAX_SEAM


def test_every_join_of_a_film_is_measured_against_the_rest() -> None:
    film = [*good(17), *good(17, seed=4), *good(17, seed=4)[-1:] * 1]
    seams = seams_in(iter(film), [(16, 16), (33, 33)])
    assert seams[0].score > MAX_SEAM > seams[1].score
