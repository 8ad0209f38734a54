"""The demo model's latents: each cell says what is there, as the scene has it."""

import numpy as np
import pytest
import torch

from pipelines.training.dataset import Painted
from pipelines.training.layout import (
    AT,
    CAMERA,
    CELL,
    CELLS,
    CHANNELS,
    CODE,
    COLOUR,
    GROUP,
    GROWTH,
    LOOK,
    MASK,
    PLACE,
    RADIUS,
    WAY,
    code_of,
    groups_of,
    lay_out,
    lay_out_at,
)
from pipelines.training.motion import Lesson
from pipelines.training.places import PLAIN
from pipelines.training.things import THINGS
from pipelines.training.world import (
    BOB,
    COLOURS,
    SHAPES,
    SPEED,
    Clip,
    Scene,
    Track,
    path_of,
    random_clip,
    random_scene,
    render,
)

FOX = Clip(Scene("fox", "", "right", "black"), Track(30, 48, 20))


def inside(latent: np.ndarray) -> np.ndarray:
    """Cells wholly in the thing's square."""
    return np.asarray(latent[MASK] == 1)


def test_latent_frames_are_one_frame_and_then_four() -> None:
    assert groups_of(1) == [slice(0, 1)]
    assert groups_of(9) == [slice(0, 1), slice(1, 5), slice(5, 9)]
    assert lay_out(FOX, 33).shape == (9, CHANNELS, CELLS, CELLS)


def test_any_two_things_differ_in_four_bits_or_more() -> None:
    names = [*SHAPES, *(thing.names[0] for thing in THINGS)]
    codes = np.stack([code_of(name) for name in names])
    apart = (codes[:, None] != codes[None]).sum(-1)
    assert apart[~np.eye(len(names), dtype=bool)].min() >= 4
    with pytest.raises(ValueError, match="gryphon"):
        code_of("gryphon")


def test_the_cells_of_a_thing_carry_its_code_and_where_in_it_they_are() -> None:
    first = lay_out(FOX, 9)[0]
    cells = inside(first)
    assert cells.sum() == 5 * 6  # whose middles lie in the square of 40 pixels
    assert (first[:CODE, cells] == code_of("fox")[:, None]).all()
    rows, columns = np.nonzero(cells)
    np.testing.assert_allclose(first[AT][0, cells], (columns * CELL + CELL / 2 - 30) / 20)
    np.testing.assert_allclose(first[AT][1, cells], (rows * CELL + CELL / 2 - 48) / 20)
    assert (first[:CODE, first[MASK] == 0] == 0).all()
    assert ((first[MASK] > 0) & (first[MASK] < 1)).sum() > 0  # it fades over a cell


def test_what_moves_says_how_except_in_the_first_frame() -> None:
    still, moving, _ = lay_out(FOX, 9)
    assert not still[WAY].any()
    assert not still[GROWTH].any()
    assert (moving[WAY][0, inside(moving)] == 1).all()
    assert (moving[WAY][1] == 0).all()
    grow = lay_out(Clip(FOX.scene._replace(movement="grow"), FOX.track), 5)[1]
    np.testing.assert_allclose(grow[GROWTH][inside(grow)], 1, atol=1e-5)
    assert (grow[RADIUS] > 0).any()


def test_the_square_is_where_the_thing_is_in_the_middle_of_its_frames() -> None:
    for movement in ("right", "up", "bob"):
        clip = Clip(FOX.scene._replace(movement=movement), Track(48, 48, 20))
        latents, path = lay_out(clip, 17), path_of(clip, 17)
        for latent, group in zip(latents[1:], groups_of(17)[1:], strict=True):
            cells = inside(latent)
            rows, columns = np.nonzero(cells)
            x = columns * CELL + CELL / 2 - 20 * latent[AT][0, cells]
            y = rows * CELL + CELL / 2 - 20 * latent[AT][1, cells]
            np.testing.assert_allclose([x.mean(), y.mean()], path[group, :2].mean(0), atol=1e-3)
    assert BOB[1] % GROUP == 0


def test_a_thing_that_leaves_comes_in_at_the_other_edge_and_is_never_at_both() -> None:
    for latent in lay_out(Clip(FOX.scene, Track(60, 48, 20)), 97):
        assert not (latent[MASK][:, 0].any() and latent[MASK][:, -1].any())


def test_a_pan_moves_the_place_and_not_the_thing() -> None:
    scene = Scene("fox", "", "pan right", "night city")
    first, second, third = lay_out(Clip(scene, Track(48, 48, 20), 3), 9)
    assert first[CAMERA].max() == 0
    assert (second[CAMERA] == 1).all()
    assert (second[MASK] == third[MASK]).all()
    assert np.abs(second[PLACE] - third[PLACE]).max() > 0.1
    left = lay_out(Clip(scene._replace(movement="pan left"), Track(48, 48, 20), 3), 9)[1]
    assert (left[CAMERA] == -1).all()


