"""What a person decided about the storyboard of a brief, for a run that falls back afterwards."""

from pydantic import BaseModel, ConfigDict

from pipelines.documents.stored_brief import StoredBrief


class Reviewed(BaseModel):
    """The brief after the last answer of a review, in two forms."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    brief: StoredBrief
    """For the preset whose storyboard was reviewed: the words that nobody changed are found in the
    bucket."""
    by_hand: StoredBrief
    """The same film as shots by hand. Another preset has chunks of another length, and maybe
    another language model or none, so the words must be in the brief."""
