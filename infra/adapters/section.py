"""What every section of the settings has in common."""

from pathlib import Path

from pydantic import ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "REELWRIGHT_"


class Section(BaseSettings):
    """Values of the environment; others are left alone."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    @field_validator("*", mode="before")
    @classmethod
    def _empty_path_is_none(cls, value: object, info: ValidationInfo) -> object:
        """An empty variable names no file; as a path it would be the working directory."""
        wanted = cls.model_fields[info.field_name or ""].annotation
        return None if value == "" and wanted == Path | None else value
