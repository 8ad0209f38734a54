"""LTX-2 behind the interface of backends."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipelines.backends.base import (
    ENCODED_ON_CPU,
    TEXT_ENCODER,
    VIDEO_MODEL,
    BackendDefinition,
    BackendHost,
    Effort,
    GeneratedClip,
    InputMedia,
    ModelFolder,
    Phase,
    StepReport,
    UsedModel,
)
from pipelines.backends.checkpoint import BYTES, parameters_of, settings_of
from pipelines.backends.checks import check_request, options_of
from pipelines.backends.ltx2.memory_plan import Footprint
from pipelines.backends.ltx2.options import STEPS, Ltx2Options
from pipelines.schema.presets import BackendOptions
from pipelines.schema.request import ClipRequest

if TYPE_CHECKING:
    from pipelines.backends.ltx2.model import Ltx2Model
    from pipelines.backends.ltx2.text_encoder import EncodedText, TextEncoder

RECIPE = "ltx-2/1"
"""Raised when the same weights and request give other pixels than before."""
_PARTS = (
    "audio_vae",
    "connectors",
    "pipeline",
    "scheduler",
    "text_encoder",
    "tokenizer",
    "transformer",
    "vae",
    "vocoder",
)
_BESIDE = 1.1
"""Memory that the text encoder needs while it works, as a multiple of its weights."""


class Ltx2Backend:
    """LTX-2 whose files are known, but not loaded."""

    def __init__(
        self, definition: BackendDefinition, host: BackendHost, folder: ModelFolder
    ) -> None:
        """Raises WeightsError if the folder lacks a component."""
        self._definition = definition
        self.host = host
        self._folder = folder
        self._parts = {part: str(folder.component(part)) for part in _PARTS}

    @property
    def definition(self) -> BackendDefinition:
        return self._definition

    def identity(self, options: BackendOptions) -> Mapping[str, str]:
        """Each component, the dtype of each, and the recipe."""
        assert isinstance(options, Ltx2Options)
        dtype = f"{self.host.dtype}; audio_vae, vocoder float32"
        if options.weights == "fp8":
            dtype += "; transformer stored in float8_e4m3fn"
        return {**self._parts, "dtype": dtype, "recipe": RECIPE}

    def models(self, options: BackendOptions) -> tuple[UsedModel, ...]:
        del options
        return (UsedModel(self._folder.name, self._folder.licence, self._parts),)

    def effort(self, requests: Sequence[ClipRequest]) -> Effort:
        """Megapixels x frames x passes; as memory, that of the mode that the host has room for."""
        work, peak, held = 0.0, 0, 0
        room = self.host.room_bytes()
        for request in requests:
            options = _options(self._definition, request)
            passes = 2 if options.guidance > 1 else 1
            work += request.size.megapixels * request.frames * STEPS * passes
            footprint = self.footprint(options)
            mode = footprint.mode_for(request, room)
            peak, held = max(peak, footprint.peak(mode, request)), footprint.held(mode)
        encoder = int(_BESIDE * self._bytes("text_encoder"))
        # What does not fit comes layer by layer, which takes less than the video model.
        phases: dict[Phase, int] = {"encode": encoder} if encoder <= room else {}
        return Effort(work, max(peak, *phases.values(), 0), phases, held)

    @contextmanager
    def open(self) -> "Iterator[Ltx2Session]":
        """The models stay on the device after it, until the host needs their room."""
        yield Ltx2Session(self)

    def encode(self, texts: Sequence[str]) -> "dict[str, EncodedText]":
        """`texts`, encoded. The encoder is gone from the device when this returns.

        Where it does not fit the device it comes layer by layer, and else works on the CPU.
        Raises GenerationError if the host's memory does not last either.
        """
        weights = self._bytes("text_encoder")
        ways = [(self.host.device, False)]
        if self.host.device == "cuda":
            ways += [("cuda", True), ("cpu", False)]

        from pipelines.backends.memory import run_with_less

        def work() -> "dict[str, EncodedText]":
            return self._encoder(*ways[0], weights).encode(texts)

        def step_down() -> bool:
            self.host.release(TEXT_ENCODER)
            ways.pop(0)
            if ways and ways[0][0] != self.host.device:
                self.host.stood_in(ENCODED_ON_CPU)
            return bool(ways)

        try:
            return run_with_less(work, step_down, "close other programs that use the memory")
        finally:
            self.host.release(TEXT_ENCODER)

    def _encoder(self, device: str, streamed: bool, weights: int) -> "TextEncoder":
        import torch

        from pipelines.backends.ltx2.text_encoder import TextEncoder

        here = device == self.host.device and not streamed
        need = int(_BESIDE * weights) if here else 0

        def load() -> TextEncoder:
            layered = streamed or need > self.host.free_bytes()
            dtype = getattr(torch, self.host.dtype)
            return TextEncoder(self._folder.path, torch.device(device), dtype, layered)

        key = (
            self._parts["text_encoder"],
            self._parts["tokenizer"],
            device,
            self.host.dtype,
            "streamed" if streamed else "",
        )
        return self.host.resident(TEXT_ENCODER, key, load, need)

    def model(self, request: ClipRequest, options: Ltx2Options) -> "Ltx2Model":
        """The loaded models, with room for `request`. Raises WeightsError if they do not load."""
        import torch

        from pipelines.backends.ltx2.model import Ltx2Model

        device, dtype = torch.device(self.host.device), getattr(torch, self.host.dtype)
        footprint = self.footprint(options)
        identity = self.identity(options)
        key = (*(f"{name}={value}" for name, value in identity.items()), str(device))

        def load() -> Ltx2Model:
            # Asked here, when the models of other kinds have gone.
            mode = footprint.mode_for(request, self.host.free_bytes())
            return Ltx2Model(self._folder.path, device, dtype, options.weights, mode)

        return self.host.resident(VIDEO_MODEL, key, load, footprint.peak("resident", request))

    def footprint(self, options: Ltx2Options) -> Footprint:
        """What the models take. Raises WeightsError if a file cannot be read."""
        config = settings_of(self._folder.path / "transformer" / "config.json")
        weights = self._bytes("transformer", "fp8" if options.weights == "fp8" else None)
        return Footprint(weights, weights // int(config["num_layers"]), self._beside())

    def _bytes(self, part: str, dtype: str | None = None) -> int:
        return parameters_of(self._folder.path / part) * BYTES[dtype or self.host.dtype]

    def _beside(self) -> int:
        """Bytes of what stays on the device beside the transformer."""
        sound = self._bytes("audio_vae", "float32") + self._bytes("vocoder", "float32")
        return sound + self._bytes("connectors") + self._bytes("vae")


class Ltx2Session:
    """An open LTX-2. It keeps the encoded texts in memory, about 0.4 MB a token."""

    def __init__(self, backend: Ltx2Backend) -> None:
        self._backend = backend
        self._encoded: dict[str, EncodedText] = {}

    def prepare(self, requests: Sequence[ClipRequest]) -> None:
        """Encode the texts of all `requests` with one load of the encoder.

        Raises BriefError for a request that the backend cannot make, and WeightsError.
        """
        definition = self._backend.definition
        for request in requests:
            check_request(definition, request)
        texts = dict.fromkeys(t for request in requests for t in _texts_of(definition, request))
        missing = [text for text in texts if text not in self._encoded]
        if missing:
            self._encoded |= self._backend.encode(missing)

    def generate(
        self, request: ClipRequest, media: InputMedia, on_step: StepReport
    ) -> GeneratedClip:
        """Raises BriefError, WeightsError, BadFramesError, or GenerationError without memory."""
        self.prepare([request])
        options = _options(self._backend.definition, request)
        first = request.first_frame
        from pipelines.backends.ltx2.model import Given

        given = Given(
            self._encoded[request.prompt],
            self._encoded[request.negative] if options.guidance > 1 else None,
            media.picture(first.picture, request.size) if first else None,
        )
        model, footprint = self._backend.model(request, options), self._backend.footprint(options)
        # What the model holds is its own to use.
        budget = self._backend.host.free_bytes() + footprint.held(model.mode)
        mode = footprint.mode_for(request, budget)
        return model.make(request, options, given, on_step, mode)


def _options(definition: BackendDefinition, request: ClipRequest) -> Ltx2Options:
    options = options_of(definition, request)
    assert isinstance(options, Ltx2Options)
    return options


def _texts_of(definition: BackendDefinition, request: ClipRequest) -> tuple[str, ...]:
    """The texts that a call reads: without guidance the negative one does not count."""
    if _options(definition, request).guidance > 1:
        return request.prompt, request.negative
    return (request.prompt,)
