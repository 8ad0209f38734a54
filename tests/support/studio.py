"""`reelwright up` under test: started as an operator would, talked to as an editor would."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
)
from prefect.client.schemas.objects import Artifact, FlowRun
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_CLIENT_RETRY_EXTRA_CODES,
    temporary_settings,
)
from prefect.states import Cancelling

from infra.adapters.embedded import is_healthy
from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import StoreSettings
from pipelines.documents.manifest import Manifest
from pipelines.schema.keys import ObjectKey
from tests.conftest import Cli

PATIENCE = 600.0
"""Seconds after which a test gives up waiting; nothing is asserted about speed."""


def wait_for(what: str, found: Callable[[], Any]) -> Any:
    """The first true value of `found`."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        value = found()
        if value:
            return value
        time.sleep(0.3)
    raise AssertionError(f"waited {PATIENCE:g} s for {what}")


STAGES = {
    "enhance": "enhance 0/4",
    "chunk 2": "chunks 1/4",
    "stitch": "stitch 0/1",
    "upscale": "upscale 20/64",
    "upload": "upload 0/3",
}
"""What the GPU worker writes when a brief of four chunks comes to a stage."""


@dataclass
class Studio:
    """A studio that runs, and its editor."""

    cli: Cli
    process: subprocess.Popen[str]
    variables: dict[str, str]
    link: str = ""
    """Logs one browser in to the gateway."""

    @property
    def gateway(self) -> str:
        """The gateway's address."""
        return f"http://127.0.0.1:{self.cli.env['REELWRIGHT_STUDIO_GATEWAY_PORT']}"

    def editor(self) -> httpx.Client:
        """A client of the gateway with the operator's token."""
        token = self.variables["REELWRIGHT_GATEWAY_TOKEN"]
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.gateway, headers=headers, timeout=300)

    @contextmanager
    def client(self) -> Iterator[SyncPrefectClient]:
        with (
            temporary_settings(
                {
                    PREFECT_API_URL: self.variables["PREFECT_API_URL"],
                    PREFECT_API_AUTH_STRING: self.variables["PREFECT_API_AUTH_STRING"],
                    PREFECT_CLIENT_MAX_RETRIES: 7,
                    PREFECT_CLIENT_RETRY_EXTRA_CODES: {500},
                }
            ),
            get_client(sync_client=True) as client,
        ):
            yield client

    def start(self, deployment: str = "produce-content/normal", **brief: Any) -> UUID:
        """What the form's button does."""
        self.wait_for_server()
        with self.client() as client:
            found = client.read_deployment_by_name(deployment)
            run = client.create_flow_run_from_deployment(found.id, parameters={"brief": brief})
            return run.id

    @property
    def is_cold(self) -> bool:
        """Whether every run on the GPU has a process of its own."""
        return "--cold" in self.process.args  # type: ignore[operator]

    def look(self, run: UUID) -> FlowRun | None:
        """The run; None while the server is away."""
        try:
            with self.client() as client:
                return client.read_flow_run(run)
        except (httpx.TransportError, PrefectHTTPStatusError):
            return None

    def wait_for_server(self) -> None:
        wait_for("the server", lambda: is_healthy(f"{self.variables['PREFECT_API_URL']}/ready"))

    def finish(self, run: UUID) -> FlowRun:
        """The run when it has ended for good: a crash that is mended is not the end."""

        def ended() -> FlowRun | None:
            found = self.look(run)
            if found is None or found.state is None or not found.state.is_final():
                return None
            return None if found.state.is_crashed() and found.run_count < 3 else found

        result = wait_for(f"the end of {run}", ended)
        assert isinstance(result, FlowRun)
        return result

    def cancel(self, run: UUID) -> None:
        with self.client() as client:
            client.set_flow_run_state(run, Cancelling())

    def children(self, run: UUID) -> list[FlowRun]:
        with self.client() as client:
            return client.read_flow_runs(
                flow_run_filter=FlowRunFilter(
                    parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[run])
                ),
            )

    def artifacts(self, run: UUID) -> dict[str, Artifact]:
        theirs = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
        with self.client() as client:
            return {str(item.key): item for item in client.read_artifacts(artifact_filter=theirs)}

    def gpu_log(self, after: int = 0) -> str:
        """What the GPU host's worker wrote, from that character on."""
        return self.worker_log("rtx-5090")[after:]

    def wait_until(self, words: str, after: int) -> None:
        """Until the GPU host's worker has written `words`."""
        deadline = time.monotonic() + PATIENCE
        while words not in self.gpu_log(after):
            assert time.monotonic() < deadline, f"never saw {words!r}"
            time.sleep(0.02)

    @property
    def store(self) -> ObjectStore:
        return ObjectStore(
            StoreSettings(
                endpoint=self.variables["REELWRIGHT_S3_ENDPOINT"],
                access_key=self.variables["REELWRIGHT_S3_ACCESS_KEY"],
                secret_key=self.variables["REELWRIGHT_S3_SECRET_KEY"],  # type: ignore[arg-type]
            )
        )

    def manifests(self) -> list[Manifest]:
        """Of everything that is published, each proven against the bucket."""
        store, found = self.store, []
        for key in store.list_keys("videos/"):
            if not key.endswith("manifest.json"):
                continue
            data = store.get_bytes(ObjectKey(key))
            assert data is not None
            manifest = Manifest.model_validate_json(data)
            for item in manifest.objects:
                assert store.head(item.key) == item
            found.append(manifest)
        return found

    def pid_of(self, part: str) -> int:
        path = self.cli.data / "studio" / "running.json"
        return int(json.loads(path.read_text())[part])

    def children_of(self, part: str) -> list[int]:
        """Processes that a part started, such as the warm child of the GPU worker."""
        return descendants(self.pid_of(part))

    def worker_log(self, pool: str) -> str:
        return (self.cli.data / "studio" / "logs" / f"{pool}.log").read_text(errors="replace")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> str:
        """End it as an operator would. Returns what it said."""
        self.process.send_signal(how)
        _, errors = self.process.communicate(timeout=60)
        return errors


def start_studio(cli: Cli, *options: str) -> Studio:
    """Start it and wait until it says that it is ready."""
    process = cli.start("up", *options)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("passwords"):
            break
    else:
        assert process.stderr is not None
        raise AssertionError(f"no studio: {process.stderr.read()}")
    path = Path(lines[-1].split()[-1])
    pairs = (line.partition("=") for line in path.read_text().splitlines())
    links = [line.split()[2] for line in lines if line.startswith("log in")]
    return Studio(cli, process, {name: value for name, _, value in pairs}, "".join(links))


def descendants(pid: int) -> list[int]:
    """All processes below `pid`."""
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += [int(child), *descendants(int(child))]
    except OSError:
        pass  # it ended while we looked
    return found


def processes_of(data: Path) -> list[str]:
    """Commands of all living processes whose environment or arguments name `data`."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal() or int(folder.name) == os.getpid():
            continue
        try:
            text = (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes()
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if str(data).encode() in text and state != "Z":
            found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found
