"""One backend of the operator's file, as validated data. Each kind adds fields of its own."""

import re
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from pipelines.schema.frozen import Frozen

_NAME = "^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$"


class RemoteConfig(Frozen):
    """What every kind of remote backend is told in the file."""

    name: str = Field(pattern=_NAME, max_length=40)
    """Name of the backend; its presets begin with it, with `_` for `-`."""
    kind: str
    title: str = Field("", max_length=80)
    """For forms and pages; empty: the kind's own."""
    address: str
    """`https://host[:port][/path]`. Only the operator sets it, never a brief."""
    key: str = ""
    """Where the secret key is: `env:NAME`, or `file:PATH` with an absolute path. Never the key."""
    download_hosts: tuple[str, ...] = ()
    """Other hosts that clips may be fetched from. A leading `*.` stands for any subdomain."""
    timeout_seconds: float = Field(60.0, gt=0, le=600)
    """From the end of a request to the start of its answer's body; the whole request may take five
    times that, and the download of a clip `job_seconds`."""
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
            raise ValueError("must hold no key, user or query; name the key with `key`")
        return value.rstrip("/")

    @field_validator("key")
    @classmethod
    def _is_place(cls, value: str) -> str:
        if value and not re.fullmatch(r"env:[A-Za-z_]\w*|file:/.+", value):
            raise ValueError(
                "must be env:NAME or file:/PATH: the key itself does not stand in this file"
            )
        return value

    @property
    def key_header(self) -> tuple[str, str]:
        """Name of the header that carries the key, and what precedes the key in it."""
        return "Authorization", "Bearer "

    @property
    def preset_prefix(self) -> str:
        """What the names of its presets begin with."""
        return self.name.replace("-", "_")
