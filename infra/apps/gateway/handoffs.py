"""Reads what the child runs on the GPU host stored for the run that started them."""

from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
)
from prefect.client.schemas.sorting import FlowRunSort
from pydantic import ValidationError

from pipelines.documents.draft import Draft
from pipelines.documents.manifest import Film
from pipelines.schema.keys import ObjectKey

Handed = TypeVar("Handed", Draft, Film)


async def read_handoff(
    client: PrefectClient,
    read: Callable[[ObjectKey], Awaitable[bytes | None]],
    run: UUID,
    flow: str,
    key: Callable[[UUID], ObjectKey],
    kind: type[Handed],
) -> Handed | None:
    """The result that a run of `flow`, a child of `run`, stored under `key(child)`.

    None if no child stored one, or if it has the format of another version.
    """
    children = await client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])),
        flow_run_filter=FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[run])),
        # A run that fell back to another backend has a child for each: the last one counts.
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
    )
    for child in children:
        data = await read(key(child.id))
        if data:
            try:
                return kind.model_validate_json(data)
            except ValidationError:
                return None
    return None
