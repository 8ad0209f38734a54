"""The worker of a pool with its real processes, on a real server."""

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import anyio
import pytest
from prefect import Flow
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_WORKER_QUERY_SECONDS,
    temporary_settings,
)
from prefect.states import Cancelling

from infra.apps.worker.pool import WarmWorker
from infra.apps.worker.warm import Kind
from tests.support.studio_flows import asking, asking_and_lingering, waiting

PATIENCE = 200


class Pool:
    """A pool whose worker is at work in this process."""

    def __init__(self, client: PrefectClient, name: str, worker: WarmWorker) -> None:
        self.client, self.name, self.worker = client, name, worker

    async def start(self, flow: Flow[Any, Any], **parameters: Any) -> UUID:
        deployment = await self.client.create_deployment(
            flow_id=await self.client.create_flow(flow),
            name=self.name,
            work_pool_name=self.name,
            entrypoint=f"{flow.fn.__module__}.{flow.fn.__name__}",
        )
        run = await self.client.create_flow_run_from_deployment(deployment, parameters=parameters)
        return run.id

    async def until(self, run: UUID, holds: Callable[[FlowRun], bool]) -> FlowRun:
        for _ in range(10 * PATIENCE):
            found = await self.client.read_flow_run(run)
            if holds(found):
                return found
            await anyio.sleep(0.1)
        raise AssertionError(f"{found.name} is {found.state}")

    async def running(self, run: UUID) -> FlowRun:
        return await self.until(run, lambda item: bool(item.state and item.state.is_running()))

    async def ended(self, run: UUID) -> str:
        """The message of the run's last state."""
        found = await self.until(run, lambda item: bool(item.state and item.state.is_final()))
        assert found.state is not None
        assert found.state.message is not None
        return f"{found.state.type.value}: {found.state.message}"


@pytest.fixture
def with_pool(
    prefect_server: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., None]]:
    """Lets a test work with a pool and its worker of two processes."""
    name = f"pool-{uuid4().hex[:8]}"

    async def inside(work: Callable[[Pool], Awaitable[None]]) -> None:
        async with get_client() as client:
            await client.create_work_pool(WorkPoolCreate(name=name, type="process"))
            # Somebody may edit the code while the tests run; a worker ends its process for that.
            monkeypatch.setattr("infra.apps.worker.pool.fingerprint", lambda: "unchanged")
            worker = WarmWorker(kind=Kind("flows"), limit=2, work_pool_name=name, name="here")
            async with anyio.create_task_group() as group:
                group.start_soon(worker.start)
                try:
                    await work(Pool(client, name, worker))
                finally:
                    group.cancel_scope.cancel()

    settings = {
        PREFECT_API_URL: prefect_server["PREFECT_API_URL"],
        PREFECT_WORKER_QUERY_SECONDS: 1,
    }
    with temporary_settings(settings):
        yield lambda work: anyio.run(inside, work)


def test_runs_share_processes_and_a_cancel_ends_one_of_them_only(
    with_pool: Callable[..., None], tmp_path: Path
) -> None:
    async def work(pool: Pool) -> None:
        gate, never = tmp_path / "gate", tmp_path / "never"
        kept, lost = (
            await pool.start(waiting, gate=f"{gate}"),
            await pool.start(waiting, gate=f"{never}"),
        )
        await pool.running(kept)
        await pool.running(lost)
        await pool.client.set_flow_run_state(lost, Cancelling())
        assert (await pool.ended(lost)).startswith("CANCELLED")
        gate.touch()
        first = await pool.ended(kept)
        assert first.startswith("COMPLETED: ")
        with anyio.fail_after(PATIENCE):
            while pool.worker.busy:  # a run has ended before its process is free
                await anyio.sleep(0.05)
        assert await pool.ended(await pool.start(waiting, gate=f"{gate}")) == first

    with_pool(work)


def test_a_run_that_waits_for_a_person_holds_no_process_and_goes_on_in_a_used_one(
    with_pool: Callable[..., None], tmp_path: Path
) -> None:
    async def work(pool: Pool) -> None:
        run = await pool.start(asking)
        await pool.until(run, lambda item: bool(item.state and item.state.is_paused()))
        with anyio.fail_after(PATIENCE):
            while pool.worker.busy:
                await anyio.sleep(0.05)
        gate = tmp_path / "gate"
        gate.touch()
        await pool.ended(await pool.start(waiting, gate=f"{gate}"))
        answer = {"decision": "approve", "reason": "seen"}
        await pool.client.resume_flow_run(run, run_input=answer)
        assert await pool.ended(run) == "COMPLETED: approve seen"

    with_pool(work)


@pytest.mark.slow
def test_a_run_that_is_answered_before_its_process_has_ended_goes_on_after_that(
    with_pool: Callable[..., None], tmp_path: Path
) -> None:
    async def work(pool: Pool) -> None:
        gate, there = tmp_path / "gate", tmp_path / "there"
        there.touch()
        run = await pool.start(asking_and_lingering, gate=f"{gate}")
        await pool.until(run, lambda item: bool(item.state and item.state.is_paused()))
        answer = {"decision": "approve", "reason": "at once"}
        await pool.client.resume_flow_run(run, run_input=answer)
        # The server gives the worker the resumed run first, which was due earlier.
        other = await pool.ended(await pool.start(waiting, gate=f"{there}"))
        assert other.startswith("COMPLETED: ")
        assert run in pool.worker.busy
        gate.touch()
        assert await pool.ended(run) == "COMPLETED: approve at once"

    with_pool(work)
