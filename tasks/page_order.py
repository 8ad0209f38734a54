"""Which artifact a run's page on Prefect shows first.

The page sorts the artifacts of a run by their ids, the largest first, and the server makes ids up
by chance. So the ids of the others are kept out of the highest quarter, and the artifact that is to
be the first one is created again until its id lies there.
"""

from collections.abc import Callable
from functools import partial
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.runtime import flow_run

_HIGHEST = 3 << 126
"""The least of the highest quarter of all ids."""
_TRIES = 60
"""One of four ids lies in the highest quarter: all tries miss it once in 30 million times."""
_MOST = 200
"""Artifacts that are looked at; a run has a still for each shot, and some others."""
_COPIED = set(ArtifactCreate.model_fields)


def create_first(create: Callable[[], object]) -> None:
    """Call `create`, which creates an artifact of the present run and returns its id, until the
    run's page shows that one first; the others that it created are deleted.

    Artifacts of the run that would stand before it are replaced by equal ones with other ids, but
    for progress, which is updated by its id: `create_behind` made that. Raises what `create`
    raises, and httpx.HTTPError if Prefect's server fails.
    """
    theirs = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[UUID(str(flow_run.id))]))
    with get_client(sync_client=True) as client:
        for artifact in client.read_artifacts(artifact_filter=theirs, limit=_MOST):
            if artifact.id.int >= _HIGHEST and artifact.type != "progress":
                equal = ArtifactCreate(**artifact.model_dump(include=_COPIED))
                _create(client, partial(_create_equal, client, equal), first=False)
                client.delete_artifact(artifact.id)
        _create(client, create, first=True)


def create_behind(create: Callable[[], object]) -> object:
    """Call `create` as `create_first` does, until the artifact leaves the first place free.
    Returns what the last call returned."""
    made = create()
    if isinstance(made, UUID) and made.int >= _HIGHEST:
        with get_client(sync_client=True) as client:
            client.delete_artifact(made)
            return _create(client, create, first=False)
    return made


def _create_equal(client: SyncPrefectClient, artifact: ArtifactCreate) -> UUID:
    return client.create_artifact(artifact).id


def _create(client: SyncPrefectClient, create: Callable[[], object], *, first: bool) -> object:
    for _ in range(_TRIES):
        made = create()
        if not isinstance(made, UUID) or (made.int >= _HIGHEST) == first:
            break
        client.delete_artifact(made)
    else:
        made = create()
    return made
