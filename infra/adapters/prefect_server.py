"""Prefect's server as a guarded child, on the loopback only.

Prefect's ephemeral server outlives a killed parent; this one does not.
"""

import os
import socket
import sys
from pathlib import Path

from infra.adapters.disk import make_directory
from infra.adapters.embedded import EmbeddedServer, is_healthy, listening_socket
from infra.adapters.quiet import NO_TELEMETRY

_START_TIMEOUT = 120.0
_STOP_GRACE = 2.0
_QUIET = NO_TELEMETRY | {"PREFECT_LOGGING_SERVER_LEVEL": "WARNING"}


class PrefectServer:
    """The API of Prefect. `client_env` points a process at it.

    With nothing but a folder it is what one command needs: any free port, history in SQLite,
    no pages. `settings` are the server's own variables. Raises ServerError if `port` cannot be
    used, and SettingsError or DiskFullError if `folder` cannot be made.
    """

    def __init__(
        self, folder: Path, *, port: int | None = None, settings: dict[str, str] | None = None
    ) -> None:
        make_directory(folder, private=True)
        # Its start takes seconds; a port that is not held may be taken meanwhile.
        with listening_socket(port) as listener:
            self._start(folder, listener, settings)

    def _start(
        self, folder: Path, listener: socket.socket, settings: dict[str, str] | None
    ) -> None:
        self.port = int(listener.getsockname()[1])
        self.api_url = f"http://127.0.0.1:{self.port}/api"
        self.client_env = {"PREFECT_HOME": str(folder), "PREFECT_API_URL": self.api_url}
        alone = {
            "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{folder / 'prefect.db'}",
            "PREFECT_SERVER_UI_ENABLED": "false",
            # Every 5 s this service marks runs that wait too long, ten at a time. In SQLite they
            # lock each other out, start again 5 s later, and a writer beside them may wait for
            # 60 s. Nobody looks at these marks here.
            "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "false",
        }
        env = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        self.server = EmbeddedServer(
            "the Prefect server",
            [sys.executable, "-m", "infra.adapters.prefect_process", str(listener.fileno())],
            env | self.client_env | _QUIET | (alone if settings is None else settings),
            folder / "server.log",
            folder,
            pass_fds=[listener.fileno()],
        )

    def wait(self) -> None:
        """Wait until the API responds; the first start creates the database, which takes about
        10 s."""
        self.server.wait_ready(self._healthy, _START_TIMEOUT)

    def stop(self) -> None:
        self.server.stop(_STOP_GRACE)

    def _healthy(self) -> bool:
        return is_healthy(f"{self.api_url}/health")
