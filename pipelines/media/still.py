"""Raw frames as one lossless picture, one below the other."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, UnidentifiedImageError

from pipelines.errors import MediaError
from pipelines.media.codec import Frame


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
