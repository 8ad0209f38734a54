"""The base of all stored values: immutable, and unknown fields are errors."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A value that cannot change after its validation."""

    model_config = ConfigDict(frozen=True, extra="forbid")
