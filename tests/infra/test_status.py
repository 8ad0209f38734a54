"""`reelwright status` reads the warnings of runs from a real server."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.purge_scratch import purge_scratch
from infra.apps.studio.status import recent_warnings
from pipelines.schema.names import WARNINGS


@pytest.fixture
def client(prefect_server: dict[str, str]) -> Iterator[SyncPrefectClient]:
    with (
        temporary_settings({PREFECT_API_URL: prefect_server["PREFECT_API_URL"]}),
        get_client(sync_client=True) as client,
    ):
        yield client


def test_a_warning_is_shown_once_with_the_newest_run_that_has_it(client: SyncPrefectClient) -> None:
    cpu, template = f"made on the CPU {uuid4()}", f"a template wrote {uuid4()}"
    names = []
    for lines in ([cpu], [cpu, template]):
        run = client.create_flow_run(purge_scratch)
        names.append(run.name)
        text = "\n\n".join(lines)
        page = ArtifactCreate(key=WARNINGS, type="markdown", data=text, flow_run_id=run.id)
        client.create_artifact(page)
        other = ArtifactCreate(key="storyboard", type="markdown", data=cpu, flow_run_id=run.id)
        client.create_artifact(other)
    found = {run.message: run.name for run in recent_warnings(client)}
    assert (found[cpu], found[template]) == (names[1], names[1])
