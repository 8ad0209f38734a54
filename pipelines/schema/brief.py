"""The brief: what an editor asks for, checked in sentences an editor understands."""

import math
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from pipelines.schema import limits
from pipelines.schema.keys import ObjectKey, is_key
from pipelines.schema.presets import (
    MAX_FRAMES,
    PRESETS,
    SIZES,
    Aspect,
    Preset,
    Size,
    is_chunk_length,
)
from pipelines.schema.shots import MAX_PROMPT, MAX_SEED, PICK, HandShot, ShotOverride
from pipelines.schema.text import clean_text, without_control_tokens

Priority = Literal["rush", "normal", "batch"]
Approval = Literal["none", "storyboard", "video", "both"]


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
    kind: Literal["video", "image"] = Field(
        "video",
        title="Kind",
        description="A video, or a single picture; a picture ignores the length.",
    )
    seconds: float = Field(
        4.0,
        title="Seconds",
        description=f"Length of the video, {limits.MIN_SECONDS:g} to {limits.MAX_SECONDS:g}.",
        json_schema_extra={"minimum": limits.MIN_SECONDS, "maximum": limits.MAX_SECONDS},
    )
    preset: str = Field(
        "demo",
        title="Preset",
        description=f"Size, chunk length and quality under a name. {limits.MINUTES}",
        json_schema_extra={"enum": list(PRESETS)},
    )
    aspect: Aspect = Field(
        "preset",
        title="Shape",
        description="Landscape, portrait or square, with about as many pixels as the preset.",
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
        "", title="Style", description="Added to every shot, such as '35 mm film, warm light'."
    )
    negative: str = Field(
        "", title="Avoid", description="What must not be seen, in plain words without 'no'."
    )
    approval: Approval = Field(
        "none",
        title="Approval",
        description="Wait for a person: after the storyboard (shots and a still of each), before "
        "the video is published, or both.",
    )
    approval_hours: float = Field(
        24.0,
        title="Hours to answer",
        description=f"How long one waits, {limits.MIN_HOURS:g} to {limits.MAX_HOURS:g} hours.",
        json_schema_extra={"minimum": limits.MIN_HOURS, "maximum": limits.MAX_HOURS},
    )
    on_silence: Literal["reject", "approve"] = Field(
        "reject",
        title="If nobody answers",
        description="What an approval becomes when its hours are over.",
    )
    priority: Priority = Field(
        "normal", title="Priority", description="Rush goes before normal, batch after it."
    )
    campaign: str = Field(
        "", title="Campaign", description="A tag to find the video by, such as 'spring-sale'."
    )
    storyboard: tuple[HandShot, ...] = Field(
        (),
        title="Shots by hand",
        description="Replaces the writer: the shots in order. Each needs one chunk or more of the "
        "length, so 2 seconds a shot are enough.",
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
    image: str = Field(
        "",
        title="Picture to begin with",
        description="uploads/….png, as the gateway answers an upload; demo models only.",
    )
    seed: int = Field(
        PICK,
        title="Seed",
        description=f"0 to {MAX_SEED} for a take you can repeat; -1 derives it.",
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
    steps: int = Field(
        PICK, title="Steps", description=f"1 to {limits.MAX_STEPS}; -1 takes the preset's."
    )
    guidance: float = Field(
        -1.0, title="Guidance", description=f"0 to {limits.MAX_GUIDANCE:g}; -1 takes the preset's."
    )
    stands_in_for: str = Field(
        "",
        title="Stands in for",
        description="Set by the API: the model that was asked for, if the demo set makes the "
        "video in its place. Leave it empty.",
        max_length=100,
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

    @field_validator("campaign", "stands_in_for")
    @classmethod
    def _tag(cls, value: str) -> str:
        return clean_text(value, "campaign or model name", 100)

    @field_validator("preset")
    @classmethod
    def _known_preset(cls, value: str) -> str:
        if value not in PRESETS:
            raise ValueError(f"preset {value!r} is unknown; choose one of {', '.join(PRESETS)}")
        return value

    @field_validator("seconds", "approval_hours")
    @classmethod
    def _in_range(cls, value: float, info: ValidationInfo) -> float:
        low, high = limits.RANGES[str(info.field_name)]
        if not (math.isfinite(value) and low <= value <= high):
            raise ValueError(
                f"{info.field_name} {value:g} is outside {low:g} to {high:g}; "
                "choose a number in that range"
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

    @field_validator("image")
    @classmethod
    def _uploaded(cls, value: str) -> str:
        if value and not (value.startswith("uploads/") and is_key(value)):
            raise ValueError(
                f"image {value!r:.90} is no uploaded picture; send it to /uploads and give the "
                "uploads/….png that is answered"
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

    @field_validator("steps", "guidance")
    @classmethod
    def _preset_range(cls, value: float, info: ValidationInfo) -> float:
        low, high = (
            (1, limits.MAX_STEPS) if info.field_name == "steps" else (0, limits.MAX_GUIDANCE)
        )
        if value != PICK and not (math.isfinite(value) and low <= value <= high):
            raise ValueError(
                f"{info.field_name} {value:g} is outside {low} to {high:g}; "
                "choose a number in that range, or -1 for the preset's"
            )
        return value

    @property
    def picture(self) -> ObjectKey | None:
        """The uploaded picture that the video begins with."""
        return ObjectKey(self.image) if self.image else None

    @model_validator(mode="after")
    def _single_overrides(self) -> "Brief":
        numbers = [override.shot for override in self.shots]
        if self.joins == "continue" and self.resolved_preset().frames < limits.MIN_CONTINUED:
            raise ValueError(
                f"joins 'continue' needs chunks of {limits.MIN_CONTINUED} frames or more, not "
                f"{self.resolved_preset().frames}: ask for more frames a chunk, or for cuts"
            )
        twice = sorted({number for number in numbers if numbers.count(number) > 1})
        if twice:
            raise ValueError(f"shot {twice[0]} is changed twice; keep one change a shot")
        if self.image and (self.resolved_preset().conditioning != "first-frame"):
            raise ValueError(
                f"the preset {self.preset!r} cannot begin with a picture: no model for that can be "
                "installed yet; use the preset 'demo', or leave the picture out"
            )
        if self.image and self.kind == "image":
            raise ValueError("a picture cannot begin with a picture; ask for a video")
        if self.aspect != "preset" and self.size != "preset":
            raise ValueError(
                f"the shape {self.aspect!r} and the size {self.size!r} are both set; keep one and "
                "leave the other at 'preset'"
            )
        return self

    def resolved_preset(self) -> Preset:
        """The preset with the brief's own size, frames, steps and guidance filled in."""
        preset = PRESETS[self.preset]
        changes: dict[str, Any] = {}
        if self.size != "preset":
            changes["size"] = Size.parse(self.size)
        elif self.aspect != "preset":
            changes["size"] = preset.size.shaped(self.aspect)
        for name in ("frames", "steps", "guidance"):
            value = getattr(self, name)
            if value != PICK:
                changes[name] = value
        if "guidance" in changes:
            changes["continued_guidance"] = changes["guidance"]
        if self.kind == "image":
            changes["frames"] = 1
        return preset.model_copy(update=changes)

    def override_of(self, shot: int) -> ShotOverride | None:
        """The change to `shot` (counted from 1), if the editor made one."""
        return next((override for override in self.shots if override.shot == shot), None)
