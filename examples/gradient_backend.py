"""An example of a backend: two colours that move, and a tone. The model for one of your own.

It needs no weights and no device, so that a whole video can be tried in a second. Read it from
top to bottom beside `docs/adding-a-backend.md`, which says what each part is for.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
from pydantic import Field

from pipelines.backends.base import (
    BackendDefinition,
    BackendHost,
    Effort,
    Frame,
    GeneratedClip,
    InputMedia,
    Sound,
    StepReport,
    UsedModel,
    VideoBackend,
)
from pipelines.backends.checks import check_request, options_of
from pipelines.errors import GenerationError
from pipelines.schema.capabilities import Capabilities
from pipelines.schema.presets import BackendOptions, Preset
from pipelines.schema.request import ClipRequest, InputKind
from pipelines.schema.sizes import Size

# Part of the identity of every clip. Raise the number when the same request gives other pixels:
# finished clips are found again by their identity, and old ones must not be taken for new ones.
RECIPE = "gradient/1"

# Samples a second. A multiple of the frame rate, so that each frame has a whole number of them.
RATE = 48_000


class GradientOptions(BackendOptions):
    """What an editor may set. Pydantic checks the limits; every field needs a default."""

    speed: int = Field(default=2, ge=0, le=16)
    """Pixels by which the colours move to the right from frame to frame."""
    volume: float = Field(default=0.2, ge=0, le=1)
    """Loudest sample of the tone; heard only from the backend that makes sound."""


# What it can do, as data. Forms, the plan and the router read this and refuse what does not fit,
# long before `generate` is called.
SILENT = Capabilities(
    inputs=frozenset({"text", "continuation"}),  # a text, or a text and the chunk before
    fps=12,
    frame_step=1,  # any length from 1 …
    max_frames=48,  # … to 48 frames in one call
    sizes=(Size(64, 64), Size(128, 128), Size(320, 176)),
    side_step=16,
    overlap=1,  # a continued chunk is given the last frame of the one before, and repeats it
    audio=False,
    reproducible=True,  # the same request gives the same pixels
    location="remote",  # needs neither a device nor weights nor their lock
)
WITH_SOUND = SILENT.model_copy(update={"audio": True})


class GradientBackend:
    """A VideoBackend: it knows what it would use, and has not loaded anything."""

    def __init__(self, definition: BackendDefinition) -> None:
        self._definition = definition

    @property
    def definition(self) -> BackendDefinition:
        return self._definition

    def identity(self, options: BackendOptions) -> Mapping[str, str]:
        """Everything that decides pixels and is not in the request. A backend with weights has an
        entry for each of its components here (`ModelFolder.component`), and one for the dtype."""
        del options  # they are in the request
        return {"recipe": RECIPE}

    def models(self, options: BackendOptions) -> tuple[UsedModel, ...]:
        """For the manifest: name, licence, components."""
        return (UsedModel("gradient", "Apache-2.0", self.identity(options)),)

    def effort(self, requests: Sequence[ClipRequest]) -> Effort:
        """Megapixels x frames. The time for one is learned from finished clips."""
        work = sum(request.size.megapixels * request.frames for request in requests)
        return Effort(work, memory_bytes=0)  # nothing on a device

    @contextmanager
    def open(self) -> "Iterator[GradientSession]":
        """A backend with a connection or a lock takes it here and gives it back at the end."""
        yield GradientSession(self._definition)


class GradientSession:
    """A BackendSession: it makes clips."""

    def __init__(self, definition: BackendDefinition) -> None:
        self._definition = definition

    def prepare(self, requests: Sequence[ClipRequest]) -> None:
        """Called once with all requests. Here others encode the texts; we only check: a request
        that does not fit raises BriefError with value, rule and remedy."""
        for request in requests:
            check_request(self._definition, request)

    def generate(
        self, request: ClipRequest, media: InputMedia, on_step: StepReport
    ) -> GeneratedClip:
        """Make one clip. Frames are a stream: they are drawn once, and never held all together."""
        check_request(self._definition, request)  # a retry may come without `prepare`
        options = options_of(self._definition, request)
        assert isinstance(options, GradientOptions)
        # Inputs are a tagged union: take those that you know. `request.first_frame` is another.
        given = request.continuation
        first = media.overlap(given)[-1] if given else _colours(request)
        if first.shape != (request.size.height, request.size.width, 3):
            raise GenerationError(
                f"the chunk before has frames of shape {first.shape}, this one is {request.size}; "
                "make both in one size"
            )
        sound = _tone(request, options) if self._definition.capabilities.audio else None
        return GeneratedClip(_moved(first, request.frames, options, on_step), "", sound)


def _colours(request: ClipRequest) -> Frame:
    """One colour fading into another from left to right; prompt and seed decide which."""
    low, high = np.frombuffer(_digest(request)[:6], np.uint8).reshape(2, 1, 3).astype(float)
    width, height = request.size
    # Out and back, so that the right edge meets the left one when the field moves.
    share = 1 - np.abs(np.linspace(-1, 1, width, endpoint=False))[:, None]
    row = (low + (high - low) * share).round().astype(np.uint8)
    return np.tile(row, (height, 1, 1))


def _moved(
    first: Frame, frames: int, options: GradientOptions, on_step: StepReport
) -> Iterator[Frame]:
    """Exactly `frames` frames; the first is `first` itself, also when it is the overlap."""
    for index in range(frames):
        yield np.roll(first, index * options.speed, axis=1)
        on_step(index + 1, frames)


def _tone(request: ClipRequest, options: GradientOptions) -> Sound:
    """A sine of 220 to 475 Hz, exactly as long as the frames."""
    hertz = 220 + _digest(request)[6]
    seconds = np.arange(request.frames * RATE // request.fps) / RATE
    wave = options.volume * np.sin(2 * np.pi * hertz * seconds)
    return Sound(wave.astype(np.float32)[:, None], RATE)


def _digest(request: ClipRequest) -> bytes:
    """Not `hash()`, which differs from process to process: clips must not."""
    return hashlib.sha256(f"{request.prompt}\n{request.seed}".encode()).digest()


def _silent(_: BackendHost, __: frozenset[InputKind]) -> VideoBackend:
    """Called for each video. A backend on the device asks the host for its models here, so that
    missing weights are found before anything is planned; a remote one leaves the host alone."""
    return GradientBackend(GRADIENT)


def _with_sound(_: BackendHost, __: frozenset[InputKind]) -> VideoBackend:
    return GradientBackend(GRADIENT_WITH_SOUND)


GRADIENT = BackendDefinition(
    name="gradient",
    title="Moving colours",
    capabilities=SILENT,
    options=GradientOptions,
    presets=(
        Preset(
            name="gradient",
            title="Two colours that move, 128*128, for trials",
            backend="gradient",
            size=Size(128, 128),
            frames=24,
            options=GradientOptions(),
        ),
    ),
    create=_silent,
)

GRADIENT_WITH_SOUND = BackendDefinition(
    name="gradient-sound",
    title="Moving colours with a tone",
    capabilities=WITH_SOUND,
    options=GradientOptions,
    presets=(
        Preset(
            name="gradient_sound",
            title="Two colours that move and a tone, 128*128, for trials",
            backend="gradient-sound",
            size=Size(128, 128),
            frames=24,
            options=GradientOptions(),
        ),
    ),
    create=_with_sound,
)

DEFINITIONS: tuple[BackendDefinition, ...] = (GRADIENT, GRADIENT_WITH_SOUND)
