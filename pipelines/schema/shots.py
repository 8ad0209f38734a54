"""Shots that an editor writes or changes."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from pipelines.schema.storyboard import ShotSource
from pipelines.schema.text import clean_text, without_control_tokens

MAX_PROMPT = 2_000
"""Characters. A video model reads less of some texts (Wan 512 tokens): a warning says so."""
MAX_SHOT = MAX_PROMPT + 200
"""Characters of a shot's words: a brief of MAX_PROMPT with a camera before it is a shot."""
MAX_FRAMING = 80
"""Characters of a size or a camera move."""
MAX_WISH = 300
MAX_APPEARANCE = 600
ORIGINAL = (
    "What an editor wrote in another language, of which these are the English words. Filled in "
    "from the draft. Leave it as it is."
)
MAX_SEED = 2**32 - 1
PICK = -1
"""Stands for "choose for me": Prefect's form renders `int | None` as confusing tabs."""


class HandShot(BaseModel):
    """A shot that the editor writes, in the order of the list."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="Shot by hand")

    prompt: str = Field(
        title="Words", description=f"What this shot shows. Up to {MAX_SHOT:,} characters."
    )
    seed: int = Field(
        PICK,
        title="Seed",
        description=f"Another number gives another take; -1 derives it. Up to {MAX_SEED}.",
        ge=PICK,
        le=MAX_SEED,
    )
    chunks: int = Field(
        0,
        title="Length in chunks",
        description="0 in all shots: they share the length of the video evenly. A shot of more "
        "than one chunk shows its words again, as another take or as one movement that goes on.",
        ge=0,
        le=3_000,
    )
    size: str = Field("", title="Size", description="Such as 'wide shot'; empty: as the words say.")
    camera: str = Field(
        "", title="Camera", description="Such as 'slow pan left'; empty: as the words say."
    )
    wish: str = Field(
        "",
        title="Wish",
        description="The shot is written again with it, such as 'closer, at night'.",
    )
    source: ShotSource = Field(
        "editor", title="Written by", description="Filled in from the draft. Leave it as it is."
    )
    original: str = Field("", title="Original", description=ORIGINAL)

    @field_validator("prompt")
    @classmethod
    def _prompt(cls, value: str) -> str:
        return words_of_shot(value)

    @field_validator("size", "camera")
    @classmethod
    def _framing(cls, value: str) -> str:
        return clean_text(value, "size or camera of a shot", MAX_FRAMING)

    @field_validator("wish")
    @classmethod
    def _wish(cls, value: str) -> str:
        return clean_text(value, "wish for a shot", MAX_WISH)

    @field_validator("original")
    @classmethod
    def _original(cls, value: str) -> str:
        return clean_text(value, "original words of a shot", MAX_SHOT)


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
    wish: str = Field(
        "",
        title="Wish",
        description="The shot is written again with it, such as 'closer, at night'.",
    )

    @field_validator("prompt")
    @classmethod
    def _prompt(cls, value: str) -> str:
        return clean_text(value, "words of a shot", MAX_SHOT)

    @field_validator("wish")
    @classmethod
    def _wish(cls, value: str) -> str:
        return clean_text(value, "wish for a shot", MAX_WISH)


class SheetWords(BaseModel):
    """An editor's words for a character or a place, in every shot that shows it."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="Character or place")

    name: str = Field(title="Name", description="As the draft has it.", max_length=100)
    appearance: str = Field(
        title="Looks",
        description=f"Every shot that shows it repeats this. Up to {MAX_APPEARANCE} characters.",
    )
    kind: Literal["character", "place"] = Field("character", title="Kind")
    original: str = Field("", title="Original", description=ORIGINAL)

    @field_validator("appearance")
    @classmethod
    def _appearance(cls, value: str) -> str:
        text = without_control_tokens(clean_text(value, "looks in the sheet", MAX_APPEARANCE))
        if not text:
            raise ValueError(
                "a character or place of the sheet has no words; say how it looks, because every "
                "shot that shows it repeats them"
            )
        return text

    @field_validator("original")
    @classmethod
    def _original(cls, value: str) -> str:
        return clean_text(value, "original looks in the sheet", MAX_APPEARANCE)


class EditedShot(BaseModel):
    """A shot of a draft as a person hands it back, in the order of the list.

    Its texts are checked where they meet the draft, so that all problems are said at once and what
    was typed is not lost.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", title="Shot")

    prompt: str = Field("", title="Words", description="What this shot shows.")
    seed: int = Field(
        PICK,
        title="Seed",
        description="Another number gives another take; -1 leaves it as drafted.",
    )
    chunks: int = Field(
        0,
        title="Length in chunks",
        description="A shot lasts for whole chunks; 0 leaves it as drafted, and a new shot has 1.",
    )
    size: str = Field("", title="Size", description="Empty leaves it as drafted.")
    camera: str = Field("", title="Camera", description="Empty leaves it as drafted.")
    wish: str = Field(
        "",
        title="Wish",
        description="With the decision 'revise' the shot is written again with it, such as "
        "'closer, at night'.",
    )
    drafted: int = Field(
        0,
        title="Drafted as shot",
        description="Number that it has in the draft; 0 for a new one, or to find it by its words.",
    )


class EditedEntry(BaseModel):
    """A character or a place of a draft as a person hands it back."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="Character or place")

    name: str = Field("", title="Name", description="As the draft has it.")
    appearance: str = Field(
        "", title="Looks", description="Every shot that shows it repeats these words."
    )


def words_of_shot(value: str) -> str:
    """`value` as the words of a shot. Raises ValueError if they are none."""
    text = clean_text(value, "words of a shot", MAX_SHOT)
    if not without_control_tokens(text):
        raise ValueError("a shot by hand has no words; say what it shows, or remove it")
    return text
