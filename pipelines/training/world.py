"""The world the demo model knows: one shape of one colour crossing a plain background.

Space wraps around: what leaves on the right comes back on the left, so that "moves right"
can go on for ever and a clip can be continued any number of times.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

SIDE = 64
"""Pixels of the square frame."""
SPEED = 1.5
"""Pixels a frame."""
RADII = (11.0, 15.0)
"""Pixels. A third to half of the frame: a shape must cover several of Wan's 16-pixel patches."""

Pixels = npt.NDArray[np.uint8]
"""Frames x SIDE x SIDE x 3, RGB."""
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
BACKGROUNDS: dict[str, Rgb] = {
    "black": (14, 14, 18),
    "grey": (122, 122, 126),
    "dark blue": (18, 24, 84),
    "dark green": (16, 66, 34),
    "brown": (128, 88, 52),
}
DIRECTIONS: dict[str, tuple[int, int]] = {
    "right": (1, 0),
    "left": (-1, 0),
    "down": (0, 1),
    "up": (0, -1),
}


class Scene(NamedTuple):
    """What a prompt of this world can ask for."""

    shape: str
    colour: str
    direction: str
    background: str


class Track(NamedTuple):
    """Where the shape is in the first frame, and how large it is. Pixels."""

    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Clip:
    """A scene and where it begins."""

    scene: Scene
    track: Track


def random_scene(rng: np.random.Generator) -> Scene:
    """Every attribute on its own, all values alike."""
    return Scene(
        shape=str(rng.choice(SHAPES)),
        colour=str(rng.choice(list(COLOURS))),
        direction=str(rng.choice(list(DIRECTIONS))),
        background=str(rng.choice(list(BACKGROUNDS))),
    )


def random_track(rng: np.random.Generator, direction: str, *, anywhere: bool) -> Track:
    """A start from which 2 seconds of way lie around the middle of the frame, or any start."""
    radius = float(rng.uniform(*RADII))
    if anywhere:
        x, y = rng.uniform(0, SIDE, 2)
        return Track(float(x), float(y), radius)
    dx, dy = DIRECTIONS[direction]
    along, across = SIDE / 2 + rng.uniform(-5, 5), SIDE / 2 + rng.uniform(-9, 9)
    half_way = SPEED * 16
    x = along - dx * half_way if dx else across
    y = along - dy * half_way if dy else across
    return Track(float(x), float(y), radius)


def render(clip: Clip, frames: int) -> Pixels:
    """The clip, edges smoothed over one pixel."""
    dx, dy = DIRECTIONS[clip.scene.direction]
    times = np.arange(frames, dtype=np.float32) * SPEED
    masks = shape_masks(
        clip.scene.shape,
        clip.track.x + dx * times,
        clip.track.y + dy * times,
        clip.track.radius,
    )[..., None]
    ground = np.asarray(BACKGROUNDS[clip.scene.background], np.float32)
    paint = np.asarray(COLOURS[clip.scene.colour], np.float32)
    return np.round(ground * (1 - masks) + paint * masks).astype(np.uint8)


def shape_masks(
    shape: str, x: npt.NDArray[np.float32], y: npt.NDArray[np.float32], radius: float
) -> npt.NDArray[np.float32]:
    """Coverage 0 to 1 of each pixel, for a shape centred at each of `x`, `y`: N x SIDE x SIDE."""
    grid = np.arange(SIDE, dtype=np.float32) + 0.5
    across = _wrapped(grid[None, None, :] - x[:, None, None])
    down = _wrapped(grid[None, :, None] - y[:, None, None])
    return np.clip(0.5 - _distance(shape, across, down, radius), 0, 1).astype(np.float32)


def _wrapped(offset: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    wrapped: npt.NDArray[np.float32] = (offset + SIDE / 2) % SIDE - SIDE / 2
    return wrapped


def _distance(
    shape: str, x: npt.NDArray[np.float32], y: npt.NDArray[np.float32], radius: float
) -> npt.NDArray[np.float32]:
    """Signed distance to the outline in pixels, negative inside. All shapes of about one area."""
    if shape == "circle":
        return np.asarray(np.hypot(x, y) - radius, np.float32)
    if shape == "square":
        return np.asarray(np.maximum(abs(x), abs(y)) - 0.886 * radius, np.float32)
    inradius = 0.777 * radius
    slanted = 0.866 * abs(x) - 0.5 * y - inradius
    return np.asarray(np.maximum(slanted, y - inradius), np.float32)
