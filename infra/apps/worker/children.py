"""The warm children of a worker: as many as runs are at work, each with one run at a time."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import anyio
import anyio.abc
from prefect.runner._process_manager import ProcessHandle

from infra.apps.worker.warm import Kind, WarmChild

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun
    from prefect.runner._control_channel import ControlChannel


class WarmChildren:
    """At most `limit` warm children of one kind. All methods belong to the worker's event loop.

    A run gets the free child that was used last, or a new one if none is free. So those that only
    a busy hour needed are silent afterwards, and are ended.
    """

    def __init__(self, kind: Kind, limit: int) -> None:
        self._kind = kind
        self._places = anyio.CapacityLimiter(limit)
        self._free: list[WarmChild] = []
        self._all: list[WarmChild] = []

    @property
    def processes(self) -> list[anyio.abc.Process]:
        """Of the children that live; the one that the next run would use is last, if one is
        free."""
        order = [child for child in self._all if child not in self._free] + self._free
        return [child.process for child in order if child.process]

    @property
    def waiting(self) -> int:
        """Runs that wait for a free child."""
        return self._places.statistics().tasks_waiting

    async def run(
        self,
        flow_run: "FlowRun",
        environment: Mapping[str, str | None],
        channel: "ControlChannel",
        task_status: anyio.abc.TaskStatus[ProcessHandle],
    ) -> None:
        """Let a child execute the run, and wait for its end; waits if all are at work.

        Raises RuntimeError if the child ends while it starts.
        """
        async with self._places:
            child = self._take()
            try:
                await child.run(flow_run, environment, channel, task_status)
            finally:
                self._give_back(child)

    async def prepare(self, environment: Mapping[str, str | None]) -> None:
        """Start the first child before a run needs it."""
        async with self._places:
            child = self._take()
            try:
                await child.prepare(environment)
            finally:
                self._give_back(child)

    async def retire_idle(self) -> None:
        """End the children that had nothing to do for a long time."""
        for child in list(self._free):
            if child not in self._free:
                continue  # a run took it while another one was ended
            self._free.remove(child)  # no run may get one that is being ended
            try:
                await child.retire_if_idle()
            finally:
                self._give_back(child)

    async def close(self) -> None:
        """End all children."""
        for child in list(self._all):
            await child.close()

    def _take(self) -> WarmChild:
        if self._free:
            return self._free.pop()
        child = WarmChild(self._kind)
        self._all.append(child)
        return child

    def _give_back(self, child: WarmChild) -> None:
        if child.process is None:
            self._all.remove(child)
        else:
            self._free.append(child)
