"""What a host gives to remote backends."""

from collections.abc import Callable

from infra.adapters.remote.connection import HttpConnection
from pipelines.backends.remote.access import RemoteAccess
from pipelines.backends.remote.config import RemoteConfig
from pipelines.errors import SettingsError

Access = Callable[[RemoteConfig], RemoteAccess]
"""Gives a backend what belongs to one run."""


class RemoteHost:
    """The part of a BackendHost for remote backends. `access` is None outside of a run."""

    def __init__(self, access: Access | None = None) -> None:
        self._access = access

    def connection(self, config: RemoteConfig) -> HttpConnection:
        """A connection for questions that change and cost nothing."""
        return HttpConnection(config)

    def remote(self, config: RemoteConfig) -> RemoteAccess:
        """What a run gives to a backend. Raises SettingsError outside of a run."""
        if self._access is None:
            raise SettingsError(
                f"{config.name} was to make a clip outside of a run; only the flows make clips"
            )
        return self._access(config)
