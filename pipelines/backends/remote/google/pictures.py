"""Pictures of a request as the services take them."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from pipelines.backends.base import Frame, InputMedia
from pipelines.schema.request import ClipRequest, LastFrame, ReferenceImage

MIME = "image/jpeg"
_QUALITY = 95
"""Of JPEG, without subsampled colours. Six pictures as PNG may be too large for one request."""


@dataclass(frozen=True)
class Pictures:
    """The pictures of a request as base64 of JPEG."""

    first: str | None
    last: str | None
    references: tuple[str, ...]

    @property
    def all(self) -> Sequence[str]:
        """In the order of the prompt's tags."""
        return [item for item in (self.first, self.last, *self.references) if item is not None]


def pictures_of(request: ClipRequest, media: InputMedia) -> Pictures:
    """First and last frame are cropped to the size of the clip, references are kept whole.

    Raises BriefError if an upload is gone.
    """
    size, first = request.size, request.first_frame
    last = next((item for item in request.inputs if isinstance(item, LastFrame)), None)
    return Pictures(
        first=_encoded(media.picture(first.picture, size)) if first else None,
        last=_encoded(media.picture(last.picture, size)) if last else None,
        references=tuple(
            _encoded(media.picture(item.picture, size, whole=True))
            for item in references_of(request)
        ),
    )


def references_of(request: ClipRequest) -> list[ReferenceImage]:
    """The reference pictures of a request."""
    return [item for item in request.inputs if isinstance(item, ReferenceImage)]


def _encoded(frame: Frame) -> str:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=_QUALITY, subsampling=0)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
