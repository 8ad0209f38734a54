"""The picture with which a server's clip begins."""

import io

from PIL import Image

from pipelines.backends.base import Frame, InputMedia
from pipelines.schema.request import ClipRequest


def first_picture(request: ClipRequest, media: InputMedia) -> bytes | None:
    """A PNG of the request's size: an upload, or the last frame of the chunk before. None for a
    request of text alone. Raises as `InputMedia`."""
    if given := request.continuation:
        return _png(media.overlap(given)[-1])
    if first := request.first_frame:
        return _png(media.picture(first.picture, request.size))
    return None


def _png(frame: Frame) -> bytes:
    target = io.BytesIO()
    Image.fromarray(frame).save(target, format="png")
    return target.getvalue()
