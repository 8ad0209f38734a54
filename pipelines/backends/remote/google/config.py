"""Entries of the backends file for Google's models."""

from typing import Literal

from pydantic import Field

from pipelines.backends.remote.config import RemoteConfig
from pipelines.backends.remote.google.prices import Prices
from pipelines.backends.remote.google.sizes import Resolution

_NAME_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
API_KEY_HEADER = ("x-goog-api-key", "")


class OmniConfig(RemoteConfig):
    """An entry of the kind `google-omni`."""

    address: str = "https://generativelanguage.googleapis.com"
    model: str = Field("gemini-omni-1.2-flash", pattern=f"^{_NAME_PART}$")
    api_version: Literal["v1", "v1beta"] = "v1beta"
    """Google's pages show `v1beta`; its own client sends `v1`."""
    delivery: Literal["uri", "inline"] = "uri"
    """`uri`: clips are fetched from Google's file store. `inline`: they come in the answer, which
    Google advises against above 4 MB."""
    resolutions: tuple[Resolution, ...] = ("720p", "1080p")
    """Each one is a preset."""
    seconds: int = Field(8, ge=3, le=15)
    """Length of a chunk in the presets."""
    one_take: bool = True
    """Ask for a shot without cuts; without these words the model cuts as it likes."""
    prices: Prices | None = None
    """In place of those that we know for the model."""

    @property
    def key_header(self) -> tuple[str, str]:
        """Google takes API keys in a header of its own."""
        return API_KEY_HEADER


class VeoConfig(RemoteConfig):
    """An entry of the kind `google-veo`."""

    address: str = "https://us-central1-aiplatform.googleapis.com"
    """Of the region in `location`; `https://aiplatform.googleapis.com` for `global`, and for an API
    key without a project."""
    model: str = Field("veo-3.1-fast-generate-001", pattern=f"^{_NAME_PART}$")
    api_version: Literal["v1", "v1beta1"] = "v1"
    project: str = Field("", pattern=f"^({_NAME_PART})?$")
    """Google Cloud project; empty for an API key of the express mode."""
    location: str = Field("us-central1", pattern=f"^{_NAME_PART}$")
    auth: Literal["api-key", "token"] = "token"
    """What `key` names: an API key, or an OAuth access token, which lives an hour and which the
    operator renews in its file."""
    resolutions: tuple[Resolution, ...] = ("720p", "1080p")
    seconds: Literal[4, 6, 8] = 8
    """Length of a chunk in the presets. 1080p is made in 8 s only."""
    people: Literal["allow_adult", "allow_all", "dont_allow"] = "allow_adult"
    """Google's `personGeneration`; which of them an account may use depends on its region."""
    storage: str = Field("", pattern=r"^(gs://[a-z0-9][a-z0-9._-]+(?:/[\w./-]*)?)?$")
    """Folder in a bucket of the operator that Google writes clips to; empty: they come in the
    answer."""
    storage_address: str = Field("https://storage.googleapis.com", pattern=r"^https?://[^/\s]+$")
    """Where clips in `storage` are read."""
    prices: Prices | None = None

    @property
    def key_header(self) -> tuple[str, str]:
        """An access token is a bearer token."""
        return API_KEY_HEADER if self.auth == "api-key" else ("Authorization", "Bearer ")
