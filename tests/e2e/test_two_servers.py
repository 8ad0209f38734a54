"""Two Prefect servers on one PostgreSQL and one Redis, as infra/deploy sets them up.

Part of `make test-faults`; needs a Redis server.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from prefect.states import Pending

from flows.purge_scratch import purge_scratch
from infra.adapters.embedded import is_healthy
from infra.adapters.postgres import PostgresServer
from infra.adapters.seaweed import SeaweedServer
from infra.apps.studio.deploy import crash_after_silence
from pipelines import processes
from tests.conftest import REPOSITORY, Cli
from tests.support.ports import free_ports
from tests.support.studio import STAGES, Studio, wait_for

REDIS = shutil.which("redis-server")
DEPLOY = REPOSITORY / "infra" / "deploy"
PASSWORD = "studio:of-this-test"
pytestmark = [
    pytest.mark.faults,
    pytest.mark.xdist_group("faults"),
    pytest.mark.timeout(900),
    pytest.mark.skipif(REDIS is None, reason="no Redis server here"),
]


def variables_in(name: str) -> dict[str, str]:
    """The settings of a file in infra/deploy."""
    lines = (DEPLOY / name).read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


class Server:
    """A Prefect server as the deployment's guide starts it."""

    def __init__(self, folder: Path, settings: dict[str, str], *options: str) -> None:
        folder.mkdir()
        self._folder, self._settings, self._options = folder, settings, options
        self.port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}/api"
        self.start()

    def start(self) -> None:
        argv = [sys.executable, "-m", "prefect", "server", "start", "--port", str(self.port)]
        with (self._folder / "server.log").open("ab") as log:
            self.process = processes.start_child(
                [*argv, *self._options],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._settings | {"PREFECT_HOME": str(self._folder)},
            )
        wait_for("the server", lambda: is_healthy(f"{self.url}/health"))

    def kill(self) -> None:
        processes.stop(self.process, 0)


@dataclass
class Pair:
    """Both servers, and a studio whose workers and editors know the second one only."""

    first: Server
    second: Server
    studio: Studio


@pytest.fixture(scope="module")
def pair(operator: Cli) -> Iterator[Pair]:
    folder = operator.data
    database, store = PostgresServer(folder / "postgres"), SeaweedServer(folder / "store")
    redis_port = str(free_ports(1)[0])
    running = [processes.start_child([str(REDIS), "--port", redis_port, "--save", ""])]
    database.wait()
    store.wait()
    hosts = {
        "PREFECT_API_DATABASE_CONNECTION_URL": database.url,
        "PREFECT_SERVER_API_AUTH_STRING": PASSWORD,
        "PREFECT_REDIS_MESSAGING_HOST": "127.0.0.1",
        "PREFECT_REDIS_MESSAGING_PORT": redis_port,
        "PREFECT_SERVER_DOCKET_URL": f"redis://127.0.0.1:{redis_port}/1",
    }
    both = operator.env | variables_in("two-servers.env") | hosts
    first = Server(folder / "first", both)
    alone = both | variables_in("second-server.env")
    second = Server(folder / "second", alone, "--no-services")
    variables = {
        "PREFECT_API_URL": second.url,
        "PREFECT_API_AUTH_STRING": PASSWORD,
        "REELWRIGHT_S3_ENDPOINT": store.endpoint,
        "REELWRIGHT_S3_ACCESS_KEY": store.credentials.access_key,
        "REELWRIGHT_S3_SECRET_KEY": store.credentials.secret_key,
    }
    deployed = operator("deploy", **variables | {"PREFECT_API_URL": first.url})
    assert deployed.code == 0, deployed.err
    logs = folder / "studio" / "logs"
    logs.mkdir(parents=True)
    for pool in ("studio", "rtx-5090"):
        with (logs / f"{pool}.log").open("ab") as log:
            argv = operator.argv("worker", pool)
            env = operator.env | variables
            running.append(processes.start_child(argv, stdout=log, stderr=log, env=env))
    studio = Studio(operator, running[0], variables)  # type: ignore[arg-type]
    yield Pair(first, second, studio)
    for process in [*reversed(running), second.process, first.process]:
        processes.stop(process, 5)
    store.stop()
    database.stop()


def test_what_the_second_hears_the_services_of_the_first_act_on(pair: Pair) -> None:
    with pair.studio.client() as client:
        crash_after_silence(
            "never began, two servers",
            "for this test",
            after={"prefect.flow-run.Pending"},
            expect={"prefect.flow-run.Running"},
            within=timedelta(seconds=10),
            message="It never began.",
        )
        run = client.create_flow_run(purge_scratch, state=Pending()).id

    def crashed() -> FlowRun | None:
        found = pair.studio.look(run)
        return found if found and found.state and found.state.is_crashed() else None

    found = wait_for("its crash", crashed)
    assert found.state.message == "It never began."


def test_a_brief_ends_though_the_first_server_dies(pair: Pair) -> None:
    words = "an orange square moves right, and one server dies"
    mark = len(pair.studio.gpu_log())
    run = pair.studio.start(prompt=words, seconds=4, frames=17, upscale=2)
    pair.studio.wait_until(STAGES["chunk 2"], mark)
    pair.first.kill()
    found = pair.studio.finish(run)
    assert found.state is not None
    assert found.state.is_completed(), found.state.message
    assert [item.brief.prompt for item in pair.studio.manifests()] == [words]
    pair.first.start()
    with (
        temporary_settings(
            {PREFECT_API_URL: pair.first.url, PREFECT_API_AUTH_STRING: PASSWORD},
        ),
        get_client(sync_client=True) as client,
    ):
        assert client.read_flow_run(run).state_name == "Completed"
