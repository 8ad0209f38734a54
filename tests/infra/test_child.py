"""The warm child's process, run after run."""

import asyncio
import json
import subprocess
import sys
from uuid import UUID, uuid4

from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.purge_scratch import purge_scratch
from infra.adapters.object_store import ObjectStore
from tests.conftest import Cli

SCRIPT = """
import gc, json, ssl, sys
from uuid import UUID

from prefect.events import Event

from infra.apps.worker.child import run_one

held = []
for word in sys.argv[1:]:
    ended = run_one(UUID(word), {"PREFECT__FLOW_RUN_ID": word})
    gc.collect()
    kinds = [type(item) for item in gc.get_objects()]
    held.append([*ended, kinds.count(Event), kinds.count(ssl.SSLContext)])
print(json.dumps(held))
"""


def runs_of(cli: Cli, count: int) -> list[UUID]:
    """Runs of a deployment, in no pool: nobody but us takes them."""

    async def make() -> list[UUID]:
        async with get_client() as client:
            deployment = await client.create_deployment(
                flow_id=await client.create_flow(purge_scratch),
                name=f"child-{uuid4().hex[:8]}",
                entrypoint="flows.purge_scratch.purge_scratch",
            )
            return [
                (await client.create_flow_run_from_deployment(deployment)).id for _ in range(count)
            ]

    with temporary_settings({PREFECT_API_URL: cli.env["PREFECT_API_URL"]}):
        return asyncio.run(make())


def test_a_run_leaves_none_of_its_connections_and_events_behind(
    cli: Cli, store: ObjectStore
) -> None:
    """Prefect keeps them for its exit hooks, 2 MB a run."""
    runs = runs_of(cli, 4)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, runs)],
        env=cli.env | {"PREFECT_LOGGING_TO_API_ENABLED": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, *later = json.loads(done.stdout.splitlines()[-1])
    assert first[:3] == [0, False, 0], done.stderr[-3000:]
    assert later == [first] * 3
    with (
        temporary_settings({PREFECT_API_URL: cli.env["PREFECT_API_URL"]}),
        get_client(sync_client=True) as client,
    ):
        states = [client.read_flow_run(run).state for run in runs]
    assert all(state and state.is_completed() for state in states)
