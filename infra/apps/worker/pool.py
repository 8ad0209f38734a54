"""The workers of both pools, on Prefect's process worker.

They differ from it in this: a process serves one run after another, no child outlives its worker,
a run that lost its worker or its process begins again by itself, and SIGTERM lets runs finish. The
pools stay stock process pools: `prefect worker start --type process` serves them too.
"""

import os
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import anyio
import anyio.abc
import httpx
from prefect.flows import load_flow_from_flow_run
from prefect.runner._flow_run_executor import FlowRunExecutionResult, FlowRunExecutorContext
from prefect.runner._process_manager import ProcessHandle
from prefect.settings import get_current_settings
from prefect.states import AwaitingRetry
from prefect.utilities.processutils import command_to_string
from prefect.workers.process import (
    ProcessJobConfiguration,
    ProcessWorker,
    ProcessWorkerResult,
)

from infra.apps.worker.children import WarmChildren
from infra.apps.worker.code import fingerprint
from infra.apps.worker.concurrency import SCHEDULE_LIMIT, worker_limit
from infra.apps.worker.polling import Polling
from infra.apps.worker.reconcile import reconcile, revive
from infra.apps.worker.warm import Kind
from pipelines import processes
from pipelines.schema.names import GPU_POOL

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun, State
    from prefect.client.schemas.responses import WorkerFlowRunResponse

_MEND_EVERY = 15.0
"""Seconds between two looks for runs that nobody works on."""
_STUDIO_IDLE = 150.0
"""Longest silence of a process of the studio's pool, in seconds: the calendar's run of each minute
keeps one, and those that only many briefs at once need give their memory back soon."""
_STUDIO_GROWTH = 300_000_000
"""Bytes that such a process may grow by; it holds no model."""


class _Quiet(warnings.catch_warnings):
    """Our classes replace the stock one in Prefect's registry on purpose."""

    def __enter__(self) -> Any:
        result = super().__enter__()
        warnings.filterwarnings("ignore", message="Type .* matches existing registered type")
        return result


