"""Server processes that belong to one command: choose a port, start, wait until ready, stop."""

import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from pipelines import processes
from pipelines.errors import ServerError

_POLL = 0.05
_LOG_LIMIT = 10_000_000
"""Bytes after which a log starts anew; the one before is kept."""


def free_ports(count: int) -> list[int]:
    """`count` different ports that are free on the loopback interface at this moment.

    Another program may take one before the server binds it: whoever starts the server must be
    able to start it again. `listening_socket` has no such gap.
    """
    sockets = [socket.socket() for _ in range(count)]
    try:
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [int(item.getsockname()[1]) for item in sockets]
    finally:
        for item in sockets:
            item.close()


def listening_socket(port: int | None) -> socket.socket:
    """A TCP socket that listens on `port` of the loopback interface, or on a free port if it is
    None.

    A server inherits it. Nobody else can take the port while the server starts. Connections wait
    until it accepts them; a request whose client gave up meanwhile is still carried out.
    Raises ServerError if the port cannot be used, or none is free.
    """
    try:
        return socket.create_server(("127.0.0.1", port or 0))
    except OSError as error:
        where = f"port {port}" if port else "any port"
        raise ServerError(
            f"no server can listen on {where}: {error.strerror}; stop the program that has it, or "
            "choose another port"
        ) from error


def is_healthy(url: str) -> bool:
    """Whether an HTTP server responds to `url` with status 200 within a second."""
    try:
        with urllib.request.urlopen(url, timeout=1) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


class EmbeddedServer:
    """A guarded server process whose output goes to a log file."""

    def __init__(
        self,
        name: str,
        argv: list[str],
        env: dict[str, str],
        log: Path,
        cwd: Path,
        *,
        ordinary_user: bool = False,
        umask: int = -1,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.name = name
        self.log = log
        if log.exists() and log.stat().st_size > _LOG_LIMIT:
            log.replace(log.with_suffix(".old"))
        with log.open("ab") as output:
            self._process = processes.start_child(
                argv,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=cwd,
                ordinary_user=ordinary_user,
                umask=umask,
                pass_fds=pass_fds,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ended(self) -> int | None:
        """The exit code of the process; None while it runs."""
        return self._process.poll()

    def wait_ready(self, ready: Callable[[], bool], timeout: float) -> None:
        """Raises ServerError with the last lines of the log if it exits or takes too long."""
        deadline = time.monotonic() + timeout
        while True:
            responds = ready()
            if self._process.poll() is not None:  # then it was another program that responded
                raise ServerError(f"{self.name} ended while starting: {self._last_words()}")
            if responds:
                return
            if time.monotonic() > deadline:
                raise ServerError(
                    f"{self.name} was not ready after {timeout:g} s: {self._last_words()}"
                )
            time.sleep(_POLL)

    def stop(self, grace: float, how: signal.Signals = signal.SIGTERM) -> None:
        """End the process by the signal `how`, by force after `grace` seconds."""
        processes.stop(self._process, grace, how)

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return f"{' / '.join(lines[-2:]) or 'no output'} (log: {self.log})"
