"""The gateway under test: the real command, on the suite's Prefect server and object store."""

import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Running

from infra.adapters.embedded import is_healthy
from pipelines.documents.brief import Brief
from pipelines.documents.grouping import flat
from tests.conftest import Cli
from tests.support.ports import free_ports
from tests.support.studio import wait_for


@dataclass
class Gateway:
    """One that runs."""

    cli: Cli
    process: subprocess.Popen[str]
    url: str

    def client(self, **headers: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, headers=headers)

    def runs(self) -> list[FlowRun]:
        """Everything that a gateway ever started on the server."""
        with (
            temporary_settings({PREFECT_API_URL: self.cli.env["PREFECT_API_URL"]}),
            get_client(sync_client=True) as client,
        ):
            theirs = FlowRunFilter(tags=FlowRunFilterTags(any_=["api", "webhook"]))
            found: list[FlowRun] = []
            while page := client.read_flow_runs(
                flow_run_filter=theirs,
                sort=FlowRunSort.EXPECTED_START_TIME_ASC,
                limit=200,
                offset=len(found),
            ):
                found += page
            return found

    def run_of(self, run: str) -> FlowRun:
        with (
            temporary_settings({PREFECT_API_URL: self.cli.env["PREFECT_API_URL"]}),
            get_client(sync_client=True) as client,
        ):
            return client.read_flow_run(run.rpartition("/")[2])  # type: ignore[arg-type]

    def brief_of(self, run: str) -> dict[str, Any]:
        """The values of the brief of a run, without groups."""
        return flat(self.run_of(run).parameters["brief"], Brief.model_fields)

    def set_running(self, run: str) -> None:
        """As if a worker had begun it."""
        with (
            temporary_settings({PREFECT_API_URL: self.cli.env["PREFECT_API_URL"]}),
            get_client(sync_client=True) as client,
        ):
            client.set_flow_run_state(UUID(run), Running(), force=True)


@contextmanager
def gateway(cli: Cli, folder: Path, **env: str) -> Iterator[Gateway]:
    """`reelwright gateway` with its own data directory."""
    (port,) = free_ports(1)
    own = Cli(
        cli.env
        | {
            "REELWRIGHT_DATA_DIR": str(folder),
            "REELWRIGHT_GATEWAY_PORT": str(port),
            "REELWRIGHT_GATEWAY_TRUST_LOCAL": "true",
            "REELWRIGHT_GATEWAY_WRITES_PER_MINUTE": "100000",
        }
        | env
    )
    log = folder / "gateway.log"
    folder.mkdir(parents=True, exist_ok=True)
    with log.open("a") as output:
        process = subprocess.Popen(
            own.argv("gateway"), env=own.env, stdout=output, stderr=output, text=True
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for("the gateway", lambda: is_healthy(f"{url}/health") or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield Gateway(own, process, url)
    finally:
        process.terminate()
        process.wait(20)
    said = log.read_text(errors="replace")
    assert "Traceback (most recent call last)" not in said, said


def brief(**values: Any) -> dict[str, Any]:
    """A brief that no other test asks for."""
    return {"prompt": f"a red ball moves right {secrets.token_hex(6)}"} | values
