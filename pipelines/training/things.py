"""The things of the demo model's world and their pictures.

The pictures are those of Noto Color Emoji (Google; SIL Open Font License 1.1, the drawings
Apache-2.0), scaled to PICTURE pixels and kept as one file, `things.png`. So every machine trains on
the same pixels, also one without a network. `sheet.py` makes the file from the font.
"""

from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

PICTURE = 96
"""Pixels of one square picture in the sheet."""
COLUMNS = 8
Floats = npt.NDArray[np.float32]


class Thing(NamedTuple):
    """One thing: its names (the usual one first), its character, and how it is drawn."""

    names: tuple[str, ...]
    character: str
    facing: str = ""
    """`left` or `right` if the picture has a front: it is mirrored to look where it goes."""
    coloured: bool = False
    """Whether it is also made in the colours of COLOURS; else it has its own colours only."""


def _thing(names: str, character: str, facing: str = "", coloured: bool = False) -> Thing:
    return Thing(tuple(names.split("|")), character, facing, coloured)


# fmt: off
THINGS = (
    # The 24 that a training on a CPU takes.
    _thing("fox|red fox", "🦊"),
    _thing("cat|kitten", "🐈", "left"),
    _thing("dog|puppy", "🐕", "left"),
    _thing("sailboat|sailing boat|boat", "⛵", "", True),
    _thing("rocket|spaceship", "🚀"),
    _thing("sun|shining sun", "☀"),
    _thing("tree|leafy tree", "🌳"),
    _thing("car|automobile", "🚗", "left", True),
    _thing("football|soccer ball", "⚽"),
    _thing("elephant|big elephant", "🐘", "left"),
    _thing("penguin|little penguin", "🐧"),
    _thing("fish|tropical fish", "🐠", "left", True),
    _thing("butterfly|pretty butterfly", "🦋", "", True),
    _thing("duck|mallard", "🦆", "left"),
    _thing("balloon|party balloon", "🎈", "", True),
    _thing("house|little house|cottage", "🏠", "", True),
    _thing("apple|ripe apple", "🍎", "", True),
    _thing("star|shining star", "⭐", "", True),
    _thing("airplane|plane|aeroplane", "✈"),
    _thing("train|steam train|locomotive", "🚂", "left"),
    _thing("snowman|man of snow", "⛄"),
    _thing("whale|blue whale", "🐳", "left"),
    _thing("mushroom|toadstool", "🍄", "", True),
    _thing("robot|toy robot", "🤖"),
    # With more time, or a GPU.
    _thing("horse|galloping horse", "🐎", "left"),
    _thing("turtle|tortoise", "🐢", "left"),
    _thing("snail|slow snail", "🐌", "left"),
    _thing("bee|honeybee", "🐝", "left"),
    _thing("octopus|squid", "🐙", "", True),
    _thing("crab|small crab", "🦀", "", True),
    _thing("owl|wise owl", "🦉"),
    _thing("frog|green frog", "🐸"),
    _thing("lion|lion's head", "🦁"),
    _thing("panda|panda bear", "🐼"),
    _thing("rabbit|bunny|hare", "🐇", "left"),
    _thing("pig|piglet", "🐖", "left"),
    _thing("dinosaur|long-necked dinosaur", "🦕", "left", True),
    _thing("unicorn|magic unicorn", "🦄", "left"),
    _thing("tiger|striped tiger", "🐅", "left"),
    _thing("camel|dromedary", "🐪", "left"),
    _thing("giraffe|tall giraffe", "🦒", "left"),
    _thing("dolphin|leaping dolphin", "🐬", "left"),
    _thing("bus|school bus", "🚌", "left", True),
    _thing("bicycle|bike", "🚲", "left"),
    _thing("helicopter|chopper", "🚁", "left", True),
    _thing("flying saucer|ufo", "🛸"),
    _thing("tractor|farm tractor", "🚜", "left"),
    _thing("ship|ocean liner", "🚢", "left"),
    _thing("moon|crescent moon", "🌙"),
    _thing("palm tree|palm", "🌴"),
    _thing("cactus|green cactus", "🌵"),
    _thing("sunflower|yellow flower", "🌻"),
    _thing("rose|red rose", "🌹"),
    _thing("banana|ripe banana", "🍌"),
    _thing("strawberry|ripe strawberry", "🍓"),
    _thing("pizza|slice of pizza", "🍕"),
    _thing("cake|birthday cake", "🎂"),
    _thing("castle|old castle", "🏰"),
    _thing("heart|big heart", "❤", "", True),
    _thing("umbrella|open umbrella", "☂", "", True),
    _thing("guitar|electric guitar", "🎸", "", True),
    _thing("ghost|friendly ghost", "👻"),
    _thing("teddy bear|teddy", "🧸"),
    _thing("crown|king's crown", "👑"),
)
# fmt: on
BY_NAME = {thing.names[0]: thing for thing in THINGS}


@cache
def _sheet() -> npt.NDArray[np.uint8]:
    with (files("pipelines.training") / "things.png").open("rb") as file:
        return np.asarray(Image.open(file).convert("RGBA"))


@cache
def picture(name: str) -> Floats:
    """The thing as drawn: PICTURE x PICTURE x 4, RGB 0…255 not multiplied by the coverage 0…1.

    Raises KeyError for a name that is not in BY_NAME.
    """
    index = THINGS.index(BY_NAME[name])
    top, left = index // COLUMNS * PICTURE, index % COLUMNS * PICTURE
    cell = _sheet()[top : top + PICTURE, left : left + PICTURE].astype(np.float32)
    cell[..., 3] /= 255
    return cell


def in_colour(cell: Floats, colour: tuple[int, int, int]) -> Floats:
    """A picture whose coloured parts have another colour; greys, black and white stay.

    The brightness of each pixel, relative to the median of the coloured parts, is kept.
    """
    rgb = cell[..., :3]
    high, low = rgb.max(-1), rgb.min(-1)
    saturation = (high - low) / np.maximum(high, 1)
    share = np.clip((saturation - 0.12) / 0.2, 0, 1)[..., None]
    bright = rgb @ np.asarray([0.299, 0.587, 0.114], np.float32)
    painted = (cell[..., 3] > 0.5) & (saturation > 0.3)
    middle = float(np.median(bright[painted])) if painted.any() else 128.0
    shade = np.clip(bright / max(middle, 1.0), 0.55, 1.35)[..., None]
    tinted = np.clip(np.asarray(colour, np.float32) * shade, 0, 255)
    result = cell.copy()
    result[..., :3] = rgb * (1 - share) + tinted * share
    return result
