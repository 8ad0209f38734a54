"""The latents of the demo model's world: each 8x8 cell of a latent frame says what is there.

A VAE that chose its own latents made fine checkerboards, and a small transformer spent its training
on them: after 4,300 steps it drew blobs. Here the latents are computed from the scene. The decoder
learns to draw them, the encoder to read them off pixels, the transformer to arrange them, each
apart from the others and all at once.

A latent frame is one frame (the first) or four. What a single frame cannot show, how fast something
moves, is 0 in the first.
"""

from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt

from pipelines.training.places import SIDE
from pipelines.training.things import THINGS, in_colour, picture
from pipelines.training.world import (
    COLOURS,
    SHAPES,
    SPEED,
    SWELL,
    WAYS,
    Clip,
    Scene,
    looks,
    panorama,
    path_of,
    view,
)

CELL = 8
"""Pixels of a cell's side."""
CELLS = SIDE // CELL
GROUP = 4
"""Frames of every latent frame but the first."""
CODE = 12
"""Bits that name a thing; any two things differ in at least four of them."""
MASK, AT, RADIUS, LOOK, COLOUR = CODE, slice(13, 15), 15, 16, slice(17, 20)
WAY, GROWTH, CAMERA = slice(20, 22), 22, 23
PLACE, DETAIL = slice(24, 27), slice(27, 30)
CHANNELS = 30
_USUAL_RADIUS = 19.0
_PANS = {"pan right": 1.0, "pan left": -1.0}
Floats = npt.NDArray[np.float32]
_LUMA = np.asarray([0.299, 0.587, 0.114], np.float32)


@cache
def code_of(thing: str) -> Floats:
    """CODE values of -1 or 1. Raises ValueError for what is neither a shape nor a thing."""
    names = [*SHAPES, *(item.names[0] for item in THINGS)]
    return _codes(len(names))[names.index(thing)]


@cache
def _codes(count: int) -> Floats:
    """Words of CODE bits, in numerical order, that differ from all before in 4 bits or more."""
    words: list[int] = []
    for word in range(2**CODE):
        if all((word ^ other).bit_count() >= 4 for other in words):
            words.append(word)
        if len(words) == count:
            break
    bits = [[word >> bit & 1 for bit in range(CODE)] for word in words]
    return 2 * np.asarray(bits, np.float32) - 1


@lru_cache(maxsize=1024)
def colour_of(thing: str, colour: str) -> tuple[float, float, float]:
    """Mean colour of what is drawn, -1…1."""
    if thing in SHAPES:
        rgb = np.asarray(COLOURS[colour], np.float32)
    else:
        cell = picture(thing)
        if colour:
            cell = in_colour(cell, COLOURS[colour])
        cover = cell[..., 3:]
        rgb = (cell[..., :3] * cover).sum((0, 1)) / cover.sum()
    red, green, blue = (float(part) / 127.5 - 1 for part in rgb)
    return red, green, blue


def groups_of(frames: int) -> list[slice]:
    """The frames of each latent frame of a clip of 4k + 1 frames."""
    return [slice(0, 1), *(slice(at, at + GROUP) for at in range(1, frames, GROUP))]


def lay_out(clip: Clip, frames: int) -> Floats:
    """Latents of the first 4k + 1 frames: (k + 1) x CHANNELS x CELLS x CELLS."""
    return np.concatenate(
        [lay_out_at(clip, frames, index) for index in range(len(groups_of(frames)))]
    )


def lay_out_at(clip: Clip, frames: int, index: int, later: Sequence[float] = (0.0,)) -> Floats:
    """One latent frame as if each thing were where it is `later`, in frames from the middle:
    len(later) x CHANNELS x CELLS x CELLS."""
    place, group = _panorama(clip, frames), groups_of(frames)[index]
    spot, change = _motion(clip.scene, path_of(clip, frames)[group])
    result = np.zeros((len(later), CHANNELS, CELLS, CELLS), np.float32)
    for latent, time in zip(result, later, strict=True):
        x, y, radius = (float(value) for value in spot + time * change)
        _put_thing(latent, clip.scene, (x, y, radius), change)
        if index:
            latent[CAMERA] = _PANS.get(clip.scene.movement, 0.0)
        _put_place(latent, view(clip, place, (group.start + group.stop - 1) / 2 + time))
    return result


@lru_cache(maxsize=1)
def _panorama(clip: Clip, frames: int) -> Floats:
    """Painted once for all latent frames of a clip."""
    return panorama(clip, frames)


def _motion(scene: Scene, spots: Floats) -> tuple[Floats, Floats]:
    """Centre and radius in the middle of some frames, and their change a frame; F x 3."""
    if len(spots) == 1:
        return spots[0], np.zeros(3, np.float32)
    if scene.movement in WAYS:
        # Not the mean: a thing that leaves at one edge comes in at the other.
        change = np.asarray([*WAYS[scene.movement], 0], np.float32) * SPEED
        return spots[0] + change * (len(spots) - 1) / 2, change
    return spots.mean(0), (spots[-1] - spots[0]) / (len(spots) - 1)


def _put_thing(
    latent: Floats, scene: Scene, spot: tuple[float, float, float], change: Floats
) -> None:
    x, y, radius = spot
    middle = np.arange(CELLS, dtype=np.float32) * CELL + CELL / 2
    across, down = ((middle - x) / radius)[None], ((middle - y) / radius)[:, None]
    # 1 in the thing's square, 0 from one cell outside on.
    outside = np.maximum(np.abs(across), np.abs(down)) - 1
    mask = np.clip(1 - outside * radius / CELL, 0, 1)
    latent[:CODE] = code_of(scene.thing)[:, None, None] * mask
    latent[MASK] = mask
    latent[AT] = np.stack(np.broadcast_arrays(across, down)) * mask
    latent[RADIUS] = (radius - _USUAL_RADIUS) / 6 * mask
    latent[LOOK] = {"left": -1, "right": 1, "": 0}[looks(scene)] * mask
    rgb = np.asarray(colour_of(scene.thing, scene.colour), np.float32)
    latent[COLOUR] = rgb[:, None, None] * mask
    latent[WAY] = (change[:2] / SPEED)[:, None, None] * mask
    latent[GROWTH] = change[2] / SWELL * mask


def _put_place(latent: Floats, window: Floats) -> None:
    """Mean colour of each cell, and how the brightness of its quarters differs."""
    latent[PLACE] = _means(window, CELLS).transpose(2, 0, 1) / 127.5 - 1
    quarters = _means(window, 2 * CELLS) @ _LUMA / 64
    one, two = quarters[::2, ::2], quarters[::2, 1::2]
    three, four = quarters[1::2, ::2], quarters[1::2, 1::2]
    across, down, crossed = (
        two + four - one - three,
        three + four - one - two,
        one + four - two - three,
    )
    latent[DETAIL] = np.stack([across, down, crossed])


def _means(window: Floats, count: int) -> Floats:
    """Of count x count squares of SIDE x SIDE x 3."""
    side = SIDE // count
    return window.reshape(count, side, count, side, -1).mean((1, 3), dtype=np.float32)
