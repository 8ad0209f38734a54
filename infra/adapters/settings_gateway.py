"""Settings of the gateway."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from infra.adapters.section import PREFIX, Section


class GatewaySettings(Section):
    """The gateway: REST, webhooks, the page to watch."""

    model_config = SettingsConfigDict(env_prefix=f"{PREFIX}GATEWAY_", frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="Address that the gateway listens on.")
    port: int = Field(
        8004, ge=1, le=65535, description="Its port, when it is started by `reelwright gateway`."
    )
    url: str = Field(
        "",
        description="How others reach it, as in `https://video.example`; for the links of runs.",
    )
    token: SecretStr = Field(
        SecretStr(""),
        description="The operator's key, which may do everything; `up` makes one in studio.env.",
    )
    trust_local: bool = Field(
        False,
        description="Programs on this machine need no key. Unsafe behind any proxy or tunnel: "
        "what it hands on comes from this machine too.",
    )
    stand_in: bool = Field(
        True,
        description="The demo set answers for a studio model that is not installed, and says so.",
    )
    wait_seconds: float = Field(
        600.0, ge=0, description="How long a request waits for its video before it gets a 202."
    )
    writes_per_minute: int = Field(
        120, ge=1, description="Requests of one key that make something."
    )
    hooks: Path | None = Field(None, description="YAML file of webhook sources and endpoints.")
    header_seconds: float = Field(
        10.0, gt=0, description="How long the head of a request may take to arrive."
    )
    header_bytes: int = Field(
        32_768, ge=4_096, description="Size of a request's address and headers together."
    )
    body_seconds: float = Field(
        10.0, gt=0, description="A body must bring 1 kB for each of these seconds, or is given up."
    )
    keep_alive_seconds: int = Field(
        20, ge=1, description="How long a connection may stay open between two requests."
    )
    write_seconds: float = Field(
        300.0, gt=0, description="How long a client may leave a response unread."
    )
    connections_per_client: int = Field(
        1_000, ge=1, description="Connections of one address at once; behind a proxy, of all."
    )
    connections: int = Field(4_000, ge=1, description="Connections of everybody at once.")
    store_seconds: float = Field(
        20.0,
        gt=0,
        description="How long a request waits for the object store before it gets a 503.",
    )
    free_mb: int = Field(
        500,
        ge=0,
        description="Megabytes that must be free on the data directory's disk for a brief.",
    )

    @property
    def base_url(self) -> str:
        return (self.url or f"http://{self.host}:{self.port}").rstrip("/")
