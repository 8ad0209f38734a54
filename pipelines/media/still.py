"""Pictures: raw frames in one lossless PNG, one below the other; published ones; uploads."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pipelines.backends.base import Frame
from pipelines.errors import BriefError, MediaError
from pipelines.schema.sizes import Size

MAX_SIDE = 4096
"""Pixels. A larger picture is refused before it is decoded."""
_FORMATS = ("png", "jpeg", "webp")
_WEBP_SIDE = 16_383
"""Pixels: the longest side that the WebP format can have."""
_WEBP_QUALITY, _JPEG_QUALITY = 90, 92
_POSTER_SIDE, _CONTACT_SIDE = 1280, 320
"""Pixels of the longest side of a picture's poster, and the width of its contact sheet, which is as
wide as one picture in the contact sheet of a video."""


def stack_png(frames: Sequence[Frame]) -> bytes:
    """A PNG of `frames`, one below the other. All frames have one size."""
    target = io.BytesIO()
    Image.fromarray(np.concatenate(frames)).save(target, format="png")
    return target.getvalue()


def unstack_png(data: bytes, count: int) -> list[Frame]:
    """The `count` frames of such a PNG.

    Raises MediaError if it cannot be read, or if its height is no multiple of `count`.
    """
    try:
        with Image.open(io.BytesIO(data), formats=["png"]) as picture:
            stack = np.asarray(picture.convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise MediaError(f"raw frames cannot be read: {error}") from error
    if stack.shape[0] % count:
        raise MediaError(f"{stack.shape[0]} rows cannot be {count} raw frames")
    return list(stack.reshape(count, -1, *stack.shape[1:]))


def write_picture(frame: Frame, path: Path) -> None:
    """Write one frame of uint8 (height, width, 3) to `path` as a lossless PNG."""
    Image.fromarray(frame).save(path, format="png")


def read_picture(path: Path, size: Size) -> Frame:
    """The frame in such a PNG, as uint8 (height, width, 3).

    Raises MediaError if it cannot be read or has another size.
    """
    (frame,) = unstack_png(path.read_bytes(), 1)
    found = Size(frame.shape[1], frame.shape[0])
    if found != size:
        raise MediaError(f"{path.name} has {found} pixels, planned were {size}")
    return frame


def write_picture_copies(source: Path, webp: Path, poster: Path, contact: Path) -> None:
    """Write the PNG `source` as WebP, and smaller as two JPEGs: a poster and a contact sheet.

    Raises MediaError if it is larger than a WebP can be, or cannot be read.
    """
    try:
        with Image.open(source, formats=["png"]) as opened:
            picture = opened.convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise MediaError(f"{source.name} cannot be read: {error}") from error
    if max(picture.size) > _WEBP_SIDE:
        raise MediaError(
            f"a picture of {picture.width}*{picture.height} pixels cannot be written as WebP, "
            f"whose sides end at {_WEBP_SIDE}; ask for a smaller size or a smaller upscale factor"
        )
    picture.save(webp, format="webp", quality=_WEBP_QUALITY)
    for path, width, height in (
        (poster, _POSTER_SIDE, _POSTER_SIDE),
        (contact, _CONTACT_SIDE, picture.height),
    ):
        smaller = picture.copy()
        smaller.thumbnail((width, height), Image.Resampling.LANCZOS)
        smaller.save(path, format="jpeg", quality=_JPEG_QUALITY)


def as_png(data: bytes) -> bytes:
    """A picture from outside as a plain RGB PNG. Of the file, only the pixels are kept.

    Raises BriefError if it is no PNG, JPEG or WebP picture, or if a side exceeds MAX_SIDE.
    """
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
            if max(picture.size) > MAX_SIDE or min(picture.size) < 1:
                raise BriefError(
                    f"the picture has {picture.width}x{picture.height} pixels; a side may have "
                    f"{MAX_SIDE}: make it smaller"
                )
            upright = ImageOps.exif_transpose(picture).convert("RGB")
    except Image.DecompressionBombError as error:
        raise BriefError(
            f"the picture is far too large; a side may have {MAX_SIDE} pixels: make it smaller"
        ) from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise BriefError("this is no PNG, JPEG or WebP picture; send one of those") from error
    target = io.BytesIO()
    upright.save(target, format="png")
    return target.getvalue()


def fit_picture(data: bytes, size: Size, *, whole: bool = False) -> Frame:
    """A PNG as a frame of `size`: cropped at the sides that are too long, or `whole` with white
    borders.

    Raises OSError if it is no PNG.
    """
    with Image.open(io.BytesIO(data), formats=["png"]) as picture:
        if whole:
            padded = ImageOps.pad(
                picture.convert("RGB"), size, Image.Resampling.LANCZOS, color="white"
            )
            return np.asarray(padded)
        return np.asarray(ImageOps.fit(picture.convert("RGB"), size, Image.Resampling.LANCZOS))