def test_a_thing_looks_where_it_goes_and_shapes_nowhere() -> None:
    def look(thing: str, movement: str) -> float:
        colour = "red" if thing in SHAPES else ""
        latent = lay_out(Clip(Scene(thing, colour, movement, "sky"), Track(48, 48, 20)), 1)[0]
        return float(latent[LOOK].sum())

    assert look("cat", "left") < 0 < look("cat", "right")
    assert look("cat", "up") < 0  # as it is drawn
    assert look("circle", "left") == look("fox", "left") == 0


def test_colours_and_places_are_those_of_the_pixels() -> None:
    latent = lay_out(Clip(Scene("circle", "red", "right", "brown"), Track(48, 48, 20)), 1)[0]
    red = np.asarray(COLOURS["red"]) / 127.5 - 1
    assert np.abs(latent[COLOUR][:, inside(latent)].T - red).max() < 1e-5
    brown = np.asarray(PLAIN["brown"]) / 127.5 - 1
    assert np.abs(latent[PLACE].reshape(3, -1).T - brown).max() < 1e-4


def test_a_latent_frame_can_say_where_a_thing_is_a_little_later() -> None:
    before, middle, after = lay_out_at(FOX, 9, 1, (-1.0, 0.0, 1.0))
    np.testing.assert_allclose(middle, lay_out(FOX, 9)[1])
    np.testing.assert_allclose(after, lay_out_at(moved(FOX, SPEED), 9, 1)[0], atol=1e-5)
    np.testing.assert_allclose(before, lay_out_at(moved(FOX, -SPEED), 9, 1)[0], atol=1e-5)


def moved(clip: Clip, across: float) -> Clip:
    return Clip(clip.scene, clip.track._replace(x=clip.track.x + across), clip.place)


def painted(count: int = 6) -> Painted:
    rng = np.random.default_rng(0)
    clips = [random_clip(rng, random_scene(rng, 10), anywhere=False) for _ in range(count)]
    return Painted(
        clips,
        torch.from_numpy(np.stack([render(clip, 17) for clip in clips])),
        torch.from_numpy(np.stack([lay_out(clip, 17) for clip in clips])),
        np.arange(count),
    )


def test_crops_are_the_frames_of_their_latents() -> None:
    pool = painted(2)
    ones, fours = pool.crops(np.random.default_rng(3), 2, 6, 2)
    assert ones[0].shape == (2, 1, 3, 48, 48)
    assert fours[0].shape == (4, 4, 3, 48, 48)
    for frames, latents in (ones, fours):
        place = frames.unflatten(-1, (6, 8)).unflatten(-3, (6, 8)).mean((1, 4, 6))
        empty = latents[:, MASK] == 0
        assert empty.any()
        apart = (place - latents[:, PLACE]).abs().amax(1)
        assert apart[empty].max() < 0.2


def test_squares_around_things_are_cut_alike_from_pixels_and_latents() -> None:
    part = painted().around(np.random.default_rng(1), 6, 7, 4)
    assert part.frames.shape == (6, 4, 3, 56, 56)
    cut = part.cut(part.latents)
    assert cut.shape == (6, CHANNELS, 7, 7)
    assert (cut[:, MASK].amax((1, 2)) > 0.9).all()
    place = part.frames.unflatten(-1, (7, 8)).unflatten(-3, (7, 8)).mean((1, 4, 6))
    apart = (place - cut[:, PLACE]).abs().amax(1)
    assert apart[cut[:, MASK] == 0].max() < 0.2
    for (top, left), seen in zip(part.corners, part.seen(4)[:, 0, 0], strict=True):
        assert seen[28, 28] == 1
        assert bool(seen[0, 28]) == (top == 0)
        assert bool(seen[28, -1]) == (left == CELLS - 7)


def test_a_lesson_counts_the_difference_of_halves_as_much_as_their_mean() -> None:
    torch.manual_seed(0)
    mean, way = torch.randn(4, 3, 5, 5), 0.01 * torch.randn(4, 3, 5, 5)
    both = torch.stack([mean + way, mean - way], dim=1)
    lesson = Lesson(mean, both, torch.ones(4, 1, 5, 5), lambda x: x)
    picks = torch.arange(4)
    assert lesson.loss(both, picks) < 1e-6
    still = torch.stack([mean, mean], dim=1)
    assert 0.9 < lesson.loss(still, picks) < 1.1
    swapped = both.flip(1)
    assert lesson.loss(swapped, picks) > 3.5
