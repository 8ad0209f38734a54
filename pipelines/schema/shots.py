"""Shots that an editor writes or changes."""

from pydantic import BaseModel, ConfigDict, Field, field_validator

from pipelines.schema.text import clean_text, without_control_tokens

MAX_PROMPT = 2_000
"""Characters. A video model reads less of some texts (Wan 512 tokens): a warning says so."""
MAX_SEED = 2**32 - 1
PICK = -1
"""Stands for "choose for me": Prefect's form renders `int | None` as confusing tabs."""


class HandShot(BaseModel):
    """A shot that the editor writes, in the order of the list."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="Shot by hand")

    prompt: str = Field(
        title="Words", description=f"What this shot shows. Up to {MAX_PROMPT:,} characters."
    )
    seed: int = Field(
        PICK,
        title="Seed",
        description=f"Another number gives another take; -1 derives it. Up to {MAX_SEED}.",
        ge=PICK,
        le=MAX_SEED,
    )

    @field_validator("prompt")
    @classmethod
    def _prompt(cls, value: str) -> str:
        text = clean_text(value, "words of a shot", MAX_PROMPT)
        if not without_control_tokens(text):
            raise ValueError("a shot by hand has no words; say what it shows, or remove it")
        return text


class ShotOverride(BaseModel):
    """An editor's change to one shot: another take, or other words."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="Changed shot")

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
