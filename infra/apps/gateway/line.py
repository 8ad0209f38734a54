"""The line of the runs that wait for their turn."""

from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.sorting import FlowRunSort

from infra.apps.gateway.problems import prefect_errors
from infra.apps.gateway.runs import PRODUCED
from tasks.dispatch import QUEUES

_LOOKED_AT = 200
_USUAL = "normal"
"""The queue of a run that names none."""


class Line:
    """The runs of everybody that wait for their turn, in the order in which they begin."""

    def __init__(self, client: PrefectClient) -> None:
        self._client = client

    async def places(self) -> dict[UUID, int]:
        """The place of each, from 1 on. Raises ServerError."""
        types = FlowRunFilterStateType(any_=[StateType.SCHEDULED, StateType.PENDING])
        with prefect_errors():
            found = await self._client.read_flow_runs(
                flow_filter=PRODUCED,
                flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=types)),
                sort=FlowRunSort.EXPECTED_START_TIME_ASC,
                limit=_LOOKED_AT,
            )
        # Of a worker's queues the first one is emptied first; in a queue, who came first begins.
        ranks = {name: rank for rank, name in enumerate(QUEUES)}
        found.sort(key=lambda run: ranks.get(run.work_queue_name or _USUAL, ranks[_USUAL]))
        return {run.id: place for place, run in enumerate(found, start=1)}
