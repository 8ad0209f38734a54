"""Seeing: what a video of a coloured shape on a plain background shows, read from its pixels alone.

Pictured things and painted places need a judge that was trained (`classifier`).
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from pipelines.training.places import PLAIN, SIDE
from pipelines.training.world import COLOURS, SHAPES, WAYS, Clip, Pixels, Scene, Track, render

_OBJECT = 60.0
"""Distance in RGB from which a pixel is not background any more; edges blur over about 3 px."""
_LEAST_AREA = 100
"""Pixels; the smallest shape has over 500."""
Floats = npt.NDArray[np.float32]
Masks = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Sight:
    """What was seen, and where the shape was."""

    scene: Scene
    """The movement is one of WAYS."""
    centres: Floats
    """F x 2 (x, y in pixels) of what is seen of the shape; NaN where no shape is."""
    whole: Masks
    """F: whether the whole shape is seen, not cut by an edge of the frame."""

    @property
    def steps(self) -> Floats:
        """Way from frame to frame in pixels, (F - 1) x 2; NaN where the shape is cut or unseen."""
        centres = np.where(self.whole[:, None], self.centres, np.nan)
        return np.diff(centres, axis=0).astype(np.float32)


def see(frames: Pixels) -> Sight:
    """Look at F x H x W x 3 frames; larger ones than the world's are shrunk first."""
    small = shrink(frames)
    background = _nearest_ground(small)
    distance = np.linalg.norm(small - np.asarray(PLAIN[background], np.float32), axis=-1)
    masks = distance > _OBJECT
    centres = _centres(masks)
    rim = masks[:, (0, -1)].any((1, 2)) | masks[:, :, (0, -1)].any((1, 2))
    whole = ~rim & ~np.isnan(centres[:, 0])
    return Sight(
        Scene(
            thing=_shape(masks[whole], centres[whole]),
            colour=_colour(small, distance),
            movement=_way(centres),
            background=background,
        ),
        centres,
        whole,
    )


def shrink(frames: Pixels) -> Floats:
    """Area average to SIDE x SIDE, as float. Raises ValueError unless the sides are multiples."""
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
        for name, value in PLAIN.items()
    }
    return max(shares, key=lambda name: shares[name])


def _colour(frames: Floats, distance: Floats) -> str:
    """The palette's colour nearest to the median of the pixels that are least background."""
    inside = frames[distance >= max(_OBJECT, float(np.quantile(distance, 0.93)))]
    if not len(inside):
        return ""
    median = np.median(inside, axis=0)
    return min(COLOURS, key=lambda name: float(np.linalg.norm(median - COLOURS[name])))


def _centres(masks: Masks) -> Floats:
    """Centroid of each mask."""
    grid = np.arange(SIDE) + 0.5
    area = masks.sum((1, 2)).astype(float)
    area[area < _LEAST_AREA] = np.nan
    across, down = masks.sum(1) @ grid / area, masks.sum(2) @ grid / area
    return np.stack([across, down], axis=1).astype(np.float32)


def _way(centres: Floats) -> str:
    """The main way of all steps; what is seen of a shape that an edge cuts goes the same way."""
    steps = np.diff(centres, axis=0)
    steps = steps[~np.isnan(steps[:, 0])]
    # What leaves at one edge comes in at the other: that is no way back.
    steps = steps[np.abs(steps).max(-1) < SIDE / 2]
    if not len(steps):
        return ""
    way = steps.sum(0)
    return max(WAYS, key=lambda name: float(way @ np.array(WAYS[name])))


def _shape(masks: Masks, centres: Floats) -> str:
    """Best overlap of the mean silhouette, centred, with a template of any size."""
    if not len(masks):
        return ""
    rolled = [
        np.roll(mask, (round(SIDE / 2 - float(y)), round(SIDE / 2 - float(x))), (0, 1))
        for mask, (x, y) in zip(masks, centres, strict=True)
    ]
    mean = np.mean(rolled, axis=0) > 0.5
    overlaps = (_templates() & mean).sum((2, 3)) / (_templates() | mean).sum((2, 3))
    return SHAPES[int(overlaps.max(axis=1).argmax())]


@cache
def _templates() -> Masks:
    """Shapes x sizes x SIDE x SIDE, each with its centroid in the middle."""
    radii = np.arange(8, 34, 0.75)
    result = np.zeros((len(SHAPES), len(radii), SIDE, SIDE), bool)
    for i, shape in enumerate(SHAPES):
        for j, radius in enumerate(radii):
            track = Track(SIDE / 2, SIDE / 2, float(radius))
            drawn = render(Clip(Scene(shape, "white", "right", "black"), track), 1)
            mask = drawn[..., 0] > 128
            ((x, y),) = _centres(mask)
            result[i, j] = np.roll(
                mask[0], (round(SIDE / 2 - float(y)), round(SIDE / 2 - float(x))), (0, 1)
            )
    return result
