"""Options of Prefect that all tasks share.

Prefect caches no results. Every stage finds its finished work in the bucket by its digest and
verifies it. That works even after the database of Prefect's server is lost.
"""

from typing import Any

from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

STAGE: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}
"""Options of every task."""


def done(message: str) -> State[Any]:
    """The final state of a flow that succeeded. `message` says what it did."""
    return Completed(message=message)


def failed(message: str) -> State[Any]:
    """The final state of a flow that failed. `message` says what is wrong."""
    return Failed(message=message)
