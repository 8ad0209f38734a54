"""One call of a backend: text, size, length, seed, other inputs, and options of the backend."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from pipelines.schema.frozen import Frozen
from pipelines.schema.keys import Digest
from pipelines.schema.sizes import Size

InputKind = Literal[
    "text",
    "first_frame",
    "last_frame",
    "continuation",
    "reference_image",
    "reference_video",
    "audio",
]
VideoRole = Literal["pose", "face", "background", "mask"]
OptionValue = str | int | float | bool | None


class FirstFrame(Frozen):
    """An uploaded picture that is the first frame of the clip and stays in it."""

    kind: Literal["first_frame"] = "first_frame"
    picture: Digest
    """SHA-256 of the upload's bytes."""


class LastFrame(Frozen):
    """An uploaded picture that the clip ends with."""

    kind: Literal["last_frame"] = "last_frame"
    picture: Digest


class Continuation(Frozen):
    """The last raw frames of the previous chunk. The clip repeats them; the repetition is
    removed."""

    kind: Literal["continuation"] = "continuation"
    chunk: Digest
    """Digest of the previous chunk, and so of everything that decides its pixels."""
    frames: int
    """How many last frames of the previous chunk are given."""


class ReferenceImage(Frozen):
    """An uploaded picture of a subject that the clip shows."""

    kind: Literal["reference_image"] = "reference_image"
    picture: Digest


class ReferenceVideo(Frozen):
    """A part of an uploaded video that guides the clip, frame by frame."""

    kind: Literal["reference_video"] = "reference_video"
    archive: Digest
    """SHA-256 of the uploaded archive that holds the video."""
    role: VideoRole
    start: int
    """First frame of the part, counted at the request's frame rate."""


class AudioTrack(Frozen):
    """A part of an uploaded sound that guides the clip."""

    kind: Literal["audio"] = "audio"
    audio: Digest
    start: int
    """Frame of the video at which the part begins, at the request's frame rate."""


ClipInput = Annotated[
    FirstFrame | LastFrame | Continuation | ReferenceImage | ReferenceVideo | AudioTrack,
    Field(discriminator="kind"),
]


class ClipRequest(Frozen):
    """The request for one call of a backend."""

    prompt: str
    negative: str
    size: Size
    fps: int
    frames: int
    """Frames of the call. With a continuation, the first ones repeat the previous chunk."""
    seed: int
    inputs: tuple[ClipInput, ...] = ()
    options: Mapping[str, OptionValue] = {}
    """Values that the backend's own options class has validated."""

    @property
    def continuation(self) -> Continuation | None:
        """The input that makes the clip continue the previous chunk, if there is one."""
        return next((item for item in self.inputs if isinstance(item, Continuation)), None)

    @property
    def first_frame(self) -> FirstFrame | None:
        """The picture that the clip begins with, if there is one."""
        return next((item for item in self.inputs if isinstance(item, FirstFrame)), None)

    @property
    def kinds(self) -> frozenset[InputKind]:
        """Kinds of all inputs, including the text."""
        return frozenset({"text", *(item.kind for item in self.inputs)})

    @property
    def new_frames(self) -> int:
        """Frames without the repetition of the previous chunk."""
        return self.frames - (self.continuation.frames if self.continuation else 0)
