"""What a person approved of words in another language, as a brief carries it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from pipelines.schema.text import clean_text, without_control_tokens

Part = Literal["", "wish", "size", "camera", "sheet"]
"""What a text is; empty for the words of the brief or of a shot."""
MAX_REVIEWED = 20_000
"""Characters of a reviewed text: more than the English words of the longest brief."""


class ReviewedText(BaseModel):
    """What became of a text in another language in the storyboard that a person reviewed."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="Reviewed text")

    original: str = Field(description="The words that the editor wrote.", max_length=MAX_REVIEWED)
    part: Part = Field(
        "", description="What the words are; empty for the words of the brief or of a shot."
    )
    english: str = Field(
        "",
        description="What is filmed: the translation, or the original if it was approved as it is "
        "written. Empty: it is translated if somebody can, and otherwise stays.",
        max_length=MAX_REVIEWED,
    )
    translator: str = Field("", description="Who translated it.", max_length=200)
    for_service: bool = Field(
        False, description="Whether it stays only where a remote service makes the video."
    )

    @field_validator("original", "english", "translator")
    @classmethod
    def _plain(cls, value: str) -> str:
        clean_text(value, "reviewed text", MAX_REVIEWED)
        return without_control_tokens(value)

    @property
    def is_as_written(self) -> bool:
        """Whether the original was approved, without a translation."""
        return not self.translator and bool(self.english)
