"""The interface of everything that makes clips.

A `BackendDefinition` is data: it is read by forms, plans and the router, and imports no model
library. Its `create` builds a `VideoBackend` for one video, which knows the identity of its
weights but has not loaded them. `open` gives a `BackendSession`, which makes clips.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

from pipelines.backends.texts import TextLimit
from pipelines.errors import WeightsError
from pipelines.schema.capabilities import Capabilities
from pipelines.schema.computation import Computation
from pipelines.schema.keys import Digest
from pipelines.schema.money import Money
from pipelines.schema.presets import BackendOptions, Preset
from pipelines.schema.request import ClipRequest, Continuation, InputKind, ReferenceVideo
from pipelines.schema.sizes import Size

Frame = npt.NDArray[np.uint8]
"""Height x width x 3, RGB, 0 to 255."""
Compile = Literal["auto", "on", "off"]
"""`auto`  models are compiled for the shapes that were warmed, as a warm process does
`on`    for every shape, before its first clip
`off`   not at all"""
Attention = Literal["exact", "fast"]
"""How a preset wants attention computed: `exact` in 16 bits or more, `fast` also in 8 bits."""
StepReport = Callable[[int, int], None]
"""Called with (steps done, steps in all) after each step of the work.

It may raise: a run that is cancelled, or whose previous chunk could not be stored, ends at the next
step. A backend lets that pass."""
Resident = TypeVar("Resident", bound="Closable")
VIDEO_MODEL = "video"
"""Kind on the host of what makes clips: one for all backends, so that a model replaces another
backend's and never stays beside it."""
TEXT_ENCODER = "encoder"
"""Kind on the host of what encodes texts, likewise."""
ENCODED_ON_CPU = "the texts were encoded on the CPU beside a GPU: memory ran out on the GPU"
"""For `BackendHost.stood_in`."""


class Closable(Protocol):
    """A loaded model that gives its memory back."""

    def close(self) -> None:
        """Free its memory; it cannot be used after that."""


@dataclass(frozen=True)
class ModelFolder:
    """An installed model whose files were checked against its index."""

    name: str
    """Its name in the catalog."""
    title: str
    licence: str
    path: Path
    """The file to load, or the folder of several."""
    components: Mapping[str, Digest]
    """Identity of the files below each subfolder (`transformer`, `vae`, …) by their bytes, and as
    `pipeline` that of the files beside them. A model of one file has `file` alone."""
    sizes: Mapping[str, int]
    """Bytes on disk of each of them."""

    def component(self, name: str) -> Digest:
        """Raises WeightsError if the folder does not hold it."""
        if name not in self.components:
            raise WeightsError(
                f"{self.path} holds no {name}, which {self.title} needs; "
                f"run: reelwright models download {self.name}"
            )
        return self.components[name]


@dataclass(frozen=True)
class Lora:
    """A file of low-rank weights for one of the models."""

    name: str
    path: Path
    sha256: Digest
    licence: str = ""
    """Of one in the catalog; a file of the user's own has none that we know."""


class BackendHost(Protocol):
    """What the machine gives to a backend. A remote backend asks for none of it."""

    @property
    def device(self) -> str:
        """`cuda` or `cpu`."""

    @property
    def dtype(self) -> str:
        """`bfloat16` or `float32`: what transformers and text encoders compute in."""

    @property
    def compile(self) -> Compile:
        """Whether its models are to be compiled; `off` on a CPU."""

    @property
    def cache_folder(self) -> Path:
        """Where a backend may keep what it can make again, such as text embeddings."""

    def model(self, name: str) -> ModelFolder:
        """An installed model by its name in the catalog. Raises WeightsError with a remedy."""

    def lora(self, name: str) -> Lora:
        """An installed LoRA. Raises WeightsError with a remedy."""

    def resident(
        self, kind: str, key: tuple[str, ...], load: Callable[[], Resident], need: int
    ) -> Resident:
        """What is loaded as `kind`, if it was loaded with the same `key`; else `load()`.

        There is one of each kind. `need` are the bytes it takes on the device; if so many are not
        free, models of other kinds go first.
        """

    def release(self, kind: str) -> None:
        """Free what is loaded as `kind`."""

    def free_bytes(self) -> int:
        """Bytes that can be had on the device now, without what torch only keeps in reserve."""

    def room_bytes(self) -> int:
        """Bytes that can be had once the models that are loaded now have gone: what a forecast
        counts with, since a model makes the others leave if it needs their room."""

    def stood_in(self, sentence: str) -> None:
        """Something stood in for what the video should have had: the run warns of it in these words
        on its page, in `status` and in the manifest."""


class InputMedia(Protocol):
    """The pixels and samples behind the inputs of a request."""

    def picture(self, digest: Digest, size: Size, *, whole: bool = False) -> Frame:
        """An uploaded picture at `size`: what is too long is cropped, or, if it is to stay `whole`,
        the rest is white. Raises BriefError if it is gone."""

    def overlap(self, given: Continuation) -> Sequence[Frame]:
        """The last raw frames of the chunk before, the oldest first."""

    def video(self, given: ReferenceVideo, size: Size, fps: int, frames: int) -> Sequence[Frame]:
        """`frames` frames of an uploaded video at `fps`, cropped and scaled to `size`.

        A chunk may be longer than what the film shows of it: beyond the video's end its last
        frame is repeated. Raises BriefError if the video is gone, MediaError if it ends before
        `given.start`.
        """


