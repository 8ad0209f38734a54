"""The gateway in this process: its whole application on a real store, without a Prefect server."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.states import Scheduled

from infra.adapters.settings import Settings, StoreSettings
from infra.apps.gateway import app as application


class NoWorkers:
    """In place of Prefect's client: what is started waits for ever, and nobody else starts runs."""

    def __init__(self) -> None:
        self.runs: dict[str, FlowRun] = {}
        """By idempotency key."""

    async def read_flow_runs(
        self, *, flow_run_filter: FlowRunFilter | None = None, **_: Any
    ) -> list[FlowRun]:
        wanted = flow_run_filter.id.any_ if flow_run_filter and flow_run_filter.id else None
        return [run for run in self.runs.values() if wanted is None or run.id in wanted]

    async def read_deployment_by_name(self, name: str) -> Any:
        return SimpleNamespace(id=uuid4(), name=name)

    async def create_flow_run_from_deployment(
        self,
        _: UUID,
        *,
        parameters: dict[str, Any],
        idempotency_key: str,
        tags: list[str],
        name: str,
    ) -> FlowRun:
        run = FlowRun(id=uuid4(), flow_id=uuid4(), name=name, parameters=parameters, tags=tags)
        run.state = Scheduled()
        return self.runs.setdefault(idempotency_key, run)

    async def read_artifacts(self, **_: Any) -> list[Any]:
        return []

    async def resume_flow_run(self, *_: Any, **__: Any) -> Any:
        raise ObjectNotFound(KeyError("no such run"))

    async def set_flow_run_state(self, *_: Any, **__: Any) -> Any:
        raise ObjectNotFound(KeyError("no such run"))

    async def api_healthcheck(self) -> None:
        """It answers."""


@contextmanager
def gateway_here(folder: Path, store: StoreSettings, **env: str) -> Iterator[TestClient]:
    """A program on this machine that asks a gateway with the data directory `folder`."""
    values = {
        "REELWRIGHT_DATA_DIR": str(folder),
        "REELWRIGHT_GATEWAY_TRUST_LOCAL": "true",
        "REELWRIGHT_GATEWAY_WRITES_PER_MINUTE": "100000",
        "REELWRIGHT_GATEWAY_FREE_MB": "0",
        "REELWRIGHT_S3_ENDPOINT": store.endpoint,
        "REELWRIGHT_S3_ACCESS_KEY": store.access_key,
        "REELWRIGHT_S3_SECRET_KEY": store.secret_key.get_secret_value(),
        "REELWRIGHT_S3_BUCKET": store.bucket,
    }

    @asynccontextmanager
    async def no_server() -> AsyncIterator[NoWorkers]:
        yield NoWorkers()

    with pytest.MonkeyPatch.context() as patch:
        for name, value in (values | env).items():
            patch.setenv(name, value)
        patch.setattr(application, "get_client", no_server)
        app = application.create_app(Settings.load())
        peer = ("127.0.0.1", 50_000)
        with TestClient(app, "http://127.0.0.1", client=peer, follow_redirects=False) as client:
            yield client
