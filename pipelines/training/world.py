"""The demo model's world: a thing or a coloured shape moves in a painted place.

A thing that leaves the frame comes in from the other side only after it has wholly left:
nothing is ever cut by two edges, and a movement can still go on for ever. Text-to-video clips
pass through the middle, whole from the first frame to the last.
"""

import zlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipelines.training.places import PAINTED, PLACES, SIDE, paint
from pipelines.training.things import BY_NAME, PICTURE, THINGS, in_colour, picture

SPEED = 1.25
"""Pixels a frame, of things and of the camera."""
RADII = (16.0, 22.0)
"""Pixels. Half of the longer side of a thing: it must cover several of Wan's 16-pixel patches."""
REACH = (8.0, 32.0)
"""Radii at which growing and shrinking end."""
SWELL = 0.35
"""Pixels by which the radius of a growing thing changes a frame."""
BOB = (5.0, 16.0)
"""Pixels up and down from the middle, and frames of one period: a chunk of 17 or 33 frames ends
where the movement begins anew, so that one frame is enough to continue it."""
_MIDDLE_FRAME = 16
_COLOURED = 0.4
"""Share of the things of any colour that are asked for in one."""

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Rgb = tuple[int, int, int]

SHAPES = ("circle", "square", "triangle")
COLOURS: dict[str, Rgb] = {
    "red": (220, 40, 40),
    "green": (50, 200, 70),
    "blue": (50, 100, 240),
    "yellow": (245, 220, 50),
    "purple": (160, 60, 210),
    "orange": (250, 140, 25),
    "white": (242, 242, 242),
}
WAYS: dict[str, tuple[int, int]] = {
    "right": (1, 0),
    "left": (-1, 0),
    "down": (0, 1),
    "up": (0, -1),
}
MOVEMENTS = (*WAYS, "grow", "shrink", "bob", "pan right", "pan left")
"""At a pan the camera goes along with the thing: the place moves past it the other way."""


class Scene(NamedTuple):
    """What a prompt of this world can ask for; "" where it asks for nothing."""

    thing: str
    """One of SHAPES or the first name of a thing."""
    colour: str
    """One of COLOURS, always for shapes; "" is a thing's own colours."""
    movement: str
    background: str


class Track(NamedTuple):
    """Where the thing is in the first frame, and its radius. Pixels."""

    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Clip:
    """A scene, where it begins, and the number from which its place is painted."""

    scene: Scene
    track: Track
    place: int = 0


def is_held_out(scene: Scene) -> bool:
    """One pair in eight of thing and place, and of thing and movement, is never trained on."""
    pairs = (scene.background, scene.movement)
    return any(zlib.crc32(f"{scene.thing} | {pair}".encode()) % 8 == 0 for pair in pairs)


def random_scene(
    rng: np.random.Generator, things: int, *, held_out: bool | None = False, shapes: float = 0.2
) -> Scene:
    """A scene of the first `things` THINGS or, at a share of `shapes`, of a coloured shape.

    Combinations are those of training, or with `held_out` those that it never sees, or with None
    any.
    """
    while True:
        thing = _name(SHAPES, rng)
        if rng.random() >= shapes:
            thing = THINGS[int(rng.integers(things))].names[0]
        free = thing in SHAPES or (BY_NAME[thing].coloured and rng.random() < _COLOURED)
        background, movement = _name(PLACES, rng), _name(MOVEMENTS, rng)
        if movement.startswith("pan") and background not in PAINTED:
            continue  # nothing would be seen of it
        scene = Scene(thing, _name(tuple(COLOURS), rng) if free else "", movement, background)
        if held_out in (None, is_held_out(scene)):
            return scene


def random_track(rng: np.random.Generator, movement: str, *, anywhere: bool) -> Track:
    """A start from which 2 seconds of way lie around the middle of the frame, or any start."""
    radius = float(rng.uniform(*RADII))
    if anywhere:
        if movement in ("grow", "shrink"):
            radius = float(rng.uniform(*REACH))
        reach = SIDE / 2 + (radius + 4 if movement in WAYS else -radius)
        x, y = SIDE / 2 + rng.uniform(-reach, reach, 2)
        across, down = WAYS.get(movement, (1, 1))
        middle = SIDE / 2 + rng.uniform(-16, 16, 2)
        return Track(float(x if across else middle[0]), float(y if down else middle[1]), radius)
    if movement in ("grow", "shrink"):
        radius += SWELL * _MIDDLE_FRAME * (-1 if movement == "grow" else 1)
    across, down = WAYS.get(movement, (0, 0))
    x = SIDE / 2 + rng.uniform(-10, 10) * (0.3 if across else 1)
    y = SIDE / 2 + rng.uniform(-10, 10) * (0.3 if down else 1)
    half_way = SPEED * _MIDDLE_FRAME
    return Track(float(x - across * half_way), float(y - down * half_way), radius)


def random_clip(rng: np.random.Generator, scene: Scene, *, anywhere: bool) -> Clip:
    """The scene from a random start in a random panorama."""
    track = random_track(rng, scene.movement, anywhere=anywhere)
    return Clip(scene, track, int(rng.integers(2**31)))


def random_still(rng: np.random.Generator, scene: Scene) -> Clip:
    """One frame of the scene, the thing whole in it."""
    radius = float(rng.uniform(*RADII))
    x, y = SIDE / 2 + rng.uniform(-14, 14, 2)
    return Clip(scene, Track(float(x), float(y), radius), int(rng.integers(2**31)))


