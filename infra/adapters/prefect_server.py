"""A Prefect server of our own for commands that have none: guarded, on the loopback only.

Prefect's ephemeral server outlives a killed parent; this one does not. Its history is SQLite
in the data directory; the studio's server is another matter.
"""

import os
import sys
from pathlib import Path

from infra.adapters.disk import make_directory
from infra.adapters.embedded import EmbeddedServer, answers, free_ports

_START_TIMEOUT = 120.0
_STOP_GRACE = 2.0


class PrefectServer:
    """The API of Prefect on a free port. `client_env` points this process at it."""

    def __init__(self, folder: Path) -> None:
        make_directory(folder, private=True)
        (port,) = free_ports(1)
        self.api_url = f"http://127.0.0.1:{port}/api"
        self.client_env = {"PREFECT_HOME": str(folder), "PREFECT_API_URL": self.api_url}
        settings = {
            "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{folder / 'prefect.db'}",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_UI_ENABLED": "false",
            "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
            "DO_NOT_TRACK": "1",
        }
        argv = [sys.executable, "-m", "uvicorn", "--factory", "--host", "127.0.0.1"]
        argv += ["--port", str(port), "--log-level", "warning"]
        env = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        self._server = EmbeddedServer(
            "the embedded Prefect server",
            [*argv, "prefect.server.api.server:create_app"],
            env | self.client_env | settings,
            folder / "server.log",
            folder,
        )

    def wait(self) -> None:
        """Until the API answers; the first start makes the database (about 10 s)."""
        self._server.wait_ready(self._healthy, _START_TIMEOUT)

    def stop(self) -> None:
        self._server.stop(_STOP_GRACE)

    def _healthy(self) -> bool:
        return answers(f"{self.api_url}/health")
