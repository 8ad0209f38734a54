"""Sizes that Google's video models make, and the words with which they are asked for."""

from collections.abc import Iterable
from typing import Literal

from pipelines.errors import BriefError
from pipelines.schema.sizes import Size

FPS = 24
"""Frames a second of every clip. Source: Google's model pages for Omni 1.2 and Veo 3.1."""
SIDE_STEP = 8
"""1080 is no multiple of 16."""
Resolution = Literal["360p", "480p", "720p", "1080p", "4k"]
LANDSCAPE: dict[Resolution, Size] = {
    "360p": Size(640, 360),
    "720p": Size(1280, 720),
    "1080p": Size(1920, 1080),
}
"""4K is left out: the frames of one clip of 8 s would take 4.8 GB of the host's memory."""


def check_resolutions(
    wanted: Iterable[Resolution], possible: Iterable[Resolution], model: str
) -> None:
    """Raises ValueError for a resolution that is none of `possible`, or if none is wanted."""
    known = tuple(possible)
    found = tuple(wanted)
    wrong = [item for item in found if item not in known]
    if wrong or not found:
        raise ValueError(
            f"resolutions: {model} is offered with {', '.join(known)}, not "
            f"{', '.join(wrong) or 'with none'}; name one or more of them"
        )


def sizes_of(resolutions: Iterable[Resolution]) -> tuple[Size, ...]:
    """Each resolution in 16:9 and in 9:16."""
    found: list[Size] = []
    for resolution in resolutions:
        wide = LANDSCAPE[resolution]
        found += [wide, Size(wide.height, wide.width)]
    return tuple(found)


def check_size(size: Size, resolutions: Iterable[Resolution], model: str) -> None:
    """Raises BriefError for a size that is none of `resolutions`."""
    sizes = sizes_of(resolutions)
    if size not in sizes:
        raise BriefError(
            f"{model} makes {', '.join(map(str, sizes))}, not {size}; choose one of them, or an "
            "aspect of landscape or portrait"
        )


def resolution_of(size: Size) -> Resolution:
    """The resolution of a size that `check_size` lets pass."""
    wide = Size(max(size), min(size))
    return {item: name for name, item in LANDSCAPE.items()}[wide]


def aspect_of(size: Size) -> str:
    """`16:9` or `9:16`."""
    return "16:9" if size.width > size.height else "9:16"


def seconds_of(frames: int) -> int:
    """Whole seconds of a valid number of frames."""
    return frames // FPS
