"""Figures of the whole studio for /metrics, read when somebody scrapes, and then kept for a while.

A scrape asks Prefect for some counts at most every 10 s and the ledger for its newest entries at
most every minute; it lists nothing in the bucket. A part that does not answer is said as such
(`reelwright_part_up`), and its figures are left out, so that no old figure looks like a new one.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Generic, TypeVar

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

from infra.adapters.ledger.ledger import log_of
from infra.adapters.ledger.log import LedgerLog
from infra.adapters.ledger.rates import caps_of
from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings
from infra.adapters.space import Space, spaces_of
from infra.apps.gateway.problems import ProblemError
from infra.apps.gateway.readiness import Readiness
from infra.apps.gateway.store_work import StoreWork
from pipelines.costs.caps import CAPS
from pipelines.costs.summary import GPU, sums_of
from pipelines.errors import ReelwrightError
from pipelines.schema.names import DRAFT_STORYBOARD, GPU_POOL, POOLS, PRODUCE_CONTENT, RENDER_VIDEO

_FRESH, _LEDGER_FRESH = 10.0, 60.0
"""Seconds for which figures are kept."""
_FLOWS = (PRODUCE_CONTENT, RENDER_VIDEO, DRAFT_STORYBOARD)
_STATES: Mapping[str, tuple[StateType, ...]] = {
    "waiting": (StateType.SCHEDULED, StateType.PENDING),
    "running": (StateType.RUNNING, StateType.CANCELLING),
    "awaiting_approval": (StateType.PAUSED,),
}
Value = TypeVar("Value")
_log = logging.getLogger("reelwright.measures")


@dataclass(frozen=True)
class Queue:
    """Runs that have not ended, and the workers that serve them."""

    runs: Mapping[tuple[str, str], int]
    """How many, by flow and state."""
    on_gpu: int
    """Runs of any flow that are at work in the pool of the GPU hosts."""
    workers: Mapping[str, int]
    """How many are online, by pool."""

    @property
    def gpu_busy(self) -> float:
        """Share of the GPU workers that are at work, 0 to 1."""
        return min(1.0, self.on_gpu / max(self.workers.get(GPU_POOL, 0), 1))


@dataclass(frozen=True)
class Spending:
    """The present month of the ledger."""

    currency: str
    services: Mapping[str, Decimal]
    """What was spent and what is reserved, by backend; `gpu` for our own GPU."""
    caps: Mapping[str, Decimal]
    """By the name of the cap; one that is not set is left out."""


@dataclass
class Figures:
    """What one scrape tells, but for the gateway's own counters."""

    parts: Mapping[str, bool] = field(default_factory=dict)
    queue: Queue | None = None
    spending: Spending | None = None
    spaces: Sequence[Space] = ()


class Measures:
    """Reads the figures of one studio. Scrapes at the same time share one look."""

    def __init__(
        self,
        settings: Settings,
        client: PrefectClient,
        store: ObjectStore,
        work: StoreWork,
        readiness: Readiness,
    ) -> None:
        self._settings, self._client, self._store = settings, client, store
        self._work, self._readiness = work, readiness
        self._log: LedgerLog | None = None
        self._queue = _Kept(_FRESH, self._look_at_queue)
        self._spending = _Kept(_LEDGER_FRESH, self._look_at_ledger)

    async def look(self) -> Figures:
        """The figures as they were some seconds ago. Raises nothing for a part that is away."""
        parts = await self._readiness.look()
        queue = await self._queue.get() if parts.get("prefect") else None
        spending = await self._spending.get() if parts.get("store") else None
        return Figures(parts, queue, spending, spaces_of(self._settings))

    async def _look_at_queue(self) -> Queue | None:
        pairs = [
            (flow, state)
            for flow in _FLOWS
            for state in _STATES
            if state != "awaiting_approval" or flow == PRODUCE_CONTENT
        ]
        try:
            counts = await asyncio.gather(
                *(self._count(_STATES[state], flow=flow) for flow, state in pairs)
            )
            on_gpu = await self._count(_STATES["running"], pool=GPU_POOL)
            workers = {pool: await self._online(pool) for pool in POOLS}
        except (httpx.HTTPError, PrefectHTTPStatusError) as error:
            _log.warning("Prefect does not tell its queue: %s", error)
            return None
        return Queue(dict(zip(pairs, counts, strict=True)), on_gpu, workers)

    async def _count(self, states: Sequence[StateType], flow: str = "", pool: str = "") -> int:
        chosen = FlowRunFilterState(type=FlowRunFilterStateType(any_=list(states)))
        return await self._client.count_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])) if flow else None,
            flow_run_filter=FlowRunFilter(state=chosen),
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])) if pool else None,
        )

    async def _online(self, pool: str) -> int:
        try:
            workers = await self._client.read_workers_for_work_pool(pool)
        except ObjectNotFound:
            return 0
        return sum(worker.status == "ONLINE" for worker in workers)

    async def _look_at_ledger(self) -> Spending | None:
        try:
            return await self._work.run(self._read_ledger)
        except (ReelwrightError, ProblemError) as error:
            _log.warning("the ledger does not tell what was spent: %s", error)
            return None

    def _read_ledger(self) -> Spending:
        """What it costs after the first time is one request for the entry that may follow."""
        self._log = self._log or log_of(self._store, self._settings)
        lines = list(self._log.book(self._log.present_month()).lines.values())
        costs = self._settings.costs
        caps = caps_of(costs)
        amounts = {name: getattr(caps, name) for name in CAPS}
        return Spending(
            currency=lines[-1].price.currency if lines else costs.currency,
            services={GPU: Decimal(0)} | {i.key: i.total for i in sums_of(lines, "backend")},
            caps={name: amount for name, amount in amounts.items() if amount is not None},
        )


class _Kept(Generic[Value]):
    """A value that is read at most every `seconds`, also if it could not be read."""

    def __init__(self, seconds: float, read: Callable[[], Awaitable[Value | None]]) -> None:
        self._seconds, self._read = seconds, read
        self._value: Value | None = None
        self._when = float("-inf")
        self._lock = asyncio.Lock()

    async def get(self) -> Value | None:
        async with self._lock:
            if time.monotonic() - self._when >= self._seconds:
                self._value = await self._read()
                self._when = time.monotonic()
            return self._value