def path_of(clip: Clip, frames: int) -> Floats:
    """Centre and radius (x, y, radius) of the thing in every frame: F x 3."""
    movement, (x, y, radius) = clip.scene.movement, clip.track
    times = np.arange(frames, dtype=np.float32)
    path = np.tile(np.asarray([x, y, radius], np.float32), (frames, 1))
    across, down = WAYS.get(movement, (0, 0))
    # The way round is longer than the frame by a thing and 2 pixels: it leaves before it comes.
    round_trip, edge = SIDE + 2 * radius + 2, radius + 1
    for axis, way in ((0, across), (1, down)):
        if way:
            path[:, axis] = (path[:, axis] + way * SPEED * times + edge) % round_trip - edge
    if movement in ("grow", "shrink"):
        sign = 1 if movement == "grow" else -1
        path[:, 2] = np.clip(radius + sign * SWELL * times, *REACH)
    if movement == "bob":
        height, period = BOB
        path[:, 1] += height * np.sin(2 * np.pi * times / period)
    return path


def render(clip: Clip, frames: int) -> Pixels:
    """F x SIDE x SIDE x 3, RGB; edges smoothed over about one pixel."""
    place, source = panorama(clip, frames), _source(clip.scene)
    result = np.empty((frames, SIDE, SIDE, 3), np.uint8)
    for index, (x, y, radius) in enumerate(path_of(clip, frames).tolist()):
        picture_ = view(clip, place, index)
        _put(picture_, source, x, y, radius)
        result[index] = np.round(picture_).astype(np.uint8)
    return result


def panorama(clip: Clip, frames: int) -> Floats:
    """The place, as wide as the camera sees of it in so many frames: SIDE x width x 3, 0…255."""
    pan = clip.scene.movement.startswith("pan")
    width = SIDE + (int(np.ceil(SPEED * frames)) + 1 if pan else 0)
    return paint(clip.scene.background, width, np.random.default_rng(clip.place))


def view(clip: Clip, place: Floats, time: float) -> Floats:
    """What the camera sees of a panorama, `time` in frames: SIDE x SIDE x 3, a copy."""
    if not clip.scene.movement.startswith("pan"):
        return place.copy()
    away = SPEED * time
    return _window(
        place, away if clip.scene.movement == "pan right" else place.shape[1] - SIDE - 1 - away
    )


def looks(scene: Scene) -> str:
    """Whether the thing's front is on the `left` or `right`; "" if it has none."""
    if scene.thing in SHAPES:
        return ""
    facing = BY_NAME[scene.thing].facing
    ahead = scene.movement.removeprefix("pan ")
    return ahead if facing and ahead in ("left", "right") else facing


def _window(place: Floats, offset: float) -> Floats:
    """SIDE columns of a panorama from a column between two pixels on."""
    first = int(np.floor(max(offset, 0.0)))
    share = np.float32(max(offset, 0.0) - first)
    one, other = place[:, first : first + SIDE], place[:, first + 1 : first + 1 + SIDE]
    return one * (1 - share) + other * share


_PAD = 40
"""Pixels of transparency around a source, so that every box of `_put` lies inside."""


def _source(scene: Scene) -> Image.Image:
    """The thing with premultiplied coverage, looking where it goes."""
    if scene.thing in SHAPES:
        cell = _shape(scene.thing, COLOURS[scene.colour])
    else:
        cell = picture(scene.thing)
        if scene.colour:
            cell = in_colour(cell, COLOURS[scene.colour])
        if looks(scene) != BY_NAME[scene.thing].facing:
            cell = cell[:, ::-1]
    cover = cell[..., 3:]
    whole = np.concatenate([cell[..., :3] * cover, 255 * cover], axis=-1)
    whole = np.pad(np.round(whole).astype(np.uint8), ((_PAD, _PAD), (_PAD, _PAD), (0, 0)))
    return Image.frombytes("RGBa", (whole.shape[1], whole.shape[0]), whole.tobytes())


def _shape(shape: str, colour: Rgb) -> Floats:
    """A shape on PICTURE x PICTURE pixels; all have about one area, the circle is 82 % wide."""
    radius = 0.41 * PICTURE
    grid = np.arange(PICTURE, dtype=np.float32) + 0.5 - PICTURE / 2
    x, y = grid[None], grid[:, None]
    if shape == "circle":
        distance = np.hypot(x, y) - radius
    elif shape == "square":
        distance = np.maximum(abs(x), abs(y)) - 0.886 * radius
    else:
        distance = np.maximum(0.866 * abs(x) - 0.5 * y - 0.777 * radius, y - 0.777 * radius)
    cell = np.empty((PICTURE, PICTURE, 4), np.float32)
    cell[..., :3] = colour
    cell[..., 3] = np.clip(0.5 - distance, 0, 1)
    return cell


def _put(frame: Floats, source: Image.Image, x: float, y: float, radius: float) -> None:
    """Draw the source, its cell 2·radius wide, at (x, y); what lies outside is cut."""
    scale = PICTURE / (2 * radius)
    left, top = int(np.floor(x - radius)) - 1, int(np.floor(y - radius)) - 1
    side = int(np.ceil(2 * radius)) + 3
    start_x = _PAD + (left - (x - radius)) * scale
    start_y = _PAD + (top - (y - radius)) * scale
    box = (start_x, start_y, start_x + side * scale, start_y + side * scale)
    small = np.asarray(source.resize((side, side), Image.Resampling.BICUBIC, box), np.float32)
    from_x, from_y = max(0, -left), max(0, -top)
    to_x, to_y = min(side, SIDE - left), min(side, SIDE - top)
    if from_x >= to_x or from_y >= to_y:
        return
    part = frame[top + from_y : top + to_y, left + from_x : left + to_x]
    cut = small[from_y:to_y, from_x:to_x]
    part[:] = np.clip(part * (1 - cut[..., 3:] / 255) + cut[..., :3], 0, 255)


def _name(names: tuple[str, ...], rng: np.random.Generator) -> str:
    return names[int(rng.integers(len(names)))]
