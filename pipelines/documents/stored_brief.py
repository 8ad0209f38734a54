"""Briefs in manifests."""

from pydantic import field_validator, model_validator

from pipelines.documents.brief import Brief


class StoredBrief(Brief):
    """A brief as a manifest keeps it.

    It fitted its preset when it was made. It stays readable when that preset is gone, or has other
    limits; to make it again, parse its values as a `Brief`.
    """

    @model_validator(mode="after")
    def _fits(self) -> "StoredBrief":
        return self

    @classmethod
    def of(cls, brief: Brief) -> "StoredBrief":
        """`brief`, to be stored."""
        return cls.model_validate(brief.model_dump())

    @field_validator("preset")
    @classmethod
    def _known_preset(cls, value: str) -> str:
        return value

    @field_validator("size")
    @classmethod
    def _known_size(cls, value: str) -> str:
        return value
