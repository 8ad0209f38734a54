"""Several hosts, really: each in a network namespace of its own, with links that are cut.

Server, store, studio worker and two GPU workers. Needs root and `ip`; part of `make test-faults`.
"""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.adapters.embedded import is_healthy
from infra.adapters.postgres import PostgresServer
from infra.adapters.seaweed import load_credentials
from pipelines import processes
from tests.conftest import Cli
from tests.support.studio import STAGES, Studio, wait_for

pytestmark = [
    pytest.mark.faults,
    pytest.mark.xdist_group("faults"),
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        os.geteuid() != 0 or not shutil.which("ip"), reason="network namespaces need root and ip"
    ),
]
HOSTS = ("server", "store", "studio", "gpu1", "gpu2")
CUT = 60.0


def ip(*args: str) -> None:
    subprocess.run(["ip", *args], check=True, capture_output=True)


class Network:
    """A bridge with one namespace a host: 10.77.0.1 and so on."""

    def __init__(self) -> None:
        self.tag = secrets.token_hex(2)
        self.bridge = f"rw{self.tag}"
        self._prefix = f"10.77.{int(self.tag[:2], 16)}"
        ip("link", "add", self.bridge, "type", "bridge")
        ip("addr", "add", f"{self._prefix}.254/24", "dev", self.bridge)
        ip("link", "set", self.bridge, "up")
        for number, host in enumerate(HOSTS, start=1):
            space, outer = self.space(host), self._outer(host)
            ip("netns", "add", space)
            ip("link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", space)
            ip("link", "set", outer, "master", self.bridge, "up")
            ip("-n", space, "addr", "add", f"{self._prefix}.{number}/24", "dev", "eth0")
            ip("-n", space, "link", "set", "eth0", "up")
            ip("-n", space, "link", "set", "lo", "up")

    def space(self, host: str) -> str:
        return f"rw{self.tag}-{host}"

    def address(self, host: str) -> str:
        return f"{self._prefix}.{HOSTS.index(host) + 1}"

    def inside(self, host: str, argv: list[str]) -> list[str]:
        return ["ip", "netns", "exec", self.space(host), *argv]

    @contextlib.contextmanager
    def cut(self, host: str) -> Iterator[None]:
        """No packet to or from `host`; nothing is told to those who wait for one."""
        ip("link", "set", self._outer(host), "down")
        try:
            yield
        finally:
            ip("link", "set", self._outer(host), "up")

    def remove(self) -> None:
        for host in HOSTS:
            with contextlib.suppress(subprocess.CalledProcessError):
                ip("netns", "del", self.space(host))
        with contextlib.suppress(subprocess.CalledProcessError):
            ip("link", "del", self.bridge)

    def _outer(self, host: str) -> str:
        return f"{self.bridge}{HOSTS.index(host)}"


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    network = Network()
    yield network
    network.remove()


class Started:
    """Programs, each on its host, and what clients of them need to know."""

    def __init__(self, operator: Cli, network: Network) -> None:
        self.running: list[subprocess.Popen[bytes]] = []
        self._operator, self._network = operator, network
        self._logs = operator.data / "studio" / "logs"
        self._logs.mkdir(parents=True)
        keys = load_credentials(operator.data / "store")
        self.variables = {
            "PREFECT_API_URL": f"http://{network.address('server')}:4200/api",
            "PREFECT_API_AUTH_STRING": f"studio:{secrets.token_urlsafe(9)}",
            "REELWRIGHT_S3_ENDPOINT": f"{network.address('store')}:8333",
            "REELWRIGHT_S3_ACCESS_KEY": keys.access_key,
            "REELWRIGHT_S3_SECRET_KEY": keys.secret_key,
        }

    def start(self, host: str, name: str, argv: list[str], env: dict[str, str]) -> None:
        with (self._logs / f"{name}.log").open("ab") as log:
            process = processes.start_child(
                self._network.inside(host, argv),
                stdout=log,
                stderr=log,
                env=self._operator.env | env,
            )
        self.running.append(process)

    def start_server(self, database: PostgresServer) -> None:
        uvicorn = [sys.executable, "-m", "uvicorn", "--factory", "--host", "0.0.0.0"]
        env = {
            "PREFECT_API_DATABASE_CONNECTION_URL": database.url,
            "PREFECT_SERVER_API_AUTH_STRING": self.variables["PREFECT_API_AUTH_STRING"],
            "PREFECT_SERVER_UI_ENABLED": "false",
            "PREFECT_HOME": str(self._operator.data / "server"),
        }
        argv = [*uvicorn, "--port", "4200", "prefect.server.api.server:create_app"]
        self.start("server", "server", argv, env)
        url = self.variables["PREFECT_API_URL"]
        wait_for("the server", lambda: is_healthy(f"{url}/health"))

    def start_store(self) -> None:
        weed = str(Path(sys.executable).with_name("weed"))
        data = self._operator.data / "store" / "data"
        data.mkdir()
        flags = [f"-ip={self._network.address('store')}", "-ip.bind=0.0.0.0", "-s3.port=8333"]
        flags += ["-master.telemetry=false", "-webdav=false", "-admin.ui=false"]
        env = {
            "AWS_ACCESS_KEY_ID": self.variables["REELWRIGHT_S3_ACCESS_KEY"],
            "AWS_SECRET_ACCESS_KEY": self.variables["REELWRIGHT_S3_SECRET_KEY"],
        }
        self.start("store", "store", [weed, "mini", f"-dir={data}", *flags], env)
        endpoint = self.variables["REELWRIGHT_S3_ENDPOINT"]
        wait_for("the store", lambda: is_healthy(f"http://{endpoint}/healthz"))


