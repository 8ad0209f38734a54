"""Raw frames as one lossless picture, one below the other."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pipelines.errors import BriefError, MediaError
from pipelines.media.codec import Frame
from pipelines.schema.presets import Size

MAX_SIDE = 4096
"""Pixels; a picture that unpacks to more is refused before it is unpacked."""
_FORMATS = ("png", "jpeg", "webp")


def stack_png(frames: Sequence[Frame]) -> bytes:
    """A PNG of `frames`, all of one size."""
    target = io.BytesIO()
    Image.fromarray(np.concatenate(frames)).save(target, format="png")
    return target.getvalue()


def unstack_png(data: bytes, count: int) -> list[Frame]:
    """The `count` frames of a stack. Raises MediaError if it is none of that height."""
    try:
        with Image.open(io.BytesIO(data), formats=["png"]) as picture:
            stack = np.asarray(picture.convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise MediaError(f"raw frames cannot be read: {error}") from error
    if stack.shape[0] % count:
        raise MediaError(f"{stack.shape[0]} rows cannot be {count} raw frames")
    return list(stack.reshape(count, -1, *stack.shape[1:]))


def as_png(data: bytes) -> bytes:
    """A picture from outside as a plain RGB PNG: nothing of its file is kept but its pixels.

    Raises BriefError if it is none, or too large.
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


def fit_picture(data: bytes, size: Size) -> Frame:
    """A PNG as a frame of `size`, cut at the sides that are too long."""
    with Image.open(io.BytesIO(data), formats=["png"]) as picture:
        return np.asarray(ImageOps.fit(picture.convert("RGB"), size, Image.Resampling.LANCZOS))
