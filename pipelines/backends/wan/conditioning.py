"""What a Wan pipeline is given beside text and noise."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from pipelines.backends.base import Frame, InputMedia
from pipelines.backends.wan.variants import Route
from pipelines.errors import BriefError, GenerationError
from pipelines.schema.request import ClipRequest, LastFrame, ReferenceImage
from pipelines.schema.sizes import Size

_UNKNOWN = (128, 128, 128)
"""Grey, 0 in the VAE's range: what VACE was trained to see in place of frames to be made."""
_KEEP, _MAKE = 0, 255


@dataclass(frozen=True)
class Given:
    """The pictures behind the inputs of a request, all of its size."""

    beginning: tuple[Frame, ...] = ()
    """Frames that the clip begins with: a picture, or the last ones of the chunk before."""
    ending: Frame | None = None
    references: tuple[Frame, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.beginning or self.references or self.ending is not None)


def read_inputs(request: ClipRequest, media: InputMedia) -> Given:
    """Raises BriefError if the inputs contradict each other or a picture is gone, and
    GenerationError if the chunk before has other frames than the request says."""
    beginning: tuple[Frame, ...] = ()
    if request.continuation and request.first_frame:
        raise BriefError(
            "a chunk that goes on from the one before cannot also begin with a picture; "
            "leave one of them out"
        )
    if request.continuation:
        beginning = tuple(media.overlap(request.continuation))
        if len(beginning) != request.continuation.frames:
            raise GenerationError(
                f"the chunk before gives {len(beginning)} frames instead of "
                f"{request.continuation.frames}; make the video again"
            )
    elif request.first_frame:
        beginning = (media.picture(request.first_frame.picture, request.size),)
    endings = [item for item in request.inputs if isinstance(item, LastFrame)]
    given = Given(
        beginning,
        media.picture(endings[0].picture, request.size) if endings else None,
        tuple(
            media.picture(item.picture, request.size, whole=True)  # a head must not be cut off
            for item in request.inputs
            if isinstance(item, ReferenceImage)
        ),
    )
    _check(given, request)
    return given


def _check(given: Given, request: ClipRequest) -> None:
    pictures = [*given.beginning, *given.references]
    pictures += [] if given.ending is None else [given.ending]
    # VACE takes smaller and shorter input without a word, and its tokens land in wrong places.
    for picture in pictures:
        if picture.shape != (request.size.height, request.size.width, 3):
            raise GenerationError(
                f"a given frame has {picture.shape[1]}*{picture.shape[0]} pixels in a clip of "
                f"{request.size}; make the video again with one size"
            )
    known = len(given.beginning) + (given.ending is not None)
    if known and known >= request.frames:
        raise BriefError(
            f"{known} of {request.frames} frames are given, so nothing is left to make; "
            f"ask for {known + 4} frames a chunk or more"
        )


def arguments_for(route: Route, given: Given, size: Size, frames: int) -> dict[str, Any]:
    """What the pipeline of `route` is called with for `given`."""
    if route == "vace":
        video, mask = known_video(given, size, frames)
        references = [Image.fromarray(frame) for frame in given.references]
        return {"video": video, "mask": mask, "reference_images": references or None}
    if not given.beginning:
        if route == "text":
            return {}
        raise BriefError("this model makes a video from a picture; give it a first frame")
    image: dict[str, Any] = {"image": Image.fromarray(given.beginning[-1])}
    if route == "image" and given.ending is not None:
        image["last_image"] = Image.fromarray(given.ending)
    return image


def known_video(
    given: Given, size: Size, frames: int
) -> tuple[list[Image.Image], list[Image.Image]]:
    """`frames` pictures with the known ones in their places, and the masks: black is kept."""
    ending: Sequence[Frame] = () if given.ending is None else (given.ending,)
    unknown = frames - len(given.beginning) - len(ending)
    video = [Image.fromarray(frame) for frame in given.beginning]
    video += [Image.new("RGB", size, _UNKNOWN)] * unknown
    video += [Image.fromarray(frame) for frame in ending]
    keep, make = Image.new("L", size, _KEEP), Image.new("L", size, _MAKE)
    mask = [keep] * len(given.beginning) + [make] * unknown + [keep] * len(ending)
    return video, mask
