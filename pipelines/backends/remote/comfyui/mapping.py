"""The mapping of a workflow: what of a request goes to which node, and what comes back.

An operator writes it as YAML beside the workflow; docs/comfyui.md describes every field.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from pipelines.schema.frozen import Frozen
from pipelines.schema.limits import MAX_REFERENCES
from pipelines.schema.request import InputKind, VideoRole
from pipelines.schema.sizes import Size

ValueName = Literal[
    "prompt",
    "negative",
    "seed",
    "width",
    "height",
    "frames",
    "fps",
    "seconds",
    "steps",
    "guidance",
]
"""Values of a request. `seconds` are `frames / fps`."""
TEXTS: frozenset[ValueName] = frozenset({"prompt", "negative"})
Where = tuple[str | int, ...]
"""Place in the mapping file, for messages."""


class Target(Frozen):
    """One input of one node."""

    to: str
    """`node.input`, such as `6.text` or `20.format.codec`."""
    scale: Decimal = Decimal(1)
    """Factor for a number."""
    offset: Decimal = Decimal(0)
    """Added to a number after that."""
    format: str = Field("", max_length=20)
    """How a number is written as text, such as `.3f`; empty for nodes that take a number."""

    @field_validator("to")
    @classmethod
    def _names_an_input(cls, value: str) -> str:
        return _checked_place(value)

    @field_validator("format")
    @classmethod
    def _formats(cls, value: str) -> str:
        try:
            format(Decimal(1), value)
        except ValueError as error:
            raise ValueError("must be a format of Python for a number, such as .3f") from error
        return value

    @property
    def node(self) -> str:
        """Id of the node."""
        return self.to.split(".", 1)[0]

    @property
    def input(self) -> str:
        """Name of its input."""
        return self.to.split(".", 1)[1]

    @property
    def is_plain(self) -> bool:
        """Whether values go there unchanged."""
        return self.scale == 1 and self.offset == 0 and not self.format

    def value(self, given: str | int | float | Decimal) -> str | int | float:
        """`given` as this node wants it. A whole number stays an integer."""
        if isinstance(given, str):
            return given
        number = Decimal(str(given)) * self.scale + self.offset
        if self.format:
            return format(number, self.format)
        return int(number) if number == number.to_integral_value() else float(number)


def _checked_place(value: str) -> str:
    if not re.fullmatch(r"[^.\s]+\.\S+", value):
        raise ValueError("must be NODE.INPUT, such as 6.text: the node's id and its input's name")
    return value


def _as_target(value: Any) -> Any:
    if isinstance(value, dict | Target):
        return value
    return {"to": _checked_place(str(value))}


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def _as_media(value: Any) -> Any:
    return {"to": value} if isinstance(value, str | list) else value


def _as_size(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return Size.parse(value)
    except ValueError as error:
        raise ValueError("must be WIDTH*HEIGHT in pixels, such as 832*480") from error


Targets = Annotated[
    tuple[Annotated[Target, BeforeValidator(_as_target)], ...], BeforeValidator(_as_list)
]


class MediaInput(Frozen):
    """A file that is uploaded, and the nodes that load it."""

    to: Targets = Field(min_length=1)
    nodes: tuple[str, ...] = ()
    """Further nodes that are there for this input alone. If a request has none, they are taken out
    with those that load it, and with all links to them."""

    @property
    def own(self) -> frozenset[str]:
        """All nodes that are there for it alone."""
        return frozenset({*self.nodes, *(target.node for target in self.to)})


class References(MediaInput):
    """Pictures of subjects: one target for each picture, in order."""

    to: Targets = Field(min_length=1, max_length=MAX_REFERENCES)
    whole: bool = False
    """Whether pictures stay whole, with white borders, as models of subjects want them; else they
    are cropped to the shape of the clip."""
    batch: str = ""
    """`node.prefix` of a node that joins pictures, such as `60.images.image`: it is given the
    inputs `images.image0`, `images.image1` and so on; one picture goes past it."""

    @field_validator("batch")
    @classmethod
    def _names_a_series(cls, value: str) -> str:
        return _checked_place(value) if value else value


class Continues(Frozen):
    """How the workflow goes on from the chunk before: its clip begins with those frames."""

    frames: int = Field(ge=1, le=33)
    """Last frames of the chunk before that the clip repeats."""
    picture: Targets = ()
    """Where the oldest of them goes: the picture that the clip begins with."""
    video: Targets = ()
    """Where all of them go, as a video."""
    nodes: tuple[str, ...] = ()
    """Further nodes that are there for a continuation alone."""

    @property
    def own(self) -> frozenset[str]:
        """Nodes that a clip without a chunk before does not use, unless it has a first frame."""
        return frozenset({*self.nodes, *(target.node for target in self.video)})


class FrameRule(Frozen):
    """Which lengths a clip may have: `offset + k * step`, from `min` to `max`."""

    step: int = Field(ge=1, le=64)
    offset: int = Field(1, ge=0, le=64)
    min: int = Field(ge=1, le=4000)
    max: int = Field(ge=1, le=4000)


class ModelFile(Frozen):
    """A model file that the workflow loads on the server."""

    file: str
    folder: str
    """Below `models/` of the server."""
    url: str
    licence: str = ""


class NodePack(Frozen):
    """A pack of nodes that is not part of ComfyUI itself."""

    pack: str
    url: str
    nodes: tuple[str, ...] = Field(min_length=1)


class MappedPreset(Frozen):
    """What an editor picks."""

    name: str = Field("", pattern="^[a-z0-9_]*$", max_length=30)
    """Added to the name of the backend."""
    title: str = Field(max_length=80)
    size: Annotated[Size, BeforeValidator(_as_size)]
    frames: int
    steps: int | None = None
    guidance: float | None = None


Media = Annotated[MediaInput, BeforeValidator(_as_media)]


class WorkflowMapping(Frozen):
    """What the file says."""

    title: str = Field(max_length=80)
    model: str = Field(max_length=80)
    licence: str = Field(max_length=200)
    fps: int = Field(ge=1, le=120)
    frames: FrameRule
    sizes: tuple[Annotated[Size, BeforeValidator(_as_size)], ...] = Field(min_length=1)
    side_step: int = Field(16, ge=1, le=128)
    sound: bool = False
    """Whether its clips have sound."""
    reproducible: bool = True
    required: frozenset[InputKind] = frozenset()
    output: str
    """Node whose file is the clip."""
    sampler: str = ""
    """Node whose steps are the progress."""
    values: Mapping[ValueName, Targets]
    constants: Mapping[
        Annotated[str, AfterValidator(_checked_place)], str | int | float | bool
    ] = {}
    """Values that are not in the workflow file or replace those in it: `node.input` → value."""
    first_frame: Media | None = None
    last_frame: Media | None = None
    audio: Media | None = None
    references: Annotated[References, BeforeValidator(_as_media)] | None = None
    videos: Mapping[VideoRole, Media] = {}
    continuation: Continues | None = None
    models: tuple[ModelFile, ...] = ()
    packs: tuple[NodePack, ...] = ()
    presets: tuple[MappedPreset, ...] = Field(min_length=1)

    @property
    def inputs(self) -> frozenset[InputKind]:
        """Kinds of input that the workflow takes."""
        given: dict[InputKind, object] = {
            "text": True,
            "first_frame": self.first_frame,
            "last_frame": self.last_frame,
            "audio": self.audio,
            "reference_image": self.references,
            "reference_video": self.videos,
            "continuation": self.continuation,
        }
        return frozenset(kind for kind, value in given.items() if value)

    def places(self) -> Iterator["Place"]:
        """Everything that is put into the workflow, with its place in the file."""
        for value, targets in self.values.items():
            yield from _places(("values", value), targets)
        for to in self.constants:
            yield Place(("constants", to), Target(to=to))
        for name, media in (
            ("first_frame", self.first_frame),
            ("last_frame", self.last_frame),
            ("audio", self.audio),
            ("references", self.references),
        ):
            if media:
                yield from _places((name,), media.to)
        for role, media in self.videos.items():
            yield from _places(("videos", role), media.to)
        if self.continuation:
            yield from _places(("continuation", "video"), self.continuation.video)
            yield from _places(("continuation", "picture"), self.continuation.picture)

    def nodes(self) -> Iterator[tuple[Where, str]]:
        """All nodes that are named without an input, with their place in the file."""
        yield ("output",), self.output
        if self.sampler:
            yield ("sampler",), self.sampler
        named: list[tuple[Where, MediaInput | Continues | None]] = [
            (("first_frame",), self.first_frame),
            (("last_frame",), self.last_frame),
            (("audio",), self.audio),
            (("references",), self.references),
            (("continuation",), self.continuation),
            *((("videos", role), media) for role, media in self.videos.items()),
        ]
        for path, media in named:
            for number, node in enumerate(media.nodes if media else ()):
                yield (*path, "nodes", number), node
        if self.references and self.references.batch:
            yield ("references", "batch"), self.references.batch.split(".", 1)[0]


@dataclass(frozen=True)
class Place:
    """A target, and where the file names it."""

    path: Where
    target: Target


def _places(path: Where, targets: tuple[Target, ...]) -> Iterator[Place]:
    for number, target in enumerate(targets):
        yield Place((*path, number), target)
