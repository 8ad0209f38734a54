"""The studio's services in the order in which they need each other."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

from infra.adapters.databases import Postgres
from infra.adapters.disk import make_directory, write_atomic
from infra.adapters.embedded import EmbeddedServer, is_healthy
from infra.adapters.object_store import ObjectStore
from infra.adapters.postgres import PostgresServer
from infra.adapters.prefect_server import PrefectServer
from infra.adapters.seaweed import SeaweedServer
from infra.adapters.settings import Settings
from infra.apps import environment
from infra.apps.console import say
from infra.apps.gateway.database import opened
from infra.apps.gateway.sessions import new_link
from infra.apps.studio import upgrade
from infra.apps.studio.log_files import log_file
from infra.apps.studio.supervisor import Service, Startable, Stop
from infra.apps.studio.welcome import welcome
from pipelines.errors import ServerError, SettingsError
from pipelines.schema.names import GPU_POOL, STUDIO_POOL

GATEWAY = "gateway"
PARTS = ("store", "database", "server", STUDIO_POOL, GPU_POOL, GATEWAY)
_IN_BATCHES = {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "50",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "100",
}
"""Prefect's server writes the states of tasks and the events of some seconds at once. By default
each state of a task is a transaction of its own, three for each task; the pages show them a second
later now."""
_TITLES = {
    "store": "object store",
    "database": "database",
    "server": "Prefect server",
    STUDIO_POOL: "worker of the pool studio",
    GPU_POOL: f"worker of the pool {GPU_POOL}",
    GATEWAY: "gateway",
}
_LOOK_EVERY = 0.5
_WORKER_GRACE = 8.0
_GATEWAY_TIMEOUT = 60.0


class Command:
    """A `reelwright` command as a service."""

    def __init__(self, name: str, argv: list[str], env: dict[str, str], log: Path) -> None:
        self.server = EmbeddedServer(
            name,
            [sys.executable, "-m", "infra.apps.cli", *argv],
            env,
            log,
            log.parent,
        )

    def wait(self) -> None:
        """Return at once: the command waits for its server by itself."""

    def stop(self) -> None:
        self.server.stop(_WORKER_GRACE)


class GatewayCommand(Command):
    """The gateway as a service; it is ready when its health check succeeds."""

    def __init__(self, port: int, env: dict[str, str], log: Path) -> None:
        super().__init__(GATEWAY, [GATEWAY], env | {"REELWRIGHT_GATEWAY_PORT": str(port)}, log)
        self._health = f"http://127.0.0.1:{port}/health"

    def wait(self) -> None:
        """Wait until it responds. Raises ServerError if it ends or takes too long."""
        self.server.wait_ready(lambda: is_healthy(self._health), _GATEWAY_TIMEOUT)


class Studio:
    """Starts the parts, watches them, ends them in the opposite order."""

    def __init__(
        self, settings: Settings, folder: Path, parts: Collection[str], *, cold: bool
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._parts = parts
        self._cold = cold
        self._services: list[Service] = []
        self._known = environment.read(settings)

    def run(self, stopped: Stop) -> None:
        """Run the parts until `stopped`. Raises SettingsError or ServerError if they cannot
        start."""
        began = time.monotonic()
        try:
            self._start_servers()
            if not stopped.asked and "server" in self._parts:
                say("bringing the deployments up to date")
                self._deploy()
            if not stopped.asked:
                self._start_workers()
                self._note_processes()
                sys.stdout.write(self._table())
                sys.stdout.flush()
                say(f"ready after {time.monotonic() - began:.0f} s; Ctrl-C stops it")
            unnoted = False
            while not stopped.wait(_LOOK_EVERY):
                begun = [service.name for service in self._services if service.look(say)]
                if begun or unnoted:
                    unnoted = not self._could_note_processes()
        finally:
            say("stopping")
            for service in reversed(self._services):
                service.end()
            (self._folder / "running.json").unlink(missing_ok=True)

    def _start_servers(self) -> None:
        """Start all servers at once; each is waited for when it is needed."""
        variables = self._from_elsewhere() | environment.chosen(self._known)
        ports = self._settings.studio
        store = database = server = None
        if "store" in self._parts:
            _check_free(ports.s3_port, "REELWRIGHT_STUDIO_S3_PORT")
        if "server" in self._parts:
            _check_free(ports.prefect_port, "REELWRIGHT_STUDIO_PREFECT_PORT")
        if GATEWAY in self._parts:
            _check_free(ports.gateway_port, "REELWRIGHT_STUDIO_GATEWAY_PORT")
        if "store" in self._parts:
            folder = self._settings.paths.data_dir / "store"
            store = self._begin(
                "store",
                partial(SeaweedServer, folder, port=ports.s3_port),
                f"127.0.0.1:{ports.s3_port}",
            )
        if "database" in self._parts:
            start = partial(PostgresServer, self._folder / "postgres")
            database = self._begin("database", start, "a socket in the data directory")
        if "server" in self._parts:
            if isinstance(database, PostgresServer):
                database.wait()
                say("the database is ready")
                _say_what_prefect_changes(database)
                variables["PREFECT_API_DATABASE_CONNECTION_URL"] = database.url
            variables |= self._server_variables()
            start_server = partial(
                PrefectServer,
                self._folder / "prefect",
                port=ports.prefect_port,
                settings=self._server_settings(variables),
            )
            address = f"http://127.0.0.1:{ports.prefect_port}"
            server = self._begin("server", start_server, address)
        if isinstance(store, SeaweedServer):
            store.wait()
            say("the store is ready")
            variables |= store.variables
        variables |= self._gateway_variables()
        environment.write(self._settings, variables)
        os.environ.update(variables)
        ObjectStore(Settings.load().store).ensure_bucket()
        if server:
            server.wait()
            say("the server is ready")

    def _from_elsewhere(self) -> dict[str, str]:
        """Addresses of the parts that run elsewhere. Raises SettingsError if one is not named."""
        needed = {
            "store": ("REELWRIGHT_S3_ENDPOINT", "REELWRIGHT_S3_ACCESS_KEY"),
            "database": ("PREFECT_API_DATABASE_CONNECTION_URL",) if "server" in self._parts else (),
            "server": ("PREFECT_API_URL",),
        }
        for part, names in needed.items():
            for name in names:
                if part not in self._parts and not os.environ.get(name):
                    raise SettingsError(
                        f"the part {part} is left out, so {name} must say where it is; set it or "
                        f"add --with {part}"
                    )
        wanted = ("REELWRIGHT_S3_", "PREFECT_API_")
        return {name: value for name, value in os.environ.items() if name.startswith(wanted)}

    def _server_variables(self) -> dict[str, str]:
        return {
            "PREFECT_API_URL": f"http://127.0.0.1:{self._settings.studio.prefect_port}/api",
            "PREFECT_API_AUTH_STRING": environment.password_of(os.environ | self._known),
        }

    def _gateway_variables(self) -> dict[str, str]:
        """The token, which stays from start to start, and the port, for `reelwright login`."""
        if GATEWAY not in self._parts:
            return {}
        return {
            environment.TOKEN: environment.token_of(self._known | os.environ),
            "REELWRIGHT_STUDIO_GATEWAY_PORT": str(self._settings.studio.gateway_port),
        }

    def _server_settings(self, variables: dict[str, str]) -> dict[str, str]:
        page = f"http://127.0.0.1:{self._settings.studio.prefect_port}"
        name = "PREFECT_API_DATABASE_CONNECTION_URL"
        return {
            name: variables[name],
            "PREFECT_SERVER_API_AUTH_STRING": variables["PREFECT_API_AUTH_STRING"],
            "PREFECT_SERVER_UI_API_URL": f"{page}/api",
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": page,
            # The server writes its pages with that address; beside its code, where another studio
            # of this installation may have them, or nobody may write, is the default.
            "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(self._folder / "pages"),
            "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
            "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_LOOP_SECONDS": "5",
            **_IN_BATCHES,
        }

    def _worker_env(self) -> dict[str, str]:
        home = make_directory(self._folder / "client")
        env = dict(os.environ) | {"PREFECT_HOME": str(home)}
        if GATEWAY in self._parts:
            env.setdefault("REELWRIGHT_GATEWAY_URL", self._gateway_url)
        return env

    @property
    def _gateway_url(self) -> str:
        return f"http://127.0.0.1:{self._settings.studio.gateway_port}"

    def _start_workers(self) -> None:
        make_directory(self._folder / "logs")
        data = self._settings.paths.data_dir
        cold = ["--cold"] if self._cold else []
        for pool, options in ((GPU_POOL, cold), (STUDIO_POOL, [])):
            if pool in self._parts:
                argv = ["worker", pool, *options]
                start = partial(Command, pool, argv, self._worker_env(), log_file(data, pool))
                self._begin(pool, start, "worker")
        if GATEWAY in self._parts:
            port = self._settings.studio.gateway_port
            log = log_file(data, GATEWAY)
            begin = partial(GatewayCommand, port, self._worker_env(), log)
            self._begin(GATEWAY, begin, self._gateway_url).wait()
            say("the gateway is ready")

    def _deploy(self) -> None:
        """Run `reelwright deploy` in a process of its own, so that this one stays small."""
        argv = [sys.executable, "-m", "infra.apps.cli", "deploy"]
        done = subprocess.run(
            argv, env=self._worker_env(), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ServerError(done.stderr.strip() or "the deployments could not be made")

    def _begin(self, name: str, start: Callable[[], Startable], where: str) -> Startable:
        service = Service(name, start, where)
        self._services.append(service)
        say(f"starting the {_TITLES[name]}")
        return service.begin()

    def _note_processes(self) -> None:
        pids = {s.name: s.running.server.pid for s in self._services if s.running}
        write_atomic(self._folder / "running.json", json.dumps(pids).encode())

    def _could_note_processes(self) -> bool:
        """Write running.json. False on a full disk: it is written later, and until then `status`
        shows the processes before."""
        try:
            self._note_processes()
        except OSError:
            return False
        return True

    def _table(self) -> str:
        data, link = self._settings.paths.data_dir, ""
        if GATEWAY in self._parts:
            with opened(data) as database:
                link = new_link(
                    database, self._settings.gateway.url.rstrip("/") or self._gateway_url
                )
        return welcome(
            [(item.name, item.where, log_file(data, item.name)) for item in self._services],
            gateway=link.partition("/login")[0],
            link=link,
            prefect=environment.prefect_pages(),
            passwords=environment.path_of(self._settings),
        )


def _say_what_prefect_changes(database: PostgresServer) -> None:
    """Its server migrates its database as soon as it starts. Raises SettingsError."""
    change = upgrade.prefect_change(Postgres.embedded(database).prefect_schema())
    if change:
        say(f"this start changes: {change}")


def _check_free(port: int, variable: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise SettingsError(
                f"the port {port} is taken by another program ({error.strerror}); "
                f"set {variable} to a free one"
            ) from error
