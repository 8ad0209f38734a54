"""The painted places of the demo model's world: panoramas that a camera can pan along.

Every place differs from panorama to panorama (heights, trees, windows, stars), always within
what its name says. Nothing is smaller than about 2 pixels: the VAE loses smaller marks.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

SIDE = 96
"""Pixels of the square frame."""
Floats = npt.NDArray[np.float32]
Rgb = tuple[int, int, int]

PLAIN: dict[str, Rgb] = {
    "black": (14, 14, 18),
    "grey": (122, 122, 126),
    "dark blue": (18, 24, 84),
    "dark green": (16, 66, 34),
    "brown": (128, 88, 52),
}
"""Backgrounds of one colour."""


def paint(place: str, width: int, rng: np.random.Generator) -> Floats:
    """SIDE x `width` x 3, 0…255. Raises KeyError for a place that is not in PLACES."""
    if place in PLAIN:
        return _flat(PLAIN[place], width)
    return np.clip(_PAINTERS[place](width, rng), 0, 255).astype(np.float32)


def _flat(colour: Rgb, width: int) -> Floats:
    return np.broadcast_to(np.asarray(colour, np.float32), (SIDE, width, 3)).copy()


def _fade(top: Rgb, bottom: Rgb, width: int) -> Floats:
    """From one colour at the upper edge to another at the lower."""
    share = np.linspace(0, 1, SIDE, dtype=np.float32)[:, None, None]
    row = np.asarray(top, np.float32) * (1 - share) + np.asarray(bottom, np.float32) * share
    return np.broadcast_to(row, (SIDE, width, 3)).copy()


def _ridge(width: int, rng: np.random.Generator, level: float, height: float) -> Floats:
    """A line of hills: the row of its edge at each column."""
    x = np.arange(width, dtype=np.float32)
    line = np.full(width, level, np.float32)
    for length, share in ((96.0, 1.0), (45.0, 0.45), (22.0, 0.2)):
        phase = float(rng.uniform(0, 2 * np.pi))
        stretch = float(rng.uniform(0.85, 1.2))
        line += height * share * np.sin(2 * np.pi * x / (length * stretch) + phase)
    return line


def _below(picture: Floats, line: Floats, colour: Rgb) -> None:
    """Fill what lies below the line, its edge smoothed over one pixel."""
    rows = np.arange(SIDE, dtype=np.float32)[:, None] + 0.5
    share = np.clip(rows - line[None] + 0.5, 0, 1)[..., None]
    picture[:] = picture * (1 - share) + np.asarray(colour, np.float32) * share


def _blob(picture: Floats, x: float, y: float, size: tuple[float, float], colour: Rgb) -> None:
    """A filled ellipse of half axes `size`, its edge smoothed; only near columns are touched."""
    across, down = size
    left, right = max(0, int(x - across - 2)), min(picture.shape[1], int(x + across + 3))
    top, bottom = max(0, int(y - down - 2)), min(SIDE, int(y + down + 3))
    if left >= right or top >= bottom:
        return
    dx = (np.arange(left, right, dtype=np.float32)[None] + 0.5 - x) / across
    dy = (np.arange(top, bottom, dtype=np.float32)[:, None] + 0.5 - y) / down
    share = np.clip((1 - np.hypot(dx, dy)) * min(across, down) + 0.5, 0, 1)[..., None]
    part = picture[top:bottom, left:right]
    part[:] = part * (1 - share) + np.asarray(colour, np.float32) * share


def _places_along(width: int, rng: np.random.Generator, gap: float) -> list[float]:
    """Columns about `gap` pixels apart."""
    count = int(width / gap) + 2
    start = float(rng.uniform(-gap, 0))
    return [start + gap * i + float(rng.uniform(-0.3, 0.3)) * gap for i in range(count)]


def _waves(picture: Floats, rng: np.random.Generator, horizon: float, sea: Rgb, foam: Rgb) -> None:
    width = picture.shape[1]
    _below(picture, np.full(width, horizon, np.float32), sea)
    for row, reach in ((horizon + 9, 5.0), (horizon + 21, 7.0), (horizon + 35, 9.0)):
        for x in _places_along(width, rng, 30):
            y = row + float(rng.uniform(-2.5, 2.5))
            _blob(picture, x, y, (reach, 1.6), foam)


def _clouds(picture: Floats, rng: np.random.Generator, rows: tuple[float, float]) -> None:
    for x in _places_along(picture.shape[1], rng, 46):
        y = float(rng.uniform(*rows))
        for dx, dy, size in ((0, 0, (10.0, 4.0)), (-6, 1.5, (6.0, 3.0)), (5, -2, (6.0, 4.0))):
            _blob(picture, x + dx, y + dy, size, (246, 248, 252))


def _stars(picture: Floats, rng: np.random.Generator, lowest: float, gap: float) -> None:
    for x in _places_along(picture.shape[1], rng, gap):
        _blob(picture, x, float(rng.uniform(3, lowest)), (1.4, 1.4), (240, 240, 225))


def _sea(width: int, rng: np.random.Generator) -> Floats:
    picture = _fade((120, 190, 240), (200, 228, 246), width)
    _clouds(picture, rng, (10, 24))
    _waves(picture, rng, 50 + float(rng.uniform(-4, 4)), (28, 104, 180), (110, 176, 224))
    return picture


def _sea_at_night(width: int, rng: np.random.Generator) -> Floats:
    picture = _fade((10, 12, 40), (30, 36, 86), width)
    _stars(picture, rng, 40, 12)
    _blob(picture, float(rng.uniform(14, 82)), 14, (6, 6), (244, 240, 208))
    _waves(picture, rng, 50 + float(rng.uniform(-4, 4)), (8, 30, 70), (58, 92, 140))
    return picture


def _snow(width: int, rng: np.random.Generator) -> Floats:
    picture = _fade((168, 196, 220), (214, 226, 238), width)
    _below(picture, _ridge(width, rng, 42, 5), (196, 210, 228))
    ground = _ridge(width, rng, 58, 3)
    for x in _places_along(width, rng, 32):
        foot = float(ground[int(np.clip(x, 0, width - 1))])
        for rise, reach in ((0, 6.0), (5, 5.0), (10, 3.5)):
            _blob(picture, x, foot - 3 - rise, (reach, 4.0), (64, 104, 92))
    _below(picture, ground, (238, 243, 250))
    _below(picture, _ridge(width, rng, 80, 2.5), (220, 230, 243))
    return picture


def _desert(width: int, rng: np.random.Generator) -> Floats:
    picture = _fade((250, 190, 110), (255, 226, 170), width)
    _below(picture, _ridge(width, rng, 46, 5), (222, 160, 92))
    _below(picture, _ridge(width, rng, 62, 5), (236, 184, 112))
    _below(picture, _ridge(width, rng, 80, 4), (214, 152, 82))
    return picture


def _night_city(width: int, rng: np.random.Generator) -> Floats:
    picture = _fade((16, 14, 44), (66, 44, 100), width)
    x = float(rng.uniform(-12, 0))
    while x < width:
        wide = float(rng.uniform(14, 22))
        top = float(rng.uniform(22, 56))
        left, right = max(0, int(x)), max(0, min(width, int(x + wide)))
        shade = float(rng.uniform(0.8, 1.25))
        picture[int(top) : 84, left:right] = np.asarray((34, 34, 58), np.float32) * shade
        for row in np.arange(top + 4, 78, 8):
            for column in np.arange(x + 3, x + wide - 4, 6):
                if rng.random() < 0.55:
                    spot = slice(max(0, int(column)), max(0, min(width, int(column) + 3)))
                    picture[int(row) : int(row) + 4, spot] = (250, 212, 110)
        x += wide + float(rng.uniform(0, 3))
    picture[84:] = (44, 42, 54)
    for column in _places_along(width, rng, 24):
        _blob(picture, column, 90, (5, 1.3), (186, 180, 150))
    return picture


def _meadow(width: int, rng: np.random.Generator) -> Floats:
    picture = _fade((130, 200, 245), (214, 236, 250), width)
    _clouds(picture, rng, (9, 22))
    _below(picture, _ridge(width, rng, 48, 4), (116, 178, 92))
    _below(picture, _ridge(width, rng, 58, 3), (88, 164, 66))
    for x in _places_along(width, rng, 11):
        colour = ((250, 244, 240), (250, 216, 80), (238, 120, 150))[int(rng.integers(3))]
        _blob(picture, x, float(rng.uniform(66, 93)), (1.9, 1.9), colour)
    return picture


def _sky(width: int, rng: np.random.Generator) -> Floats:
    picture = _fade((70, 150, 228), (160, 210, 246), width)
    for low in (12, 44, 72):
        _clouds(picture, rng, (low, low + 14))
    return picture


def _space(width: int, rng: np.random.Generator) -> Floats:
    picture = _fade((10, 8, 28), (34, 16, 58), width)
    _stars(picture, rng, 93, 6)
    for x in _places_along(width, rng, 80):
        y, size = float(rng.uniform(12, 84)), float(rng.uniform(6, 10))
        _blob(picture, x, y, (size, size), (150, 110, 90))
        _blob(picture, x, y, (size + 5, 1.5), (206, 180, 140))
    return picture


_PAINTERS: dict[str, Callable[[int, np.random.Generator], Floats]] = {
    "sea": _sea,
    "sea at night": _sea_at_night,
    "snow": _snow,
    "desert": _desert,
    "night city": _night_city,
    "meadow": _meadow,
    "sky": _sky,
    "space": _space,
}
PAINTED = tuple(_PAINTERS)
PLACES = (*PAINTED, *PLAIN)
