"""Presets: named combinations of a backend, a size, a length and options."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pipelines.schema.frozen import Frozen
from pipelines.schema.request import OptionValue, VideoRole
from pipelines.schema.sizes import Size

AUTO = "auto"
"""In place of a preset's name: the router chooses one."""
FADE_SECONDS = 0.5
"""Length of a crossfade; shorter chunks use half of their length."""

MAX_EXTENSIONS = 5
"""Chunks that continue one another, before a cut starts a new one: colours and shapes drift a
little with each continuation."""


class BackendOptions(Frozen):
    """Base of every backend's own options. Fields are named as the settings of its pipeline."""

    def identity(self) -> Mapping[str, OptionValue]:
        """The options as a request holds them: without those that have their default.

        So an option that is added later changes no digest of before. Its default must be what was
        done until then, and a default never changes.
        """
        return self.model_dump(mode="json", exclude_defaults=True)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of LoRAs that it uses."""
        return ()

    @property
    def video_roles(self) -> tuple[VideoRole, ...]:
        """The videos of a motion archive that it uses."""
        return ()

    def replaced(self, **changes: Any) -> Self:
        """A copy with other values, validated.

        Raises ValueError for an unknown name or a value that is not allowed.
        """
        return type(self).model_validate({**self.model_dump(), **changes})


class Preset(Frozen):
    """What an editor picks by name."""

    name: str
    title: str
    """One line for a form."""
    backend: str
    size: Size
    frames: int
    """Frames of a chunk."""
    options: BackendOptions
    upscale: Literal[1, 2, 4] = 1
    """Factor by which its pictures are enlarged if a brief asks for none."""

    @property
    def is_still(self) -> bool:
        """Whether it makes a single picture."""
        return self.frames == 1


def fade_of(frames: int, fps: int) -> int:
    """Frames that two chunks of `frames` frames share in a crossfade."""
    return min(round(FADE_SECONDS * fps), (frames - 1) // 2)