@dataclass(frozen=True)
class Sound:
    """The sound of a clip."""

    samples: npt.NDArray[np.float32]
    """Samples x channels, -1 to 1."""
    rate: int
    """Samples a second."""


@dataclass(frozen=True)
class GeneratedClip:
    """What one call made. The frames may be drawn once."""

    frames: Iterator[Frame]
    """Exactly as many as were asked for, or drawing them raises BadFramesError. They are still read
    while the next clip is made: their memory must not be used again."""
    memory_mode: str
    """How the memory was spent, such as `resident` or `tiled-decode`; empty for a remote one."""
    sound: Sound | None = None
    computation: Computation | None = None
    """How the device computed it; None where the backend chooses nothing for speed."""


Phase = Literal["encode", "denoise", "decode"]
"""A part of the work of a backend on the device: its texts, the clip's latents, its pixels."""


@dataclass(frozen=True)
class Effort:
    """What requests cost: work in units that hold on every machine, memory on this host."""

    work: float
    """Megapixels x frames x passes, or the backend's own unit; rates are learned for each one."""
    memory_bytes: int
    """Largest amount that it holds on the device at once, as it plans for this host; for a remote
    one what it holds in the memory of the host."""
    phases: Mapping[Phase, int] = field(default_factory=dict)
    """The same for each phase that it can tell; a phase on the CPU beside a GPU is left out."""
    held_bytes: int = 0
    """Bytes of models that stay on the device after the last clip."""
    price: Money | None = None
    """The most that a remote one asks for them; None for one on the device."""


class BackendSession(Protocol):
    """An open backend."""

    def prepare(self, requests: Sequence[ClipRequest]) -> None:
        """Do once what all `requests` need, such as encoding their texts."""

    def generate(
        self, request: ClipRequest, media: InputMedia, on_step: StepReport
    ) -> GeneratedClip:
        """Make one clip.

        Raises BadFramesError on non-finite pixels and GenerationError if memory runs out.
        """


@runtime_checkable
class Warmable(Protocol):
    """A session that can get ready for a preset before there is a brief for it."""

    def warm(self, preset: Preset) -> bool:
        """Load what `preset` needs and compile it for its size and length.

        This takes tens of seconds. Returns whether compiled code is there now; False at once where
        the host compiles nothing. Raises what `generate` raises.
        """


@dataclass(frozen=True)
class UsedModel:
    """A model behind a backend, for the manifest."""

    name: str
    licence: str
    components: Mapping[str, str]
    """Those that decide pixels, each with its identity."""


class VideoBackend(Protocol):
    """A backend for one video: its weights are known, but not loaded."""

    @property
    def definition(self) -> "BackendDefinition":
        """What it is and can do."""

    def identity(self, options: BackendOptions) -> Mapping[str, str]:
        """Revision of every component that decides pixels, dtype and recipe."""

    def models(self, options: BackendOptions) -> tuple[UsedModel, ...]:
        """The models behind it."""

    def effort(self, requests: Sequence[ClipRequest]) -> Effort:
        """What `requests` cost; loads nothing."""

    def open(self) -> AbstractContextManager[BackendSession]:
        """A session. A backend on the device loads its models at the first call."""


@dataclass(frozen=True)
class BackendDefinition:
    """A backend as data."""

    name: str
    title: str
    capabilities: Capabilities
    options: type[BackendOptions]
    presets: tuple[Preset, ...]
    create: Callable[[BackendHost, frozenset[InputKind]], VideoBackend]
    """Builds the backend of a video that uses these kinds of input. Raises WeightsError."""
    models: tuple[str, ...] = ()
    """Names in the catalog of what it needs for text alone."""
    more_models: Mapping[InputKind, tuple[str, ...]] = field(default_factory=dict)
    """What it needs besides for an input."""
    negative: str = ""
    """Words that its clips always avoid, after those of the brief."""
    text: TextLimit | None = None
    """How much of a text it reads; None: all of it, or its server says if one is too long."""
    stand_in: bool = False
    """Whether it may make a video in place of a backend that is not installed."""
    libraries: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Classes that it takes from libraries which load them by name, so that a process can load
    them before an upgrade changes the files: library → names."""
    model_set: str = "studio"
    """Set that gives the enhancer and the upscaler of its videos."""
    rates: Mapping[str, float] = field(default_factory=dict)
    """Seconds for a unit of work on each kind of device, before anything was measured."""
    basis: str = "not yet measured here"
    """Where `rates` come from."""
    kind: str = ""
    """Of one in the operator's file: which service it is. Its name is the operator's choice."""
    random_model: Callable[[str, Path, str], None] | None = None
    """Writes one of `models` by its name into a folder, at its real size with random weights made
    on the device named last, so that speed and memory can be measured without the real ones."""

    def models_for(self, inputs: frozenset[InputKind]) -> tuple[str, ...]:
        """Names in the catalog of what a video with these inputs needs."""
        more = [name for kind in sorted(inputs) for name in self.more_models.get(kind, ())]
        return tuple(dict.fromkeys((*self.models, *more)))
