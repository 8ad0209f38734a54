"""One backend of the operator's file, as validated data. Each kind adds fields of its own."""

from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from pipelines.schema.frozen import Frozen

_NAME = "[a-z][a-z0-9]*(?:-[a-z0-9]+)*"


class RemoteConfig(Frozen):
    """What every kind of remote backend is told in the file."""

    name: str = Field(pattern=_NAME, max_length=40)
    """Name of the backend; its presets begin with it, with `_` for `-`."""
    kind: str
    title: str = Field("", max_length=80)
    """For forms and pages; empty: the kind's own."""
    address: str
    """`https://host[:port][/path]`. Only the operator sets it, never a brief."""
    key_file: str = ""
    """File that holds the secret key. Absolute."""
    key_env: str = Field("", pattern="[A-Za-z_][A-Za-z0-9_]*|")
    """Environment variable that holds it, in place of a file."""
    download_hosts: tuple[str, ...] = ()
    """Other hosts that clips may be fetched from. A leading `*.` stands for any subdomain."""
    timeout_seconds: float = Field(60.0, gt=0, le=600)
    """For one request."""
    job_seconds: float = Field(1800.0, gt=0, le=86_400)
    """Longest time that a job may take."""
    enabled: bool = True

    @field_validator("address")
    @classmethod
    def _is_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be http://host[:port] or https://host[:port]")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("must hold no key, user or query; name the key with key_file")
        return value.rstrip("/")

    @field_validator("key_file")
    @classmethod
    def _is_absolute(cls, value: str) -> str:
        if value and not value.startswith("/"):
            raise ValueError("must be an absolute path, as every process has a folder of its own")
        return value

    @model_validator(mode="after")
    def _has_one_key(self) -> Self:
        if self.key_file and self.key_env:
            raise ValueError("key_file and key_env are both set; keep one")
        return self

    @property
    def preset_prefix(self) -> str:
        """What the names of its presets begin with."""
        return self.name.replace("-", "_")


Resolution = Literal["360p", "480p", "720p", "1080p", "4k"]
