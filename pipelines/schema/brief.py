"""The brief: what an editor asks for, checked in sentences an editor understands."""

import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pipelines.errors import BriefError
from pipelines.schema.presets import MAX_FRAMES, PRESETS, SIZES, Preset, Size, is_chunk_length
from pipelines.schema.text import clean_text, without_control_tokens

MAX_PROMPT = 2_000
"""Characters. Wan reads 512 tokens; a longer brief would be cut silently."""
MIN_SECONDS, MAX_SECONDS = 0.5, 600.0
MAX_SEED = 2**32 - 1
MAX_STEPS = 100
MAX_GUIDANCE = 20.0
MIN_CONTINUED = 9
"""Frames: Wan VACE repeats 5 of them, and something new must follow."""
PICK = -1
"""Sentinel for "choose for me": Prefect's form renders `int | None` as confusing tabs."""


class ShotOverride(BaseModel):
    """An editor's change to one shot: another take, or other words."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="Shot")

    shot: int = Field(title="Shot number", description="Counted from 1.", ge=1)
    seed: int = Field(
        PICK,
        title="Seed",
        description=f"Another number gives another take; -1 keeps the brief's. Up to {MAX_SEED}.",
        ge=PICK,
        le=MAX_SEED,
    )
    prompt: str = Field("", title="Words", description="Replaces the written shot if not empty.")

    @field_validator("prompt")
    @classmethod
    def _prompt(cls, value: str) -> str:
        return clean_text(value, "words of a shot", MAX_PROMPT)


def _in_order(schema: dict[str, Any]) -> None:
    """Prefect's form shows the fields by `position`; PostgreSQL forgets the order they had."""
    for position, field in enumerate(schema["properties"].values()):
        field["position"] = position


