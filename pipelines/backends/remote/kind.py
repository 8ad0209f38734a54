"""What a kind of remote backend is.

A kind turns an entry of the operator's file into a definition, which is data, and into the service
that the driver works with.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pipelines.backends.base import UsedModel
from pipelines.backends.remote.access import Connection
from pipelines.backends.remote.config import RemoteConfig
from pipelines.backends.remote.service import RemoteService
from pipelines.schema.capabilities import Capabilities
from pipelines.schema.presets import BackendOptions, Preset

Config = TypeVar("Config", bound=RemoteConfig)


@dataclass(frozen=True)
class Offer:
    """What one configured backend offers, as data for its definition."""

    title: str
    capabilities: Capabilities
    options: type[BackendOptions]
    presets: tuple[Preset, ...]
    model: UsedModel
    """For the manifest. Its components decide the identity of every chunk: name and version of the
    model, and a recipe that is raised when our own code changes the pixels. The address is none of
    them: the same model on another server continues the same video."""
    seconds_for_one: float = 2.0
    """Seconds of waiting for a second of video, before anything was measured."""
    basis: str = "not yet measured here"


@dataclass(frozen=True)
class Kind(Generic[Config]):
    """One kind of remote backend."""

    name: str
    config: type[Config]
    offer: Callable[[Config], Offer]
    """Raises ValueError, with value, rule and remedy, for an entry that cannot work."""
    service: Callable[[Config, Connection], RemoteService]
