"""Settings of the gateway."""

import ipaddress
from functools import cached_property
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from infra.adapters.section import PREFIX, Section

_SHORTEST_SECRET = 32
"""Characters."""


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
    passwords: bool = Field(
        True,
        description="Users may log in with a password. Off: by single sign-on, links and keys.",
    )
    proxy_header: str = Field(
        "",
        pattern="^([A-Za-z][A-Za-z0-9-]{0,99})?$",
        description="Header in which a proxy with single sign-on names the user, as in "
        "`X-Forwarded-User`; empty: there is none.",
    )
    proxy_address: str = Field(
        "",
        description="Addresses or networks of that proxy, separated by commas; the header is "
        "refused from all others.",
    )
    proxy_secret: SecretStr = Field(
        SecretStr(""),
        description="What that proxy sends as `X-Reelwright-Proxy`; needed if it is on this "
        "machine, whose other users have the same address.",
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

    @model_validator(mode="after")
    def _proxy_can_be_told(self) -> Self:
        if not self.proxy_header:
            return self
        if not self.proxy_networks:
            raise ValueError(
                "REELWRIGHT_GATEWAY_PROXY_HEADER names a header and "
                "REELWRIGHT_GATEWAY_PROXY_ADDRESS no proxy; anybody could log in as anybody: set "
                "both, or none"
            )
        if self.trust_local:
            raise ValueError(
                "REELWRIGHT_GATEWAY_TRUST_LOCAL and REELWRIGHT_GATEWAY_PROXY_HEADER are both set; "
                "whoever comes through the proxy would need no login: leave the first one out"
            )
        secret = len(self.proxy_secret.get_secret_value())
        if secret < _SHORTEST_SECRET and (secret or self._proxy_is_local):
            raise ValueError(
                f"REELWRIGHT_GATEWAY_PROXY_SECRET has {secret} characters; a proxy on this machine "
                f"needs one of {_SHORTEST_SECRET} at least, as of: openssl rand -hex 32"
            )
        return self

    @cached_property
    def proxy_networks(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """Where the trusted proxy is. Raises ValueError if that cannot be understood."""
        parts = (part.strip() for part in self.proxy_address.split(","))
        return tuple(ipaddress.ip_network(part) for part in parts if part)

    @property
    def _proxy_is_local(self) -> bool:
        loopback = map(ipaddress.ip_network, ("127.0.0.0/8", "::1/128"))
        return any(
            net.overlaps(own)
            for own in loopback
            for net in self.proxy_networks
            if net.version == own.version
        )

    @property
    def base_url(self) -> str:
        return (self.url or f"http://{self.host}:{self.port}").rstrip("/")