class Brief(BaseModel):
    """What an editor asks for. Every field has a default but the prompt."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=True, json_schema_extra=_in_order
    )

    prompt: str = Field(
        title="Brief",
        description=f"What the video shows, in your words. Up to {MAX_PROMPT:,} characters.",
        json_schema_extra={"minLength": 1, "maxLength": MAX_PROMPT},
    )
    seconds: float = Field(
        4.0,
        title="Seconds",
        description=f"Length of the video, {MIN_SECONDS:g} to {MAX_SECONDS:g}. Stills ignore it.",
        json_schema_extra={"minimum": MIN_SECONDS, "maximum": MAX_SECONDS},
    )
    preset: str = Field(
        "demo",
        title="Preset",
        description="Size, chunk length and quality under a name.",
        json_schema_extra={"enum": list(PRESETS)},
    )
    upscale: Literal[1, 2, 4] = Field(
        1, title="Upscale", description="1 keeps the size, 2 and 4 enlarge with Real-ESRGAN."
    )
    joins: Literal["cut", "continue", "crossfade"] = Field(
        "cut",
        title="Joins",
        description="How shots meet: a hard cut, one movement going on, or a dissolve.",
    )
    style: str = Field(
        "",
        title="Style",
        description="Added to every shot, such as '35 mm film, warm light'.",
    )
    negative: str = Field(
        "", title="Avoid", description="What must not be seen, in plain words without 'no'."
    )
    enhance: bool = Field(
        True,
        title="Let the writer expand the brief",
        description="Off: every shot uses the brief's own words.",
    )
    size: str = Field(
        "preset",
        title="Size",
        description="Width*height before upscaling; 'preset' takes the preset's.",
        json_schema_extra={"enum": ["preset", *SIZES]},
    )
    seed: int = Field(
        PICK,
        title="Seed",
        description=f"0 to {MAX_SEED} for a take you can repeat; -1 derives it from the brief.",
        json_schema_extra={"minimum": PICK, "maximum": MAX_SEED},
    )
    shots: tuple[ShotOverride, ...] = Field(
        (), title="Changed shots", description="Another seed or other words for single shots."
    )
    frames: int = Field(
        PICK,
        title="Frames a chunk",
        description=f"4k+1 up to {MAX_FRAMES}, such as 17 or 33; -1 takes the preset's.",
    )
    steps: int = Field(PICK, title="Steps", description=f"1 to {MAX_STEPS}; -1 takes the preset's.")
    guidance: float = Field(
        -1.0, title="Guidance", description=f"0 to {MAX_GUIDANCE:g}; -1 takes the preset's."
    )

    @field_validator("prompt")
    @classmethod
    def _prompt(cls, value: str) -> str:
        text = clean_text(value, "brief", MAX_PROMPT)
        if not without_control_tokens(text):
            raise ValueError("the brief is empty; say in a sentence what the video shows")
        return text

    @field_validator("style", "negative")
    @classmethod
    def _words(cls, value: str) -> str:
        return clean_text(value, "style or negative words", MAX_PROMPT // 2)

    @field_validator("preset")
    @classmethod
    def _known_preset(cls, value: str) -> str:
        if value not in PRESETS:
            raise ValueError(f"preset {value!r} is unknown; choose one of {', '.join(PRESETS)}")
        return value

    @field_validator("seconds")
    @classmethod
    def _finite_seconds(cls, value: float) -> float:
        if not (math.isfinite(value) and MIN_SECONDS <= value <= MAX_SECONDS):
            raise ValueError(
                f"seconds {value:g} is outside {MIN_SECONDS:g} to {MAX_SECONDS:g}; "
                "choose a length in that range"
            )
        return value

    @field_validator("seed")
    @classmethod
    def _seed_range(cls, value: int) -> int:
        if not PICK <= value <= MAX_SEED:
            raise ValueError(
                f"seed {value} is outside -1 to {MAX_SEED}; choose a number in that range, "
                "or -1 to derive it from the brief"
            )
        return value

    @field_validator("size")
    @classmethod
    def _known_size(cls, value: str) -> str:
        if value != "preset" and value not in SIZES:
            raise ValueError(
                f"size {value!r} is not offered (sides are multiples of 16); "
                f"choose one of {', '.join(SIZES)}, or 'preset'"
            )
        return value

    @field_validator("frames")
    @classmethod
    def _chunk_length(cls, value: int) -> int:
        if value != PICK and not is_chunk_length(value):
            lower = min(max(1, (value - 1) // 4 * 4 + 1), MAX_FRAMES - 7)
            raise ValueError(
                f"{value} frames a chunk cannot be made; it must be 4k+1 from 1 to {MAX_FRAMES}: "
                f"choose {lower} or {lower + 4}"
            )
        return value

    @field_validator("steps")
    @classmethod
    def _steps_range(cls, value: int) -> int:
        if value != PICK and not 1 <= value <= MAX_STEPS:
            raise ValueError(f"{value} steps is outside 1 to {MAX_STEPS}; choose a number there")
        return value

    @field_validator("guidance")
    @classmethod
    def _guidance_range(cls, value: float) -> float:
        if value != PICK and not (math.isfinite(value) and 0 <= value <= MAX_GUIDANCE):
            raise ValueError(
                f"guidance {value:g} is outside 0 to {MAX_GUIDANCE:g}; choose a number there"
            )
        return value

    @model_validator(mode="after")
    def _single_overrides(self) -> "Brief":
        numbers = [override.shot for override in self.shots]
        if self.joins == "continue" and self.resolved_preset().frames < MIN_CONTINUED:
            raise ValueError(
                f"joins 'continue' needs chunks of {MIN_CONTINUED} frames or more, these have "
                f"{self.resolved_preset().frames}: ask for more frames a chunk, or for cuts"
            )
        twice = sorted({number for number in numbers if numbers.count(number) > 1})
        if twice:
            raise ValueError(f"shot {twice[0]} is changed twice; keep one change a shot")
        return self

    def resolved_preset(self) -> Preset:
        """The preset with the brief's own size, frames, steps and guidance filled in."""
        preset = PRESETS[self.preset]
        changes: dict[str, Any] = {}
        if self.size != "preset":
            changes["size"] = Size.parse(self.size)
        for name in ("frames", "steps", "guidance"):
            value = getattr(self, name)
            if value != PICK:
                changes[name] = value
        if "guidance" in changes:
            changes["continued_guidance"] = changes["guidance"]
        return preset.model_copy(update=changes)

    def override_of(self, shot: int) -> ShotOverride | None:
        """The change to `shot` (counted from 1), if the editor made one."""
        return next((override for override in self.shots if override.shot == shot), None)


def parse_brief(values: dict[str, Any]) -> Brief:
    """A brief from plain values. Raises BriefError naming value, rule and remedy."""
    try:
        return Brief.model_validate(values)
    except ValidationError as error:
        raise BriefError("; ".join(_sentence(item) for item in error.errors())) from error


def _sentence(item: Any) -> str:
    message = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "value_error":
        return message
    field = ".".join(str(part) for part in item["loc"]) or "brief"
    title = Brief.model_fields[field].description if field in Brief.model_fields else ""
    return f"{field} {item.get('input')!r:.80}: {message.lower()}. {title}".strip()
