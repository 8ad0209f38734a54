"""What runs on the GPU host left for the flow that waits for them."""

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
from pydantic import ValidationError

from pipelines.schema.draft import Draft
from pipelines.schema.keys import ObjectKey
from pipelines.schema.manifest import Film

Handed = TypeVar("Handed", Draft, Film)


async def handed_over(
    client: PrefectClient,
    read: Callable[[ObjectKey], Awaitable[bytes | None]],
    run: UUID,
    flow: str,
    key: Callable[[UUID], ObjectKey],
    kind: type[Handed],
) -> Handed | None:
    """What a run of `flow` made for its parent `run`; None if nothing, or of another version."""
    children = await client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])),
        flow_run_filter=FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[run])),
    )
    for child in children:
        data = await read(key(child.id))
        if data:
            try:
                return kind.model_validate_json(data)
            except ValidationError:
                return None
    return None
