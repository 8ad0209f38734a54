"""What a worker mends: each wreck is made first, on a real server."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID, uuid4

import pytest
from prefect.automations import Automation
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.objects import State, StateType
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelling, Crashed, Pending, Running, Submitting

from flows.purge_scratch import purge_scratch
from infra.apps.studio.deploy import crash_after_silence
from infra.apps.worker.reconcile import STARTS, reconcile, revive

T = TypeVar("T")
ME, OTHER = "gpu-here", "gpu-there"
PATIENCE = 120


@pytest.fixture
def pool(prefect_server: dict[str, str]) -> Iterator[str]:
    """An empty pool on the suite's server."""
    name = f"pool-{uuid4().hex[:8]}"
    with temporary_settings({PREFECT_API_URL: prefect_server["PREFECT_API_URL"]}):
        with get_client(sync_client=True) as client:
            client.create_work_pool(WorkPoolCreate(name=name, type="process"))
        yield name


async def _wreck(
    client: PrefectClient, pool: str, state: State[object], worker: str = ME, starts: int = 1
) -> UUID:
    """A run of `pool` that `worker` left in `state` after it had begun `starts` times."""
    flow = await client.create_flow(purge_scratch)
    deployment = await client.create_deployment(
        flow_id=flow, name=pool, work_pool_name=pool, entrypoint="flows.purge_scratch.purge_scratch"
    )
    run = await client.create_flow_run_from_deployment(deployment)
    await client.update_flow_run_labels(run.id, {"prefect.worker.name": worker})
    for _ in range(starts):
        await client.set_flow_run_state(run.id, Running(), force=True)
        await client.set_flow_run_state(run.id, Pending(), force=True)
    await client.set_flow_run_state(run.id, state, force=True)
    return run.id


async def _type(client: PrefectClient, run: UUID) -> StateType | None:
    return (await client.read_flow_run(run)).state_type


def using(work: Callable[[PrefectClient], Awaitable[T]]) -> T:
    async def inside() -> T:
        async with get_client() as client:
            return await work(client)

    return asyncio.run(inside())


@pytest.mark.parametrize(
    ("state", "starts", "expected"),
    [
        (Pending(), 0, StateType.SCHEDULED),
        (Submitting(), 0, StateType.SCHEDULED),
        (Running(), 0, StateType.SCHEDULED),
        (Running(), STARTS, StateType.CRASHED),
        (Cancelling(), 1, StateType.CANCELLED),
    ],
    ids=lambda value: str(getattr(value, "name", value)),
)
def test_a_run_that_nobody_has_is_put_right(
    pool: str, state: State[object], starts: int, expected: StateType
) -> None:
    async def work(client: PrefectClient) -> None:
        run = await _wreck(client, pool, state, starts=starts)
        assert await reconcile(client, pool, ME, set()) == [run]
        assert await _type(client, run) == expected
        assert await reconcile(client, pool, ME, set()) == []

    using(work)


def test_runs_of_others_and_runs_at_work_are_left_alone(pool: str) -> None:
    async def work(client: PrefectClient) -> None:
        theirs = await _wreck(client, pool, Running(), worker=OTHER)
        ours = await _wreck(client, pool, Running())
        assert await reconcile(client, pool, ME, {ours}) == []
        assert await _type(client, theirs) == StateType.RUNNING

    using(work)


def test_a_crash_is_no_end_until_the_third(pool: str) -> None:
    async def work(client: PrefectClient) -> None:
        young = await _wreck(client, pool, Crashed(message="killed"), starts=1)
        old = await _wreck(client, pool, Crashed(message="killed"), starts=STARTS)
        assert await revive(client, pool, ME) == [young]
        assert await _type(client, young) == StateType.SCHEDULED
        assert await _type(client, old) == StateType.CRASHED

    using(work)


def test_a_run_that_never_begins_gives_its_slot_back(pool: str) -> None:
    """The automation that `deploy` makes for ten minutes, here for seconds."""

    async def work(client: PrefectClient) -> None:
        run = await _wreck(client, pool, Pending(), starts=0)
        for _ in range(PATIENCE):
            if await _type(client, run) == StateType.CRASHED:
                return
            await asyncio.sleep(1)
        raise AssertionError("it is pending still")

    name = f"never began in {pool}"
    with get_client(sync_client=True):
        crash_after_silence(
            name,
            "for this test",
            after={"prefect.flow-run.Pending", "prefect.flow-run.Submitting"},
            expect={"prefect.flow-run.Running"},
            within=timedelta(seconds=10),
            message="It never began.",
        )
    try:
        using(work)
    finally:
        automation = Automation.read(name=name)
        assert isinstance(automation, Automation)
        automation.delete()


def test_a_slot_that_a_dead_run_held_is_free_again(pool: str) -> None:
    """A pool of one: the second run cannot have the slot until the first is put right."""

    async def work(client: PrefectClient) -> None:
        await client.update_work_pool(pool, WorkPoolUpdate(concurrency_limit=1))
        dead = await _wreck(client, pool, Running())
        waiting = await client.create_flow_run_from_deployment(
            (await client.read_flow_run(dead)).deployment_id  # type: ignore[arg-type]
        )

        async def given() -> set[UUID]:
            found = await client.get_scheduled_flow_runs_for_work_pool(
                pool, scheduled_before=datetime.now(UTC) + timedelta(seconds=5)
            )
            return {item.flow_run.id for item in found}

        assert await given() == set()
        await reconcile(client, pool, ME, set())
        assert await given() <= {dead, waiting.id}
        assert await given()

    using(work)
