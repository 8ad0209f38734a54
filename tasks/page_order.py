"""Which artifact a run's page on Prefect shows first.

The page sorts the artifacts of a run by their ids, the largest first, and the server makes ids up
by chance. So an artifact that is to be the first one is created again until its id is the largest.
"""

from collections.abc import Callable
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.runtime import flow_run

_TRIES = 60
"""With ten other artifacts eleven are needed on average; after so many, chance has its way."""
_MOST = 200
"""Artifacts that are looked at; a run has a still for each shot, and some others."""


def create_first(create: Callable[[], object]) -> None:
    """Call `create`, which creates an artifact of the present run and returns its id, until the
    run's page shows that one first; the others that it created are deleted.

    Raises what `create` raises, and httpx.HTTPError if Prefect's server fails.
    """
    theirs = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[UUID(str(flow_run.id))]))
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=theirs, limit=_MOST)
        largest = max((artifact.id.int for artifact in found), default=-1)
        for tried in range(1, _TRIES + 1):
            made = create()
            if not isinstance(made, UUID) or made.int > largest or tried == _TRIES:
                return
            client.delete_artifact(made)
