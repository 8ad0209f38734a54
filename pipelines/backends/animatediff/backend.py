"""AnimateDiff behind the interface of backends."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipelines.backends.animatediff.options import AnimateLcmOptions, Options
from pipelines.backends.base import (
    VIDEO_MODEL,
    BackendDefinition,
    BackendHost,
    Effort,
    GeneratedClip,
    InputMedia,
    ModelFolder,
    StepReport,
    UsedModel,
)
from pipelines.backends.checkpoint import BYTES, parameters_of
from pipelines.backends.checks import check_request, options_of
from pipelines.schema.presets import BackendOptions
from pipelines.schema.request import ClipRequest

if TYPE_CHECKING:
    from pipelines.backends.animatediff.model import AnimateDiffModel

RECIPE = "animatediff/1"
"""Raised when the same weights and request give other pixels than before."""
_BASE_PARTS = ("pipeline", "scheduler", "text_encoder", "tokenizer", "unet", "vae")
_WORKSPACE = 160_000_000
"""Bytes of the UNet's workspace for one 512*512 frame and pass; see `definitions`."""


class AnimateDiffBackend:
    """A base and a motion adapter whose files are known, but not loaded."""

    def __init__(
        self,
        definition: BackendDefinition,
        host: BackendHost,
        base: ModelFolder,
        adapter: ModelFolder,
    ) -> None:
        """Raises WeightsError if a folder lacks a component."""
        self._definition = definition
        self._host = host
        self._base = base
        self._adapter = adapter
        self._parts = {part: str(base.component(part)) for part in _BASE_PARTS}
        # The adapter's config and weights lie at the root of its folder, AnimateLCM's LoRA too.
        self._adapter_parts = {"pipeline": str(adapter.component("pipeline"))}

    @property
    def definition(self) -> BackendDefinition:
        return self._definition

    def identity(self, options: BackendOptions) -> Mapping[str, str]:
        """The base's components by name, the adapter's by its own name, dtype and recipe."""
        del options  # they are part of every request
        adapter = {
            f"{self._adapter.name}.{key}": value for key, value in self._adapter_parts.items()
        }
        dtype = f"unet, text_encoder, motion_adapter {self._host.dtype}; vae float32"
        return {**self._parts, **adapter, "dtype": dtype, "recipe": RECIPE}

    def models(self, options: BackendOptions) -> tuple[UsedModel, ...]:
        del options
        return (
            UsedModel(self._base.name, self._base.licence, self._parts),
            UsedModel(self._adapter.name, self._adapter.licence, self._adapter_parts),
        )

    def effort(self, requests: Sequence[ClipRequest]) -> Effort:
        """Megapixels x frames x passes of the UNet; the memory is derived, not measured."""
        work, most = 0.0, 0
        for request in requests:
            options = self._options(request)
            work += request.size.megapixels * request.frames * _passes(options) * options.steps
            most = max(most, _workspace(request, options))
        return Effort(work, self._weights + most, held_bytes=self._weights)

    @contextmanager
    def open(self) -> "Iterator[AnimateDiffSession]":
        """The models stay on the device after it, until the host needs their room."""
        yield AnimateDiffSession(self)

    def model(self, request: ClipRequest, options: Options) -> "AnimateDiffModel":
        """The loaded models, with room for `request`. Raises WeightsError if they do not load."""
        from pipelines.backends.animatediff.model import AnimateDiffModel

        strength = options.lora_strength if isinstance(options, AnimateLcmOptions) else None
        key = (
            *(f"{name}={value}" for name, value in self.identity(options).items()),
            str(strength),
        )

        def load() -> AnimateDiffModel:
            return AnimateDiffModel(
                self._base.path, self._adapter.path, self._host.device, self._host.dtype, strength
            )

        need = self._weights + _workspace(request, options)
        return self._host.resident(VIDEO_MODEL, key, load, need)

    def _options(self, request: ClipRequest) -> Options:
        options = options_of(self._definition, request)
        assert isinstance(options, Options)
        return options

    @property
    def _weights(self) -> int:
        """Bytes of all weights on the device."""
        wide = BYTES[self._host.dtype]
        return (
            parameters_of(self._base.path / "unet") * wide
            + parameters_of(self._adapter.path) * wide
            + parameters_of(self._base.path / "text_encoder") * wide
            + parameters_of(self._base.path / "vae") * BYTES["float32"]
        )

    def make(self, request: ClipRequest, on_step: StepReport) -> GeneratedClip:
        """Check `request`, load what it needs, and make its clip."""
        check_request(self._definition, request)
        options = self._options(request)
        return self.model(request, options).make(request, options, on_step)


def _passes(options: Options) -> int:
    """Passes of the UNet in a step."""
    return 2 if options.guidance > 1 else 1


def _workspace(request: ClipRequest, options: Options) -> int:
    """Bytes beside the weights, if nothing is split."""
    share = request.size.width * request.size.height / 512**2
    return round(_WORKSPACE * share * request.frames * _passes(options))


class AnimateDiffSession:
    """An open AnimateDiff."""

    def __init__(self, backend: AnimateDiffBackend) -> None:
        self._backend = backend

    def prepare(self, requests: Sequence[ClipRequest]) -> None:
        """Raises BriefError for a request that the backend cannot make. The text encoder is
        small and stays beside the UNet, so that nothing is encoded beforehand."""
        for request in requests:
            check_request(self._backend.definition, request)

    def generate(
        self, request: ClipRequest, media: InputMedia, on_step: StepReport
    ) -> GeneratedClip:
        """Raises BriefError, WeightsError, BadFramesError, or GenerationError without memory."""
        del media  # text is all that it takes
        return self._backend.make(request, on_step)
