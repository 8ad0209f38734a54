"""`reelwright gateway`: serve until SIGTERM or Ctrl-C."""

import uvicorn

from infra.adapters.disk import exclusive, make_directory
from infra.adapters.settings import Settings
from infra.apps.studio import environment
from pipelines.errors import SettingsError

_GRACE = 3
"""Seconds that requests may take to end; who waits for a video asks again."""


def serve(settings: Settings) -> None:
    """Listen where the settings say. Raises SettingsError if it runs already, or lacks a server."""
    environment.require_server()
    folder = make_directory(settings.paths.data_dir / "gateway", private=True)

    def taken() -> None:
        raise SettingsError(f"the gateway of {folder.parent} runs already")

    from infra.apps.gateway.app import create_app

    with exclusive(folder / "lock", taken):
        uvicorn.run(
            create_app(settings),
            host=settings.gateway.host,
            port=settings.gateway.port,
            loop="uvloop",
            http="httptools",
            log_level="warning",
            timeout_graceful_shutdown=_GRACE,
            server_header=False,
            proxy_headers=False,  # the peer's address decides who is local
        )
