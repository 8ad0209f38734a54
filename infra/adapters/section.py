"""What every section of the settings has in common."""

from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "REELWRIGHT_"


class Section(BaseSettings):
    """Values of the environment; others are left alone."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")
