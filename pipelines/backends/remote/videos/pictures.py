"""The picture with which a server's clip begins."""

from pipelines.backends.base import InputMedia
from pipelines.media.still import stack_png
from pipelines.schema.request import ClipRequest


def first_picture(request: ClipRequest, media: InputMedia) -> bytes | None:
    """A PNG of the request's size: an upload, or the last frame of the chunk before. None for a
    request of text alone. Raises as `InputMedia`."""
    if given := request.continuation:
        return stack_png([media.overlap(given)[-1]])
    if first := request.first_frame:
        return stack_png([media.picture(first.picture, request.size)])
    return None
