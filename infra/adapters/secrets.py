"""Secrets that a configuration file names but does not hold."""

import os
from pathlib import Path

from infra.adapters.disk import read_text
from pipelines.errors import SettingsError


def read_secret(value: str) -> str:
    """The secret at `env:NAME` or `file:PATH`. Raises ValueError: it never stands in the file
    itself."""
    kind, _, place = value.partition(":")
    if kind == "env" and os.environ.get(place):
        return os.environ[place]
    if kind == "file":
        try:
            return read_text(Path(place), f"the secret {value!r}").strip()
        except SettingsError as error:
            raise ValueError(str(error)) from error
    if kind == "env" and place.isidentifier() and place.isupper():  # a name, and no pasted secret
        raise ValueError(f"the variable {place} is not set, or is empty; set it to the secret")
    raise ValueError(
        f"the secret {value!r:.20} must be env:NAME, a variable that is set, or file:PATH"
    )
