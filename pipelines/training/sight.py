"""Seeing: what a video of the demo model's world shows, read from its pixels alone."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from pipelines.training.world import (
    BACKGROUNDS,
    COLOURS,
    DIRECTIONS,
    SHAPES,
    SIDE,
    Pixels,
    Scene,
    shape_masks,
)

_OBJECT = 60.0
"""Distance in RGB from which a pixel is not background any more; edges blur over about 3 px."""
_LEAST_AREA = 60
"""Pixels; the smallest shape has over 300."""
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Sight:
    """What was seen, and where the shape was."""

    scene: Scene
    centres: Floats
    """F x 2 (x, y in pixels), unwrapped: they may leave the frame; NaN where no shape is."""

    @property
    def steps(self) -> Floats:
        """Way from frame to frame in pixels, (F - 1) x 2."""
        return np.diff(self.centres, axis=0)


def see(frames: Pixels) -> Sight:
    """Look at F x H x W x 3 frames; larger ones than the world's are shrunk first."""
    small = shrink(frames)
    background = _nearest_ground(small)
    distance = np.linalg.norm(small - np.asarray(BACKGROUNDS[background], np.float32), axis=-1)
    masks = distance > _OBJECT
    centres = _centres(masks)
    return Sight(
        Scene(
            shape=_shape(masks, centres),
            colour=_colour(small, distance),
            direction=_direction(centres),
            background=background,
        ),
        centres,
    )


def shrink(frames: Pixels) -> Floats:
    """Area average to SIDE x SIDE, as float."""
    count, height, width, _ = frames.shape
    blocks = frames.reshape(count, SIDE, height // SIDE, SIDE, width // SIDE, 3)
    return blocks.mean(axis=(2, 4), dtype=np.float32)


def _nearest_ground(frames: Floats) -> str:
    """The background that most pixels are close to."""
    pixels = frames.reshape(-1, 3)
    shares = {
        name: float(
            (np.linalg.norm(pixels - np.asarray(value, np.float32), axis=-1) < _OBJECT / 2).mean()
        )
        for name, value in BACKGROUNDS.items()
    }
    return max(shares, key=lambda name: shares[name])


def _colour(frames: Floats, distance: Floats) -> str:
    """The palette's colour nearest to the median of the pixels that are least background."""
    inside = frames[distance >= max(_OBJECT, float(np.quantile(distance, 0.93)))]
    if not len(inside):
        return ""
    median = np.median(inside, axis=0)
    return min(COLOURS, key=lambda name: float(np.linalg.norm(median - COLOURS[name])))


def _centres(masks: npt.NDArray[np.bool_]) -> Floats:
    """Centroid of each mask in a world that wraps around, made continuous in time."""
    angles = 2 * np.pi * (np.arange(SIDE) + 0.5) / SIDE
    turn = np.exp(1j * angles)
    weight = masks.sum(axis=(1, 2))
    across = (masks.sum(axis=1) * turn).sum(axis=1)
    down = (masks.sum(axis=2) * turn).sum(axis=1)
    centres = np.stack([np.angle(across), np.angle(down)], axis=1) * SIDE / (2 * np.pi)
    centres[weight < _LEAST_AREA] = np.nan
    seen = ~np.isnan(centres[:, 0])
    centres[seen] = np.unwrap(centres[seen], axis=0, period=SIDE)
    return centres.astype(np.float32)


def _direction(centres: Floats) -> str:
    seen = centres[~np.isnan(centres[:, 0])]
    if len(seen) < 2:
        return ""
    way = seen[-1] - seen[0]
    return max(DIRECTIONS, key=lambda name: float(way @ np.array(DIRECTIONS[name])))


def _shape(masks: npt.NDArray[np.bool_], centres: Floats) -> str:
    """Best overlap of the mean silhouette, centred, with a template of any size."""
    rolled = [
        np.roll(mask, (round(SIDE / 2 - y), round(SIDE / 2 - x)), (0, 1))
        for mask, (x, y) in zip(masks, centres, strict=True)
        if not np.isnan(x)
    ]
    if not rolled:
        return ""
    mean = np.mean(rolled, axis=0) > 0.5
    overlaps = (_templates() & mean).sum((2, 3)) / (_templates() | mean).sum((2, 3))
    return SHAPES[int(overlaps.max(axis=1).argmax())]


@cache
def _templates() -> npt.NDArray[np.bool_]:
    """Shapes x sizes x SIDE x SIDE, each with its centroid in the middle."""
    radii = np.arange(6, 22, 0.5)
    middle = np.array([SIDE / 2], np.float32)
    result = np.zeros((len(SHAPES), len(radii), SIDE, SIDE), bool)
    for i, shape in enumerate(SHAPES):
        for j, radius in enumerate(radii):
            mask = shape_masks(shape, middle, middle, float(radius))[0] > 0.5
            x, y = _centres(mask[None])[0]
            result[i, j] = np.roll(mask, (round(SIDE / 2 - y), round(SIDE / 2 - x)), (0, 1))
    return result
