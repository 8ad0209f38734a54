"""Wan's own options: what a preset sets beside size and length."""

import math
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import ValidationError, ValidationInfo, field_validator

from pipelines.backends.base import Attention
from pipelines.schema.limits import MAX_GUIDANCE, MAX_STEPS
from pipelines.schema.presets import BackendOptions

_RANGES: dict[str, tuple[float, float]] = {
    "steps": (1, MAX_STEPS),
    "guidance": (0, MAX_GUIDANCE),
    "continued_guidance": (0, MAX_GUIDANCE),
    "guidance_2": (0, MAX_GUIDANCE),
    # Wan's own configurations use 3 to 12.
    "flow_shift": (0.1, 30),
    "lora_strength": (-4, 4),
    "lora_2_strength": (-4, 4),
}


Decode = Literal["float32", "bfloat16"]
"""How a preset wants its clips decoded; a CPU decodes in float32 whatever it says."""


class WanOptions(BackendOptions):
    """How a Wan model denoises."""

    steps: int
    guidance: float
    """Of the whole clip; with two transformers, of the first one (high noise)."""
    continued_guidance: float | None = None
    """Of a chunk that begins with given frames; None is `guidance`."""
    guidance_2: float | None = None
    """Of the second transformer (low noise), where there are two; None is `guidance`."""
    flow_shift: float
    """Timestep shift of the scheduler; more of it gives more steps to high noise."""
    lora: str = ""
    """Name of a LoRA in the catalog, merged into the (first) transformer."""
    lora_strength: float = 1.0
    lora_2: str = ""
    """The same for the second transformer."""
    lora_2_strength: float = 1.0
    weights: Literal["full", "fp8"] = "full"
    """`fp8` keeps the transformers' layers in 8 bits (float8_e4m3fn) and computes in 16: half
    the memory, and other pixels."""
    decode: Decode = "float32"
    """`bfloat16` lets the VAE decode in 16 bits on CUDA: twice as fast or more with half the
    memory, and pixels that differ by rounding. A CPU decodes in float32."""
    attention: Attention = "exact"
    """`fast` lets attention compute in 8 bits on CUDA if SageAttention is installed and passes a
    test against torch's own."""

    @field_validator(*_RANGES)
    @classmethod
    def _in_range(cls, value: float | None, info: ValidationInfo) -> float | None:
        low, high = _RANGES[str(info.field_name)]
        if value is not None and not (math.isfinite(value) and low <= value <= high):
            raise ValueError(
                f"{info.field_name} {value:g} is outside {low:g} to {high:g}; "
                "choose a number in that range, or -1 for the preset's"
            )
        return value

    @property
    def models(self) -> tuple[str, ...]:
        """Its LoRAs."""
        return tuple(name for name in (self.lora, self.lora_2) if name)

    def replaced(self, **changes: Any) -> Self:
        """With other values, checked. Raises ValueError with a sentence for each wrong one.

        A new `guidance` holds for the whole video: for chunks that go on and for the second
        transformer too, unless they are given beside it. A preset that has a LoRA was distilled
        by it: without it the preset's few steps would make noise, so it cannot be replaced.
        """
        self._keeps_its_loras(changes)
        if "guidance" in changes:
            changes = {"continued_guidance": None, "guidance_2": None, **changes}
        try:
            return super().replaced(**changes)
        except ValidationError as error:
            raise ValueError("; ".join(_sentence(item) for item in error.errors())) from error

    def _keeps_its_loras(self, changes: Mapping[str, Any]) -> None:
        for name in ("lora", "lora_2"):
            own, other = getattr(self, name), changes.get(name, "")
            if own and name in changes and other != own:
                raise ValueError(
                    f"{name} {other!r:.80} cannot replace {own!r}: the preset is distilled by its "
                    f"own LoRA to {self.steps} steps; use the preset without turbo"
                )

    @classmethod
    def checked(cls, values: Any) -> Self:
        """From plain values. Raises ValueError with a sentence for each wrong one."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise ValueError("; ".join(_sentence(item) for item in error.errors())) from error

    def guidance_of(self, *, begun: bool) -> float:
        """Of a chunk; `begun` if it begins with given frames."""
        if begun and self.continued_guidance is not None:
            return self.continued_guidance
        return self.guidance


class TwoTransformerOptions(WanOptions):
    """Options of a model with two transformers, each of which has a LoRA of its own."""

    def replaced(self, **changes: Any) -> Self:
        """With other values, checked. Raises ValueError with a sentence for each wrong one.

        A new `lora` or `lora_strength` holds for both transformers, unless that of the second one
        is given beside it.
        """
        both = {"lora_strength": "lora_2_strength"}
        if not self.lora:
            # Where the preset has LoRAs, the one for `transformer_2` is another one.
            both["lora"] = "lora_2"
        follows = {both[name]: value for name, value in changes.items() if name in both}
        return super().replaced(**{**follows, **changes})


def _sentence(item: Any) -> str:
    if item["type"] == "value_error":
        return str(item["msg"]).removeprefix("Value error, ")
    field = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        return f"option {field} is unknown; choose of {', '.join(WanOptions.model_fields)}"
    if item["type"] == "missing":
        return (
            f"{field} is missing: {str(item['msg']).lower()}; give it, or take a preset's options"
        )
    said = str(item["msg"]).lower()
    return f"{field} {item.get('input')!r:.80}: {said}; choose such a value, or the preset's"
