"""`reelwright deploy`: creates or updates pools, queues, limits, automations and deployments.

It can be repeated: a second call changes nothing.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import httpx
import yaml
from prefect.automations import Automation
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.exceptions import (
    ObjectAlreadyExists,
    ObjectNotFound,
    PrefectHTTPStatusError,
)

from infra.apps.worker.concurrency import brief_limit
from pipelines.errors import ServerError
from pipelines.schema.names import GPU_POOL, STUDIO_POOL
from tasks.dispatch import CLOCK, QUEUES

FILE = Path(__file__).parents[2] / "deploy" / "prefect.yaml"
_RESTING = ("Completed", "Failed", "Cancelled", "Crashed", "Paused", "Suspended", "AwaitingRetry")
_HEARTBEAT = "prefect.flow-run.heartbeat"
_SILENCE = timedelta(seconds=90)
"""Three heartbeats of 30 s."""
_PENDING_LIMIT = timedelta(minutes=10)


def deploy() -> list[str]:
    """Bring the server that PREFECT_API_URL names to what this version needs.

    Returns the deployments. Raises ServerError with Prefect's own words.
    """
    with _errors(), get_client(sync_client=True) as client:
        _pool(client, STUDIO_POOL, "Flows that wait and publish; no GPU.", None)
        _queue(client, STUDIO_POOL, CLOCK, 1)
        for priority, queue in enumerate(QUEUES, start=2):
            _queue(client, STUDIO_POOL, queue, priority, brief_limit(queue))
        _pool(client, GPU_POOL, "One run at a time on the GPU host.", 1)
        for priority, queue in enumerate(QUEUES, start=1):
            _queue(client, GPU_POOL, queue, priority)
        _automations()
        return _deployments()


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except (httpx.HTTPError, PrefectHTTPStatusError) as error:
        raise ServerError(f"the Prefect server refuses the deployments: {error}") from error


def _pool(client: SyncPrefectClient, name: str, description: str, limit: int | None) -> None:
    from prefect.workers.process import ProcessWorker

    template = ProcessWorker.get_default_base_job_template()
    try:
        client.create_work_pool(
            WorkPoolCreate(
                name=name,
                type="process",
                description=description,
                base_job_template=template,
                concurrency_limit=limit,
            )
        )
    except ObjectAlreadyExists:
        # Its limit stays: whoever has more GPU hosts has raised it.
        client.update_work_pool(name, WorkPoolUpdate(description=description))


def _queue(
    client: SyncPrefectClient, pool: str, name: str, priority: int, limit: int | None = None
) -> None:
    try:
        found = client.read_work_queue_by_name(name, work_pool_name=pool)
    except ObjectNotFound:
        # A request that is repeated, because its first answer was lost, finds what it made.
        with suppress(ObjectAlreadyExists):
            client.create_work_queue(
                name=name, work_pool_name=pool, priority=priority, concurrency_limit=limit
            )
    else:
        if (found.priority, found.concurrency_limit) != (priority, limit):
            client.update_work_queue(found.id, priority=priority, concurrency_limit=limit)


def _automations() -> None:
    crash_after_silence(
        "reelwright: a run whose host died",
        "No heartbeat for 90 s: Crashed, so that it can begin again.",
        after={_HEARTBEAT},
        expect={_HEARTBEAT},
        within=_SILENCE,
        message="Its host went silent.",
    )
    crash_after_silence(
        "reelwright: a run that never began",
        "Pending for 10 minutes: Crashed, so that it gives its slot back.",
        after={"prefect.flow-run.Pending", "prefect.flow-run.Submitting"},
        expect={"prefect.flow-run.Running"},
        within=_PENDING_LIMIT,
        message="It never began.",
    )


def crash_after_silence(
    name: str,
    description: str,
    *,
    after: set[str],
    expect: set[str],
    within: timedelta,
    message: str,
) -> None:
    """Create an automation: a run becomes Crashed if, `within` that time after an event of
    `after`, neither an event of `expect` nor its end or pause comes."""
    automation = Automation(
        name=name,
        description=description,
        trigger=EventTrigger(
            after=after,
            expect=expect | {f"prefect.flow-run.{state}" for state in _RESTING},
            match={"prefect.resource.id": "prefect.flow-run.*"},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=within,
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message=message)],
    )
    try:
        known = Automation.read(name=name)
    except ValueError:
        automation.create()
    else:
        assert isinstance(known, Automation)
        automation.id = known.id
        automation.update()


def _deployments() -> list[str]:
    argv = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    done = subprocess.run(
        [*argv, "--prefect-file", str(FILE)],
        capture_output=True,
        text=True,
        check=False,
        cwd=FILE.parents[2],
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise ServerError(f"Prefect refuses {FILE.name}: {' / '.join(words[-3:])}")
    wanted = yaml.safe_load(FILE.read_text(encoding="utf-8"))["deployments"]
    return [
        f"{item['entrypoint'].split('.')[1].replace('_', '-')}/{item['name']}" for item in wanted
    ]
