"""`reelwright up`: the whole studio on one machine, until Ctrl-C or SIGTERM."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.adapters.disk import exclusive, make_directory, write_atomic
from infra.adapters.embedded import EmbeddedServer
from infra.adapters.object_store import ObjectStore
from infra.adapters.postgres import PostgresServer
from infra.adapters.prefect_server import PrefectServer
from infra.adapters.seaweed import SeaweedServer
from infra.adapters.settings import Settings
from infra.apps.console import say
from infra.apps.studio import environment
from infra.apps.studio.supervisor import Service
from infra.apps.worker.main import GPU_POOL, STUDIO_POOL
from pipelines.errors import SettingsError

PARTS = ("store", "database", "server", STUDIO_POOL, GPU_POOL)
"""What `--without` can leave to other machines."""
_LOOK_EVERY = 0.5
_WORKER_GRACE = 8.0


class Worker:
    """`reelwright worker` as a service."""

    def __init__(self, pool: str, env: dict[str, str], folder: Path, *, cold: bool) -> None:
        argv = [sys.executable, "-m", "infra.apps.cli", "worker", pool]
        self.server = EmbeddedServer(
            f"the worker of {pool}",
            argv + (["--cold"] if cold else []),
            env,
            make_directory(folder) / f"{pool}.log",
            folder,
        )

    def wait(self) -> None:
        """A worker waits for its server by itself."""

    def stop(self) -> None:
        self.server.stop(_WORKER_GRACE)


def up(settings: Settings, *, cold: bool = False) -> None:
    """Start everything, print where it is, and keep it running.

    Raises SettingsError if it runs already, or a port belongs to somebody else.
    """
    folder = make_directory(settings.paths.data_dir / "studio", private=True)

    def running() -> None:
        raise SettingsError(
            f"the studio of {settings.paths.data_dir} runs already; see: reelwright status"
        )

    with (
        exclusive(folder / "lock", running),
        exclusive(settings.paths.data_dir / "lock", _busy),
        _stop_signal() as stopped,
    ):
        Studio(settings, folder, cold=cold).run(stopped)


class Studio:
    """The services of one machine, in the order in which they need each other."""

    def __init__(self, settings: Settings, folder: Path, *, cold: bool) -> None:
        self._settings = settings
        self._folder = folder
        self._cold = cold
        self._services: list[Service] = []
        self._env = dict(os.environ)

    def run(self, stopped: threading.Event) -> None:
        """Until `stopped`."""
        began = time.monotonic()
        try:
            self._start_servers(stopped)
            if not stopped.is_set():
                self._start_workers()
                say(f"ready after {time.monotonic() - began:.0f} s")
                sys.stdout.write(self._table())
                sys.stdout.flush()
            while not stopped.wait(_LOOK_EVERY):
                for service in self._services:
                    service.look(say)
        finally:
            say("stopping")
            for service in reversed(self._services):
                service.end()
            (self._folder / "running.json").unlink(missing_ok=True)

    def _start_servers(self, stopped: threading.Event) -> None:
        settings, folder = self._settings, self._folder
        known = environment.read(settings)
        password = environment.password_of(known)
        ports = settings.studio
        _check_free(ports.s3_port, "REELWRIGHT_STUDIO_S3_PORT")
        _check_free(ports.prefect_port, "REELWRIGHT_STUDIO_PREFECT_PORT")
        store = self._add(
            "object store",
            lambda: SeaweedServer(settings.paths.data_dir / "store", port=ports.s3_port),
            f"127.0.0.1:{ports.s3_port}",
        )
        database = self._add(
            "database", lambda: PostgresServer(folder / "postgres"), "a socket, no port"
        )
        assert isinstance(store.running, SeaweedServer)
        assert isinstance(database.running, PostgresServer)
        url = database.running.url
        database.running.wait()
        server = self._add(
            "Prefect",
            lambda: PrefectServer(
                folder / "prefect",
                port=ports.prefect_port,
                settings=_server_settings(url, ports.prefect_port, password),
            ),
            f"http://127.0.0.1:{ports.prefect_port}",
        )
        store.running.wait()
        keys = store.running.credentials
        variables = {
            "REELWRIGHT_S3_ENDPOINT": store.running.endpoint,
            "REELWRIGHT_S3_ACCESS_KEY": keys.access_key,
            "REELWRIGHT_S3_SECRET_KEY": keys.secret_key,
            "REELWRIGHT_S3_SECURE": "false",
            "PREFECT_API_URL": f"http://127.0.0.1:{ports.prefect_port}/api",
            "PREFECT_API_AUTH_STRING": password,
        }
        environment.write(settings, variables)
        self._env |= variables | {"PREFECT_HOME": str(make_directory(folder / "client"))}
        os.environ.update(variables)
        ObjectStore(Settings.load().store).ensure_bucket()
        if server.running and not stopped.is_set():
            server.running.wait()

    def _start_workers(self) -> None:
        self._deploy()
        logs, studio = self._folder / "logs", self._settings.studio
        limit = ["--limit", str(studio.briefs)]
        for pool in (GPU_POOL, STUDIO_POOL):
            self._add(
                f"worker {pool}",
                lambda pool=pool: Worker(pool, self._env, logs, cold=self._cold),  # type: ignore[misc]
                "warm" if pool == GPU_POOL and not self._cold else "",
            )
        assert limit
        pids = {s.name: s.running.server.pid for s in self._services if s.running}
        write_atomic(self._folder / "running.json", json.dumps(pids).encode())

    def _deploy(self) -> None:
        """In a process of its own: this one shall stay small and start quickly."""
        import subprocess

        done = subprocess.run(
            [sys.executable, "-m", "infra.apps.cli", "deploy"],
            env=self._env,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SettingsError(done.stderr.strip() or "the deployments could not be made")

    def _add(self, name: str, start: Callable[[], object], where: str) -> Service:
        service = Service(name, start, where)  # type: ignore[arg-type]
        self._services.append(service)
        service.begin()
        return service

    def _table(self) -> str:
        lines = [f"{service.name:<17} {service.where}" for service in self._services]
        lines.append(f"{'passwords':<17} {environment.path_of(self._settings)}")
        return "\n".join(lines) + "\n"


def _server_settings(database: str, port: int, password: str) -> dict[str, str]:
    page = f"http://127.0.0.1:{port}"
    return {
        "PREFECT_API_DATABASE_CONNECTION_URL": database,
        "PREFECT_SERVER_API_AUTH_STRING": password,
        "PREFECT_SERVER_UI_API_URL": f"{page}/api",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": page,
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_LOOP_SECONDS": "5",
    }


def _check_free(port: int, variable: str) -> None:
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise SettingsError(
                f"the port {port} is taken by another program ({error.strerror}); "
                f"set {variable} to a free one"
            ) from error


def _busy() -> None:
    raise SettingsError(
        "a `reelwright make` is at work in this data directory; start the studio when it is done"
    )


@contextmanager
def _stop_signal() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set."""
    stopped = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stopped.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
