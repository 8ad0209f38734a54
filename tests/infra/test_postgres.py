"""The database starts again after whatever ended it."""

import os
import signal
import subprocess
from pathlib import Path

from infra.adapters.postgres import PostgresServer


def test_a_killed_server_starts_again_though_its_number_belongs_to_another_process(
    tmp_path: Path,
) -> None:
    """PostgreSQL itself refuses: it takes any living process of that number for the old server."""
    server = PostgresServer(tmp_path / "postgres")
    server.wait()
    os.kill(server.server.pid, signal.SIGKILL)
    server.stop()
    lock = tmp_path / "postgres" / "data" / "postmaster.pid"
    stranger = subprocess.Popen(["sleep", "120"])
    for file in (lock, *server.socket.glob(".s.PGSQL.*.lock")):
        lines = file.read_text().splitlines()
        file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
    try:
        again = PostgresServer(tmp_path / "postgres")
        again.wait()
        assert lock.read_text().splitlines()[0] != str(stranger.pid)
        again.stop()
    finally:
        stranger.kill()
        stranger.wait()
