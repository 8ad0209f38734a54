"""A Wan backend for one video: its models are found and proven, but not loaded."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pipelines.backends.base import (
    BackendDefinition,
    BackendHost,
    BackendSession,
    Effort,
    Lora,
    ModelFolder,
    Phase,
    UsedModel,
)
from pipelines.backends.checkpoint import bytes_on_device, gguf_of, settings_of
from pipelines.backends.wan.footprint import ENCODING, Footprint, footprint_of
from pipelines.backends.wan.memory_plan import MemoryPlan, Work, held_bytes, plan_memory
from pipelines.backends.wan.options import WanOptions
from pipelines.backends.wan.variants import VACE_INPUTS, Variant
from pipelines.errors import WeightsError
from pipelines.schema.presets import BackendOptions
from pipelines.schema.request import ClipRequest, InputKind

if TYPE_CHECKING:
    from pipelines.backends.wan.loading import Source

_RECIPE = "wan/3"
"""Raised by hand when our own code changes the pixels. Versions of torch and diffusers are left
out on purpose: they move pixels by rounding only, and an upgrade must not throw away hours of
finished film."""
_ENCODER = ("text_encoder", "tokenizer")


class WanBackend:
    """Raises WeightsError in its constructor if a model is missing or is another one."""

    def __init__(
        self,
        definition: BackendDefinition,
        variant: Variant,
        host: BackendHost,
        inputs: frozenset[InputKind],
        session: Callable[[Any], BackendSession],
    ) -> None:
        """`session` opens it; the definitions know which class does."""
        self._session = session
        self.definition = definition
        self.host = host
        self.encoder: ModelFolder = host.model(variant.model)
        extended = bool(variant.vace) and bool(inputs & VACE_INPUTS)
        self.denoiser: ModelFolder = host.model(variant.vace) if extended else self.encoder
        self.continues = "continuation" in definition.capabilities.inputs and (
            extended or not variant.vace
        )
        """Whether `denoiser` makes chunks that go on from the one before."""
        self.route = "vace" if extended else variant.route
        self.transformers = variant.transformers
        self.parts = (*variant.transformers, "vae", "scheduler", "pipeline")
        """Components of `denoiser` that decide pixels."""
        for part in _ENCODER:
            self.encoder.component(part)
        for part in self.parts:
            self.denoiser.component(part)
        if not extended:
            _check_settings(self.denoiser, variant)

    def identity(self, options: BackendOptions) -> Mapping[str, str]:
        """Raises WeightsError if a LoRA is not installed or cannot be used here, and
        GenerationError if memory ran out in the self-test of attention in 8 bits, which comes here
        for options that allow it."""
        chosen = _wan(options)
        identity: dict[str, str] = {
            **{part: self.encoder.component(part) for part in _ENCODER},
            **{part: self.denoiser.component(part) for part in self.parts},
            "dtype": self.host.dtype,
            "recipe": _RECIPE,
        }
        stored = self.stored(chosen)
        if stored != self.host.dtype:
            identity["stored"] = stored
        if chosen.attention == "fast" and self._computes_in_8_bits():
            identity["attention"] = "8 bits"
        for name, lora, strength in self.loras(chosen):
            identity[f"lora of {name}"] = f"{lora.sha256} x {strength!r}"
        return identity

    def _computes_in_8_bits(self) -> bool:
        """Whether attention that may compute in 8 bits does so here. Raises GenerationError if that
        cannot be told."""
        import torch

        from pipelines.backends.attention import Heads, computes_in_8_bits

        folder = self.denoiser.path / self.transformers[0]
        config = settings_of(folder / "config.json")
        try:
            heads = Heads(config["num_attention_heads"], config["attention_head_dim"])
        except KeyError as error:
            raise WeightsError(
                f"the settings in {folder} are none of a Wan model: {error!r}; download it again"
            ) from error
        device, dtype = torch.device(self.host.device), getattr(torch, self.host.dtype)
        return computes_in_8_bits(heads, device, dtype, self.host.cache_folder)

    def loras(self, options: WanOptions) -> list[tuple[str, Lora, float]]:
        """The LoRA of each transformer that has one, and its strength."""
        wanted = [
            ("transformer", options.lora, options.lora_strength),
            ("transformer_2", options.lora_2, options.lora_2_strength),
        ]
        used = [(name, lora, strength) for name, lora, strength in wanted if lora and strength]
        for name, lora, _ in used:
            if gguf_of(self.denoiser.path / name):
                raise WeightsError(
                    f"the LoRA {lora} cannot be merged into {self.denoiser.title}, whose {name} is "
                    "quantised (GGUF); install the unquantised one, or choose a preset without LoRA"
                )
            if name not in self.transformers:
                raise WeightsError(
                    f"{self.definition.title} has one transformer, so the LoRA {lora} for a "
                    "second one cannot be used; leave lora_2 empty"
                )
        return [(name, self.host.lora(lora), strength) for name, lora, strength in used]

    def models(self, options: BackendOptions) -> tuple[UsedModel, ...]:
        """The denoiser first; the encoder's model beside it if it is another one."""
        denoises = {part: str(self.denoiser.component(part)) for part in self.parts}
        encodes = {part: str(self.encoder.component(part)) for part in _ENCODER}
        if self.encoder.path == self.denoiser.path:
            used = [UsedModel(self.denoiser.title, self.denoiser.licence, {**encodes, **denoises})]
        else:
            used = [
                UsedModel(self.denoiser.title, self.denoiser.licence, denoises),
                UsedModel(self.encoder.title, self.encoder.licence, encodes),
            ]
        used += [
            UsedModel(lora.name, lora.licence, {"file": str(lora.sha256)})
            for lora in dict.fromkeys(lora for _, lora, _ in self.loras(_wan(options)))
        ]
        return tuple(used)

    def effort(self, requests: Sequence[ClipRequest]) -> Effort:
        """Megapixels x frames x steps; a step without guidance is half of one with it."""
        work, held = 0.0, 0
        plans: list[MemoryPlan] = []
        room = self.host.room_bytes()
        for request in requests:
            options = WanOptions.checked(request.options)
            footprint = self.footprint(options)
            clip = work_of(request, self.route)
            plan = plan_memory(footprint, clip, room, self.host.device, options.decode)
            passes = 1.0 if options.guidance > 1 else 0.5
            work += request.size.megapixels * request.frames * options.steps * passes
            plans.append(plan)
            held = held_bytes(footprint, plan.placement, aside=plan.decoding == "alone")
        return self.priced(work, plans, held)

    def priced(self, work: float, plans: Sequence[MemoryPlan], held: int) -> Effort:
        """What `work` costs that is done as `plans` say, and leaves `held` bytes on the device."""
        weights = bytes_on_device(self.encoder.path / "text_encoder", self.host.dtype)
        encoder = int(ENCODING * weights)
        phases: dict[Phase, int] = {
            "denoise": max((plan.denoise_bytes for plan in plans), default=0),
            "decode": max((plan.decode_bytes for plan in plans), default=0),
        }
        if encoder <= self.host.room_bytes() or self.host.device == "cpu":
            phases["encode"] = encoder  # else it works on the CPU
        return Effort(work, max(phases.values()), phases, held)

    def stored(self, options: WanOptions) -> str:
        """How the transformers are stored: `fp8`, `gguf`, or in the dtype they compute in."""
        if gguf_of(self.denoiser.path / self.transformers[0]):
            return "gguf"
        return "fp8" if options.weights == "fp8" else self.host.dtype

    def footprint(self, options: WanOptions) -> Footprint:
        """What the models take on the device. Raises WeightsError if a file cannot be read."""
        return footprint_of(self.denoiser.path, self.transformers, self.stored(options))

    def source(self, options: WanOptions) -> "Source":
        """What the denoiser of a request with these options is made of."""
        from pipelines.backends.wan.loading import Source
        from pipelines.backends.wan.lora import AppliedLora

        return Source(
            folder=self.denoiser.path,
            route=self.route,
            transformers=self.transformers,
            dtype=self.host.dtype,
            stored=self.stored(options),
            loras=tuple(
                AppliedLora(lora.name, lora.path, strength, name)
                for name, lora, strength in self.loras(options)
            ),
        )

    @contextmanager
    def open(self) -> Iterator[BackendSession]:
        """A session; nothing loads before its first call."""
        yield self._session(self)


def work_of(request: ClipRequest, route: str) -> Work:
    """What a request means for the memory."""
    # A first frame of a text-to-video model is encoded alone, which is next to nothing.
    return Work(request.size, request.frames, encodes=route in ("image", "vace"))


def _wan(options: BackendOptions) -> WanOptions:
    return options if isinstance(options, WanOptions) else WanOptions.checked(options.model_dump())


def _check_settings(model: ModelFolder, variant: Variant) -> None:
    """Raises WeightsError if the folder holds another model than its name says."""
    again = f"run: reelwright models download {model.name}"
    if variant.needs and not settings_of(model.path / "model_index.json").get(variant.needs):
        raise WeightsError(
            f"{model.path}/model_index.json sets no {variant.needs}, which {model.title} needs; "
            f"{again}"
        )
    for name in variant.transformers:
        found = settings_of(model.path / name / "config.json").get("in_channels")
        if found != variant.channels:
            raise WeightsError(
                f"{model.path}/{name} has {found} input channels, but that of {model.title} has "
                f"{variant.channels}: it is another model; {again}"
            )