@pytest.fixture(scope="module")
def studio(operator: Cli, network: Network) -> Iterator[Studio]:
    """The same programs as everywhere, each on its host."""
    started = Started(operator, network)
    variables = started.variables
    database = PostgresServer(operator.data / "postgres")
    database.wait()
    started.start_server(database)
    started.start_store()
    deployed = operator("deploy", **variables)
    assert deployed.code == 0, deployed.err
    # Each host has its own data directory, as it would have its own disk.
    for host, pool in (("studio", "studio"), ("gpu1", "rtx-5090"), ("gpu2", "rtx-5090")):
        own = {"REELWRIGHT_DATA_DIR": str(operator.data / host)}
        argv = [sys.executable, "-m", "infra.apps.cli", "worker", pool, "--name", host]
        started.start(host, pool, argv, variables | own)
    studio = Studio(operator, started.running[0], variables)  # type: ignore[arg-type]
    with studio.client() as client:
        from prefect.client.schemas.actions import WorkPoolUpdate

        client.update_work_pool("rtx-5090", WorkPoolUpdate(concurrency_limit=2))
    wait_for("both GPU workers", lambda: studio.gpu_log().count("started!") == 2)
    yield studio
    for process in reversed(started.running):
        processes.stop(process, 10)
    database.stop()


def finished(studio: Studio, words: str, run: object) -> None:
    found = studio.finish(run)  # type: ignore[arg-type]
    assert found.state is not None
    assert found.state.is_completed(), found.state.message
    manifests = [item for item in studio.manifests() if item.brief.prompt == words]
    assert len(manifests) == 1


def test_two_gpu_hosts_share_the_queue(studio: Studio) -> None:
    words = [f"a green square moves left, host {number}" for number in range(4)]
    runs = [studio.start(prompt=text, seconds=2, frames=17, upscale=2) for text in words]
    for text, run in zip(words, runs, strict=True):
        finished(studio, text, run)
    hosts = {
        child.labels.get("prefect.worker.name") for run in runs for child in studio.children(run)
    }
    assert hosts == {"gpu1", "gpu2"}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("host", ["gpu", "store", "server", "studio"])
def test_a_cut_link_heals(studio: Studio, network: Network, host: str, stage: str) -> None:
    """For a minute no packet passes."""
    words = f"an orange circle moves up, cut {host} at {stage}"
    mark = len(studio.gpu_log())
    run = studio.start(prompt=words, seconds=4, frames=17, upscale=2)
    studio.wait_until(STAGES[stage], mark)
    (child,) = studio.children(run)
    name = str(child.labels["prefect.worker.name"]) if host == "gpu" else host
    with network.cut(name):
        time.sleep(CUT)
    finished(studio, words, run)
    assert studio.gpu_log(mark).count("of 4: made") <= 5, "more than one chunk was made twice"


def test_the_other_host_takes_over_from_one_that_died(studio: Studio, network: Network) -> None:
    """Its power is out: worker and child are gone, and nobody starts them again. The server's
    automation notices the silence after 90 s."""
    words = "a yellow square moves right, and the lights go out"
    mark = len(studio.gpu_log())
    run = studio.start(prompt=words, seconds=4, frames=17, upscale=2)
    studio.wait_until("chunks 1/4", mark)
    (child,) = studio.children(run)
    dead = str(child.labels["prefect.worker.name"])
    for pid in subprocess.check_output(["ip", "netns", "pids", network.space(dead)]).split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    finished(studio, words, run)
    first, second = sorted(studio.children(run), key=lambda item: str(item.name))
    assert first.state is not None
    assert first.state.is_crashed()
    assert second.labels["prefect.worker.name"] != dead
