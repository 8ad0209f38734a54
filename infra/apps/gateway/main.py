"""`reelwright gateway`: serve until SIGTERM or Ctrl-C."""

import logging
import resource
import sys

import uvicorn

from infra.adapters.disk import exclusive, make_directory
from infra.adapters.settings import Settings
from infra.apps import environment
from pipelines.errors import SettingsError

_GRACE = 3
"""Seconds that requests may take to end; who waits for a video asks again."""
_SHORTEST_TOKEN = 32
"""Characters."""


def serve(settings: Settings) -> None:
    """Listen where the settings say. Raises SettingsError if it runs already, or lacks a server."""
    environment.require_server()
    _check_token(settings.gateway.token.get_secret_value())
    folder = make_directory(settings.paths.data_dir / "gateway", private=True)

    def taken() -> None:
        raise SettingsError(f"the gateway of {folder.parent} runs already")

    from infra.apps.gateway.app import HEADERS, create_app
    from infra.apps.gateway.protocol import limited

    # Of a store that does not answer, each attempt would be a line; the error at the end says it.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    with exclusive(folder / "lock", taken):
        uvicorn.run(
            create_app(settings),
            host=settings.gateway.host,
            port=settings.gateway.port,
            loop="uvloop",
            http=limited(settings.gateway, _raise_descriptors()),
            ws="none",
            log_level="error",  # a line for every malformed request would let anyone fill the disk
            headers=HEADERS,
            timeout_keep_alive=settings.gateway.keep_alive_seconds,
            timeout_graceful_shutdown=_GRACE,
            server_header=False,
            proxy_headers=False,  # the peer's address decides who is local
        )


def _check_token(token: str) -> None:
    if token and len(token) < _SHORTEST_TOKEN:
        raise SettingsError(
            f"REELWRIGHT_GATEWAY_TOKEN has {len(token)} characters and can be guessed; take at "
            f"least {_SHORTEST_TOKEN}, as of: openssl rand -hex 32"
        )


def _raise_descriptors() -> int:
    """As many open files as this process may have: 1,024, the usual start, are soon used up."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return sys.maxsize if most == resource.RLIM_INFINITY else most
