"""What the operator writes of a server: which model it runs, and what that can do.

No such server says which sizes, lengths and inputs its model takes, so the entry does.
"""

import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from pipelines.backends.remote.config import RemoteConfig
from pipelines.schema.capabilities import Capabilities
from pipelines.schema.limits import MAX_GUIDANCE, MAX_SECONDS, MAX_STEPS, MIN_SECONDS
from pipelines.schema.sizes import Size

_SIZE = re.compile(r"(\d{2,4})[x*](\d{2,4})\Z")
Dialect = Literal["sglang", "vllm-omni", "fastvideo", "reelwright"]
ServerInput = Literal["first_frame", "continuation"]
"""`first_frame`   a picture that the clip begins with
`continuation`  the last frame of the chunk before, given as such a picture"""


def _as_size(value: object) -> Size:
    found = _SIZE.match(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"{value!r:.40} is no size; write it as 832x480")
    return Size(int(found[1]), int(found[2]))


class ServerConfig(RemoteConfig):
    """What every kind of server is told."""

    model: str = Field(min_length=1, max_length=200)
    """Its model. Part of the identity of every chunk; another Reelwright takes it as the name of a
    preset or backend."""
    revision: str = Field("", max_length=100)
    """Change it when the server's weights change, so that old chunks are not used for new ones."""
    licence: str = Field("", max_length=200)
    """Of the model, for the manifest."""
    fps: int = Field(ge=1, le=60)
    """Frames a second of its clips."""
    sizes: tuple[Annotated[Size, BeforeValidator(_as_size)], ...] = Field(
        min_length=1, max_length=20
    )
    """`832x480`; the first one is the preset's."""
    side_step: int = Field(16, ge=1, le=256)
    """Width and height are multiples of it."""
    frames: int = Field(ge=1)
    """Of a chunk."""
    frame_step: int = Field(4, ge=1)
    frame_offset: int = Field(1, ge=0)
    """A clip has `frame_offset + k * frame_step` frames."""
    min_frames: int = Field(5, ge=2)
    max_frames: int = Field(ge=2)
    inputs: tuple[ServerInput, ...] = ()
    """Besides the text."""
    needs_picture: bool = False
    """Whether its model makes nothing without a picture to begin with."""
    sound: bool = False
    """Whether its clips have sound."""
    reproducible: bool = True
    """Whether the same request gives the same pixels again."""
    preset: str = Field("", pattern="^[a-z0-9_]*$", max_length=30)
    """Follows the entry's name in the name of the preset; empty: the name alone."""
    steps: int | None = Field(None, ge=1, le=MAX_STEPS)
    """Of the preset; left out: the server's own."""
    seconds_for_one: float = Field(2.0, gt=0)
    """Seconds of waiting for a second of video, before anything was measured."""

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        can = self.capabilities()
        if self.max_frames / self.fps > MAX_SECONDS:
            raise ValueError(
                f"max_frames {self.max_frames} are more than {MAX_SECONDS:g} s at fps {self.fps}; "
                f"set at most {int(MAX_SECONDS * self.fps)}"
            )
        if self.longest_below_shortest():
            raise ValueError(
                f"no length from min_frames {self.min_frames} to max_frames {self.max_frames} is "
                f"{self.frame_offset} + k * {self.frame_step}; correct frame_offset or frame_step"
            )
        if not can.is_length(self.frames):
            below, above = can.lengths_around(self.frames)
            raise ValueError(
                f"frames {self.frames} is no length of this entry ({can.length_rule}); set {below} "
                f"or {above}"
            )
        for size in self.sizes:
            if size.width % self.side_step or size.height % self.side_step:
                raise ValueError(
                    f"size {size.width}x{size.height} has a side that is no multiple of side_step "
                    f"{self.side_step}; correct one of them"
                )
        if self.needs_picture and "first_frame" not in self.inputs:
            raise ValueError("needs_picture is set, but inputs has no first_frame; add it")
        if "continuation" in self.inputs and self.frames < can.shortest_continued:
            raise ValueError(
                f"frames {self.frames} is too short for the input continuation; set at least "
                f"{can.shortest_continued}"
            )
        return self

    def longest_below_shortest(self) -> bool:
        """Whether the rule for lengths leaves none."""
        can = self.capabilities()
        return not any(can.is_length(n) for n in (*can.lengths_around(self.min_frames),))

    def capabilities(self) -> Capabilities:
        """What the server's model can do."""
        return Capabilities(
            inputs=frozenset({"text", *self.inputs}),
            required=frozenset({"first_frame"} if self.needs_picture else ()),
            fps=self.fps,
            frame_step=self.frame_step,
            frame_offset=self.frame_offset,
            min_frames=self.min_frames,
            max_frames=self.max_frames,
            sizes=self.sizes,
            side_step=self.side_step,
            overlap=1 if "continuation" in self.inputs else 0,
            audio=self.sound,
            reproducible=self.reproducible,
            location="remote",
        )


class VideosConfig(ServerConfig):
    """A server that speaks `/v1/videos`."""

    kind: Literal["videos"]
    dialect: Dialect
    guidance: float | None = Field(None, ge=0, le=MAX_GUIDANCE)
    """Of the preset; left out: the server's own."""
    flow_shift: float | None = Field(None, ge=0.1, le=30)
    """The same."""

    @model_validator(mode="after")
    def _speaks(self) -> Self:
        if self.dialect == "fastvideo" and self.flow_shift is not None:
            raise ValueError("flow_shift is set, but fastvideo has no such field; remove it")
        if self.dialect == "reelwright" and self.min_frames < MIN_SECONDS * self.fps:
            raise ValueError(
                f"min_frames {self.min_frames} is less than the {MIN_SECONDS:g} s that another "
                f"Reelwright makes; set at least {-int(-MIN_SECONDS * self.fps // 1)}"
            )
        return self


class LightX2VConfig(ServerConfig):
    """A server of LightX2V. It has one guidance, set at its start."""

    kind: Literal["lightx2v"]
