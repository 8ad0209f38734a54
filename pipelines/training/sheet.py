"""`python -m pipelines.training.sheet FONT`: make `things.png` anew from the font.

FONT is `NotoColorEmoji.ttf` with bitmaps, as Debian's package `fonts-noto-color-emoji` 2.042
installs it in `/usr/share/fonts/truetype/noto/`. Needed only when THINGS changes.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pipelines.training.things import COLUMNS, PICTURE, THINGS

_STRIKE = 109
"""The only size that the font's bitmaps come in: 136 x 128 pixels."""
_MARGIN = 2


def draw(font: ImageFont.FreeTypeFont, character: str) -> Image.Image:
    """The character centred in a transparent cell, as large as fits.

    Raises ValueError if the font has no picture of it.
    """
    large = Image.new("RGBA", (200, 200))
    ImageDraw.Draw(large).text((20, 20), character, font=font, embedded_color=True)
    box = large.getbbox()
    if box is None or len(np.unique(np.asarray(large).reshape(-1, 4), axis=0)) < 8:
        raise ValueError(f"the font has no picture of {character!r}: take another character")
    cut = large.crop(box)
    scale = (PICTURE - 2 * _MARGIN) / max(cut.size)
    size = (max(1, round(cut.width * scale)), max(1, round(cut.height * scale)))
    cell = Image.new("RGBA", (PICTURE, PICTURE))
    place = ((PICTURE - size[0]) // 2, (PICTURE - size[1]) // 2)
    cell.paste(cut.resize(size, Image.Resampling.LANCZOS), place)
    return cell


def make(font_file: Path, target: Path) -> None:
    """All THINGS, row by row, as one picture."""
    font = ImageFont.truetype(str(font_file), _STRIKE)
    rows = -(-len(THINGS) // COLUMNS)
    sheet = Image.new("RGBA", (COLUMNS * PICTURE, rows * PICTURE))
    for index, thing in enumerate(THINGS):
        place = (index % COLUMNS * PICTURE, index // COLUMNS * PICTURE)
        sheet.paste(draw(font, thing.character), place)
    sheet.save(target, optimize=True)


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(__file__).with_name("things.png"))