with _Quiet():

    class StudioWorker(ProcessWorker):
        """Executes each run in a process of its own, which ends with the worker."""

        type = "process"
        engine = "prefect.engine"
        """Module that runs a flow run in its process."""

        def __init__(self, *, reserved: int = 0, **options: Any) -> None:
            super().__init__(**options)
            self.busy: set[UUID] = set()
            self.draining = False
            self._mended = 0.0
            self._polling = Polling(reserved)
            self._code = fingerprint()

        async def run(
            self,
            flow_run: "FlowRun",
            configuration: ProcessJobConfiguration,
            task_status: anyio.abc.TaskStatus[int] | None = None,
        ) -> ProcessWorkerResult:
            """Run it in a process of its own; a command set in the pool or run stays as it is."""
            self.busy.add(flow_run.id)
            try:
                return await self.execute(flow_run, configuration, task_status)
            finally:
                self.busy.discard(flow_run.id)
                self._polling.expect()

        async def execute(
            self,
            flow_run: "FlowRun",
            configuration: ProcessJobConfiguration,
            task_status: anyio.abc.TaskStatus[int] | None,
        ) -> ProcessWorkerResult:
            if not configuration._command_configured:
                argv = processes.with_pdeathsig([sys.executable, "-m", self.engine])
                configuration.command = command_to_string(argv)
                configuration._command_configured = True
            return await super().run(flow_run, configuration, task_status)

        async def get_and_submit_flow_runs(self) -> list["FlowRun"]:
            """Poll for runs when that is due, unless draining; every _MEND_EVERY seconds repair
            lost runs."""
            if self._has_successfully_synced and time.monotonic() - self._mended > _MEND_EVERY:
                await self.mend()
            if self.draining or not self._polling.is_due(int(self.limiter.available_tokens)):
                return []
            found = await super().get_and_submit_flow_runs()
            self._polling.note(found=bool(found))
            return found

        async def _submit_scheduled_flow_runs(
            self, flow_run_response: list["WorkerFlowRunResponse"]
        ) -> list["FlowRun"]:
            """Submit all but those whose last process has not ended yet; a later poll finds them.

            A person may answer a suspended run before its process is gone. The limiter gives one
            run one slot, and raises RuntimeError if a second is asked for, which ends the worker.
            """
            held = self.limiter.statistics().borrowers
            free = [found for found in flow_run_response if found.flow_run.id not in held]
            return await super()._submit_scheduled_flow_runs(free)

        async def mend(self) -> None:
            """Queue again the runs that the server assigns to this worker and that it does not
            execute."""
            self._mended = time.monotonic()
            if fingerprint() != self._code and not self.draining:
                self._logger.warning("the code changed: ending, to be started with the new one")
                self.draining = True
            if self.draining and not self.busy:
                os._exit(0)  # whoever watches this process starts it again
            ours = self.busy | self._submitting_flow_run_ids
            try:
                await reconcile(self.client, self._work_pool_name, self.name, ours)
                await revive(self.client, self._work_pool_name, self.name)
            except httpx.HTTPError as error:
                self._logger.warning("runs could not be looked over: %s", error)

        async def drain(self, seconds: float) -> None:
            """Accept no more runs, let those at work go on for `seconds`, then queue the rest
            again."""
            self.draining = True
            deadline = time.monotonic() + seconds
            while self.busy and time.monotonic() < deadline:
                await anyio.sleep(0.2)
            for pid in _children():
                os.kill(pid, signal.SIGSTOP)  # so that none reports what we change now
            for run in list(self.busy | self._submitting_flow_run_ids):
                state: State[Any] = AwaitingRetry(
                    message="The worker was stopped. It goes on where it was."
                )
                await self.client.set_flow_run_state(run, state, force=True)

    class ColdWorker(StudioWorker):
        """Executes one run at a time, each in a process that imports all code first."""

        engine = "infra.apps.worker.cold"

        def __init__(self, **options: Any) -> None:
            super().__init__(**options | {"limit": 1, "prefetch_seconds": 0})

    class WarmWorker(StudioWorker):
        """Executes runs in warm children: one run at a time in each, `limit` at once in all."""

        def __init__(self, *, kind: Kind, limit: int, **options: Any) -> None:
            super().__init__(**options | {"limit": limit, "prefetch_seconds": 0})
            self._children = WarmChildren(kind, limit)

        async def setup(self) -> None:
            """Start a child too, so that no run waits for its imports, which take seconds."""
            await super().setup()
            settings = get_current_settings().to_environment_variables(exclude_unset=True)
            await self._children.prepare({**os.environ, **settings})

        async def teardown(self, *exc_info: Any) -> None:
            with anyio.CancelScope(shield=True):
                await self._children.close()
            await super().teardown(*exc_info)

        async def get_and_submit_flow_runs(self) -> list["FlowRun"]:
            await self._children.retire_idle()
            return await super().get_and_submit_flow_runs()

        async def execute(
            self,
            flow_run: "FlowRun",
            configuration: ProcessJobConfiguration,
            task_status: anyio.abc.TaskStatus[int] | None,
        ) -> ProcessWorkerResult:
            """Execute the run as Prefect's process worker does, but in a warm child.

            One with a command of its own, set in the pool or the run, gets a process of its own.
            """
            if configuration._command_configured:
                return await super().execute(flow_run, configuration, task_status)
            async with FlowRunExecutorContext() as context:
                executor = context.create_executor(
                    flow_run,
                    _Starter(self._children, configuration.env, context),
                    resolve_flow=load_flow_from_flow_run,
                    propose_submitting=False,
                )
                ended: FlowRunExecutionResult | None = None

                async def submit(
                    *, task_status: anyio.abc.TaskStatus[ProcessHandle] = anyio.TASK_STATUS_IGNORED
                ) -> None:
                    nonlocal ended
                    ended = await executor.submit(task_status=task_status)

                async with anyio.create_task_group() as group:
                    handle = await group.start(submit)
                    if task_status is not None:
                        task_status.started(handle.pid)
            if ended is None or ended.status_code is None:
                raise RuntimeError("the warm process did not take the run")
            return ProcessWorkerResult(
                status_code=ended.status_code, identifier=str(ended.handle.pid)
            )


def worker_for(
    pool: str, name: str, *, cold: bool, limit: int, idle_seconds: float
) -> StudioWorker:
    """The worker of a pool.

    Args:
        pool: Its name: the GPU pool, or one whose runs use no device.
        name: The worker's own name.
        cold: Every run gets a process of its own.
        limit: Runs at once; 0: as the queues' limits demand. The GPU pool's is 1.
        idle_seconds: Silence after which a warm process is ended.
    """
    options: dict[str, Any] = {
        "work_pool_name": pool,
        "name": name,
        "create_pool_if_not_found": False,
    }
    if pool == GPU_POOL:
        kind = Kind("models", idle_seconds, rests=True)
        return ColdWorker(**options) if cold else WarmWorker(kind=kind, limit=1, **options)
    if not limit:
        limit, options["reserved"] = worker_limit(), SCHEDULE_LIMIT
    if cold:
        return StudioWorker(limit=limit, prefetch_seconds=0, **options)
    kind = Kind("flows", min(idle_seconds, _STUDIO_IDLE), max_growth=_STUDIO_GROWTH)
    return WarmWorker(kind=kind, limit=limit, **options)


class _Starter:
    """Prefect's ProcessStarter for a run in a warm child."""

    def __init__(
        self,
        children: WarmChildren,
        environment: dict[str, str | None],
        context: FlowRunExecutorContext,
    ) -> None:
        self._children = children
        self._environment = environment
        self._channel = context.control_channel

    async def start(
        self,
        flow_run: "FlowRun",
        task_status: anyio.abc.TaskStatus[ProcessHandle] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        await self._children.run(flow_run, self._environment, self._channel, task_status)


def _children() -> list[int]:
    """The pids of the child processes of all threads of this process."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        found += [int(pid) for pid in (task / "children").read_text(encoding="ascii").split()]
    return found
