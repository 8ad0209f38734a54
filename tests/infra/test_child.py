"""The warm child's process, run after run."""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.purge_scratch import purge_scratch
from infra.adapters.object_store import ObjectStore
from infra.apps.worker import child, trouble
from tests.conftest import Cli
from tests.support.failing_flows import failing

COMMAND: dict[str, Any] = {"flow_run": str(UUID(int=1)), "environment": {}}
SCRIPT = """
import dataclasses, gc, json, ssl, sys
from uuid import UUID

from prefect.events import Event

from infra.apps.worker.child import run_one

held = []
for word in sys.argv[1:]:
    ended = run_one(UUID(word), {"PREFECT__FLOW_RUN_ID": word})
    gc.collect()
    kinds = [type(item) for item in gc.get_objects()]
    held.append([*dataclasses.astuple(ended), kinds.count(Event), kinds.count(ssl.SSLContext)])
print(json.dumps(held))
"""

ON_A_GPU = """
import dataclasses, json, sys
from uuid import UUID

import torch

from infra.apps.worker.child import run_one

torch.cuda.is_initialized, torch.cuda.synchronize = lambda: True, lambda: None
ended = [run_one(UUID(word), {"PREFECT__FLOW_RUN_ID": word}) for word in sys.argv[1:]]
print(json.dumps([dataclasses.astuple(item) for item in ended]))
"""


def runs_of(cli: Cli, flow: Flow[Any, Any], parameters: list[dict[str, Any]]) -> list[UUID]:
    """A run of `flow` for each of `parameters`, in no pool: nobody but us takes them."""

    async def make() -> list[UUID]:
        async with get_client() as client:
            deployment = await client.create_deployment(
                flow_id=await client.create_flow(flow),
                name=f"child-{uuid4().hex[:8]}",
                entrypoint=f"{flow.fn.__module__}.{flow.fn.__name__}",
            )
            return [
                (await client.create_flow_run_from_deployment(deployment, parameters=item)).id
                for item in parameters
            ]

    with temporary_settings({PREFECT_API_URL: cli.env["PREFECT_API_URL"]}):
        return asyncio.run(make())


def test_a_run_leaves_none_of_its_connections_and_events_behind(
    cli: Cli, store: ObjectStore
) -> None:
    """Prefect keeps them for its exit hooks, 2 MB a run."""
    runs = runs_of(cli, purge_scratch, [{}] * 4)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, runs)],
        env=cli.env | {"PREFECT_LOGGING_TO_API_ENABLED": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, *later = json.loads(done.stdout.splitlines()[-1])
    assert first[:3] == [0, "", 0], done.stderr[-3000:]
    assert later == [first] * 3
    with (
        temporary_settings({PREFECT_API_URL: cli.env["PREFECT_API_URL"]}),
        get_client(sync_client=True) as client,
    ):
        states = [client.read_flow_run(run).state for run in runs]
    assert all(state and state.is_completed() for state in states)


@pytest.fixture
def lasting() -> Iterator[Callable[[], None]]:
    """Starts a thread that keeps a process from ending, until the test is over."""
    over, threads = threading.Event(), []

    def start() -> None:
        thread = threading.Thread(target=over.wait)
        thread.start()
        threads.append(thread)

    yield start
    over.set()
    for thread in threads:
        thread.join()


def test_threads_of_idle_work_are_not_taken_for_a_run_s(
    lasting: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch's compiler keeps the threads of its pool."""
    monkeypatch.setattr(child, "run_one", lambda *_: child.Ended(0))
    lasting()
    assert child.serve(COMMAND) == child.Ended(0)


@pytest.mark.parametrize("name", ["pool", "thread_pool"])
def test_the_threads_of_the_compiler_s_pools_do_not_end_a_process_whose_run_compiled(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With REELWRIGHT_COMPILE=on a run compiles. The pools are torch's own."""
    from torch._inductor import async_compile

    monkeypatch.setattr(async_compile, "get_compile_threads", lambda: 2)
    pool = getattr(async_compile.AsyncCompile, name)
    pool.cache_clear()

    def run(*_: object) -> child.Ended:
        assert pool().submit(threading.get_ident).result()
        return child.Ended(0)

    before = threading.active_count()
    monkeypatch.setattr(child, "run_one", run)
    try:
        assert child.serve(COMMAND) == child.Ended(0)
        assert threading.active_count() == before + 1
    finally:
        pool().shutdown()
        pool.cache_clear()


def test_a_process_in_which_a_run_left_a_thread_must_end(
    lasting: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: object) -> child.Ended:
        lasting()
        return child.Ended(0)

    monkeypatch.setattr(child, "run_one", run)
    assert child.serve(COMMAND) == child.Ended(0, "a run left a thread")


def test_a_run_that_failed_says_whether_its_process_may_go_on(cli: Cli) -> None:
    """The process is told that it uses a GPU."""
    expected = {
        "no": "",
        "brief": "",
        "device": trouble.REPORTED,
        "device, in words": trouble.REPORTED,
        "memory": trouble.NO_MEMORY,
        "foreign": trouble.FOREIGN,
    }
    runs = runs_of(cli, failing, [{"how": how} for how in expected])
    done = subprocess.run(
        [sys.executable, "-c", ON_A_GPU, *map(str, runs)],
        env=cli.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    ended = json.loads(done.stdout.splitlines()[-1])
    assert [reason for _, reason in ended] == list(expected.values()), done.stderr[-3000:]
