"""What Wan2.2-Animate can do, and whether a request is one that it can make."""

from collections import Counter
from typing import Literal

from pipelines.backends import checks
from pipelines.backends.base import BackendDefinition
from pipelines.backends.wan.options import WanOptions
from pipelines.errors import BriefError
from pipelines.schema.capabilities import Capabilities
from pipelines.schema.request import (
    ClipRequest,
    ReferenceImage,
    ReferenceVideo,
    VideoRole,
)
from pipelines.schema.sizes import Size

NAME = "wan-animate-14b"
MODEL = "animate-14B"
"""In the catalog."""
OVERLAP = 1
"""Frames of the chunk before that a chunk goes on from; the model knows 1 and 5."""
Mode = Literal["animate", "replace"]
ROLES: dict[Mode, tuple[VideoRole, ...]] = {
    "animate": ("pose", "face"),
    "replace": ("pose", "face", "background", "mask"),
}
"""Videos that each mode needs, and the only ones that it takes."""


class AnimateOptions(WanOptions):
    """How Wan2.2-Animate works; it has one transformer."""

    mode: Mode = "animate"
    """`animate`: the character moves before a background of the model's own. `replace`: it takes
    the place of the figure in a film, whose background is kept where the mask is black."""
    steps: int = 20
    guidance: float = 1.0
    """Above 1 each step costs two passes; the second one sees a blank face."""
    flow_shift: float = 5.0

    @property
    def video_roles(self) -> tuple[VideoRole, ...]:
        """The videos of an archive that each mode uses."""
        return ROLES[self.mode]


TITLE = "Wan 2.2 Animate 14B"
_TRIAL_SIZES = ("64*64", "128*128")
"""For trials with small checkpoints."""
_SIZES = ("832*480", "480*832", "624*624", "1280*720", "720*1280", "960*960")
CAPABILITIES = Capabilities(
    inputs=frozenset({"text", "reference_image", "reference_video", "continuation"}),
    required=frozenset({"reference_image", "reference_video"}),
    fps=30,
    frame_step=4,
    min_frames=5,  # a segment must be longer than twice the overlap
    max_frames=77,
    sizes=tuple(Size.parse(text) for text in (*_TRIAL_SIZES, *_SIZES)),
    overlap=OVERLAP,
    max_references=1,
)


def check_request(definition: BackendDefinition, request: ClipRequest) -> AnimateOptions:
    """The options of a request that can be made: besides what every backend checks, its videos.

    Loads nothing. Raises BriefError with value, rule and remedy for one that cannot: the pipeline
    itself fails deep inside, with a message that says nothing.
    """
    checks.check_request(definition, request)
    try:
        options = AnimateOptions.checked(request.options)
    except ValueError as error:
        raise BriefError(str(error)) from error
    _check_inputs(request, options.mode)
    return options


def _check_inputs(request: ClipRequest, mode: Mode) -> None:
    characters = [item for item in request.inputs if isinstance(item, ReferenceImage)]
    if len(characters) != 1:
        raise BriefError(
            f"{len(characters)} pictures of characters are given; {TITLE} knows one: leave one"
        )
    videos = [item for item in request.inputs if isinstance(item, ReferenceVideo)]
    roles = Counter(item.role for item in videos)
    if roles != Counter(ROLES[mode]):
        raise BriefError(
            f"the videos {', '.join(sorted(roles.elements()))} are given; mode {mode} takes "
            f"{', '.join(ROLES[mode])}, each once: change the mode, or send an archive with these"
        )
    if len({(item.archive, item.start) for item in videos}) > 1 or videos[0].start < 0:
        starts = ", ".join(f"{item.role} at {item.start}" for item in videos)
        raise BriefError(
            f"the videos begin at different frames ({starts}) or come from different archives; "
            "they belong together, from one frame on that is 0 or more: take one archive"
        )
    given = request.continuation
    if given and given.frames != OVERLAP:
        raise BriefError(
            f"{given.frames} frames of the chunk before are given; {TITLE} goes on from "
            f"{OVERLAP}: give that many"
        )
