"""The brief: what an editor asks for. Its errors are sentences that an editor understands."""

import math
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from pipelines.backends.base import BackendDefinition
from pipelines.backends.fit import check_fit
from pipelines.backends.options import changed_options
from pipelines.backends.registry import definition_of, offered_sizes, presets
from pipelines.documents import form, grouping
from pipelines.errors import BriefError
from pipelines.schema import limits
from pipelines.schema.keys import ObjectKey
from pipelines.schema.presets import AUTO, BackendOptions, Preset
from pipelines.schema.request import InputKind
from pipelines.schema.shots import MAX_PROMPT, MAX_SEED, PICK, HandShot, SheetWords, ShotOverride
from pipelines.schema.sizes import Aspect, Size
from pipelines.schema.text import clean_text, without_control_tokens

Priority = Literal["rush", "normal", "batch"]
Approval = Literal["none", "storyboard", "video", "both"]


class Brief(BaseModel):
    """What an editor asks for. Every field has a default but the prompt."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=True, json_schema_extra=form.finish
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
        description=f"Size, chunk length and quality under a name; {AUTO!r} lets Reelwright "
        f"choose. {limits.MINUTES}",
    )
    aspect: Aspect = Field(
        "preset",
        title="Shape",
        description="Landscape, portrait or square, with about as many pixels as the preset.",
    )
    upscale: Literal[-1, 1, 2, 4] = Field(
        -1,
        title="Upscale",
        description="2 and 4 enlarge with Real-ESRGAN, 1 keeps the size; -1 does as the preset.",
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
        description="Replaces the enhancer: the shots in order. Each needs one chunk or more of "
        "the length, so 2 seconds a shot are enough.",
    )
    enhance: bool = Field(
        True,
        title="Let the enhancer expand the brief",
        description="Off: every shot uses the brief's own words.",
    )
    language: form.Language = Field(
        "auto",
        title="Language",
        description="Of your words. 'auto' finds it out and translates them into English, "
        "'as-written' leaves them as they are; or a code such as 'th' or 'de'.",
        json_schema_extra={"enum": [*form.LANGUAGES]},
    )
    size: str = Field(
        "preset",
        title="Size",
        description="Width*height before upscaling; 'preset' takes the preset's.",
    )
    image: str = Field(
        "",
        title="Picture to begin with",
        description="uploads/….png, as the gateway answers an upload; for presets that can "
        "begin with a picture.",
    )
    last_image: str = Field(
        "",
        title="Picture to end with",
        description="uploads/….png; for presets that can end with a picture.",
    )
    references: tuple[str, ...] = Field(
        (),
        title="Pictures of what is shown",
        description=f"Up to {limits.MAX_REFERENCES} uploads/….png of a person, thing or place "
        "that the video shows; for presets that take them.",
    )
    motion: str = Field(
        "",
        title="Motion",
        description="uploads/….zip with the videos that move a figure; for presets that take it.",
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
    sheet: tuple[SheetWords, ...] = Field(
        (), title="Characters and places", description="How they look, as an editor wants it."
    )
    frames: int = Field(
        PICK,
        title="Frames a chunk",
        description="Length of a chunk, such as 17 or 33, as the preset's model can make it; "
        "-1 takes the preset's.",
    )
    steps: int = Field(
        PICK, title="Steps", description=f"1 to {limits.MAX_STEPS}; -1 takes the preset's."
    )
    guidance: float = Field(
        -1.0, title="Guidance", description=f"0 to {limits.MAX_GUIDANCE:g}; -1 takes the preset's."
    )
    flow_shift: float = Field(
        -1.0,
        title="Flow shift",
        description="0.1 to 30; more of it spends more steps on shapes and movement and fewer on "
        "detail. -1 takes the preset's.",
    )
    lora: form.LoraName = Field(
        "",
        title="LoRA",
        description="Name of an installed LoRA, which changes how the model draws.",
        max_length=100,
    )
    lora_strength: float = Field(
        -1.0,
        title="LoRA strength",
        description=f"0 to {limits.MAX_LORA_STRENGTH:g}; -1 takes 1, or the preset's.",
    )
    stands_in_for: str = Field(
        "",
        title="Stands in for",
        description="Set by the API: the model that was asked for, if the demo set makes the "
        "video in its place. Leave it empty.",
        max_length=100,
    )
    reviewed: form.ReviewedTexts = ()

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, values: Any) -> Any:
        """Flat, and with the preset's factor in place of -1: a brief always has 1, 2 or 4."""
        if not isinstance(values, dict):
            return values
        values = grouping.flat(values, cls.model_fields)
        if values.get("upscale", PICK) != PICK:
            return values
        preset = presets().get(str(values.get("preset", cls.model_fields["preset"].default)))
        return {**values, "upscale": preset.upscale if preset else 1}

    @field_validator("prompt")
    @classmethod
    def _prompt(cls, value: str) -> str:
        text = clean_text(value, "prompt", MAX_PROMPT)
        if not without_control_tokens(text):
            raise ValueError("the prompt is empty; say in a sentence what the video shows")
        return text

    @field_validator("style", "negative")
    @classmethod
    def _words(cls, value: str) -> str:
        return clean_text(value, "style or negative words", MAX_PROMPT // 2)

    @field_validator("campaign", "stands_in_for")
    @classmethod
    def _tag(cls, value: str) -> str:
        if any(mark in value for mark in "\r\n"):
            raise ValueError(f"the campaign {value!r:.80} has a line break; write it in one line")
        return clean_text(value, "campaign or model name", 100)

    @field_validator("preset")
    @classmethod
    def _known_preset(cls, value: str) -> str:
        if value not in (*presets(), AUTO):
            names = ", ".join((*presets(), AUTO))
            raise ValueError(f"preset {value!r} is unknown; choose one of {names}")
        return value

    @field_validator("lora_strength")
    @classmethod
    def _strength(cls, value: float) -> float:
        high = limits.MAX_LORA_STRENGTH
        if value != PICK and not (math.isfinite(value) and 0 <= value <= high):
            raise ValueError(
                f"lora_strength {value:g} is outside 0 to {high:g}; choose a number in that range, "
                "or -1 for the preset's"
            )
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

    @field_validator("image", "last_image")
    @classmethod
    def _uploaded(cls, value: str, info: ValidationInfo) -> str:
        return form.upload(value, str(info.field_name), ".png") if value else value

    @field_validator("references")
    @classmethod
    def _references(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(value) > limits.MAX_REFERENCES:
            raise ValueError(
                f"{len(value)} reference pictures are given; at most {limits.MAX_REFERENCES} are "
                "used: leave some out"
            )
        return tuple(form.upload(item, "references", ".png") for item in value)

    @field_validator("motion")
    @classmethod
    def _motion(cls, value: str) -> str:
        return form.upload(value, "motion", ".zip") if value else value

    @field_validator("size")
    @classmethod
    def _known_size(cls, value: str) -> str:
        offered = [str(size) for size in offered_sizes()]
        if value != "preset" and value not in offered:
            raise ValueError(
                f"size {value!r} is not offered; choose one of {', '.join(offered)}, or 'preset'"
            )
        return value

    @model_validator(mode="after")
    def _fits(self) -> "Brief":
        form.check_once([override.shot for override in self.shots])
        if self.aspect != "preset" and self.size != "preset":
            raise ValueError(
                f"the shape {self.aspect!r} and the size {self.size!r} are both set; keep one and "
                "leave the other at 'preset'"
            )
        if self.preset == AUTO:
            form.require_one_that_fits(self.with_preset)
            return self
        preset, most = self.resolved_preset(), self.backend.capabilities.max_references
        if preset.is_still and (self.image or self.last_image):
            raise ValueError("a picture cannot begin or end with a picture; ask for a video")
        check_fit(
            self.backend,
            preset,
            self.inputs,
            continues=self.continues,
            shaped=self.aspect != "preset",
        )
        if len(self.references) > most:
            raise ValueError(
                f"{len(self.references)} reference pictures are given; the preset {self.preset!r} "
                f"takes {most}: leave some out"
            )
        return self

    def with_preset(self, name: str) -> Self:
        """The same brief with the preset `name`. Raises ValidationError if it does not fit."""
        return self.model_validate(self.model_dump() | {"preset": name})

    @property
    def named_preset(self) -> Preset:
        """Its preset as the registry has it. Raises BriefError if it is still to be chosen."""
        if self.preset == AUTO:
            raise BriefError(
                f"the preset {AUTO!r} must be replaced by a name before a video is planned; start "
                "produce-content, or name a preset"
            )
        return presets()[self.preset]

    @property
    def backend(self) -> BackendDefinition:
        """The backend that makes its clips. Raises BriefError as `named_preset`."""
        return definition_of(self.named_preset)

    @property
    def continues(self) -> bool:
        """Whether each chunk continues the previous one."""
        return self.joins == "continue"

    @property
    def inputs(self) -> frozenset[InputKind]:
        """Kinds of input that its clips are made from."""
        kinds: dict[InputKind, object] = {
            "text": True,
            "first_frame": self.image,
            "last_frame": self.last_image,
            "reference_image": self.references,
            "reference_video": self.motion,
            "continuation": self.continues,
        }
        return frozenset(kind for kind, given in kinds.items() if given)

    @property
    def uploads(self) -> tuple[ObjectKey, ...]:
        """All files that a client uploaded for it."""
        given = (self.image, self.last_image, *self.references, self.motion)
        return tuple(ObjectKey(item) for item in given if item)

    def resolved_preset(self) -> Preset:
        """The preset with the brief's own size, frames and options.

        Raises ValueError for an option that the backend does not have, or a value that it does not
        allow, and BriefError as `named_preset`.
        """
        preset = self.named_preset
        changes: dict[str, Any] = {"options": self._options(preset)}
        if self.size != "preset":
            changes["size"] = Size.parse(self.size)
        elif self.aspect != "preset":
            step = definition_of(preset).capabilities.side_step
            changes["size"] = preset.size.shaped(self.aspect, step)
        if self.frames != PICK:
            changes["frames"] = self.frames
        if self.kind == "image":
            changes["frames"] = 1
        return preset.model_copy(update=changes)

    def _options(self, preset: Preset) -> BackendOptions:
        names = ("steps", "guidance", "flow_shift", "lora_strength")
        wanted = {name: value for name in names if (value := getattr(self, name)) != PICK}
        return changed_options(preset, wanted | ({"lora": self.lora} if self.lora else {}))

    def override_of(self, shot: int) -> ShotOverride | None:
        """The change to `shot` (counted from 1), if the editor made one."""
        return next((override for override in self.shots if override.shot == shot), None)
