"""The pinned Prefect really works: a server starts, and a schedule makes runs appear.

With SQLAlchemy 2.1 the server looks healthy and no schedule ever creates a run.
"""

import shutil
import socket
import time
from datetime import timedelta
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.client.schemas.sorting import FlowRunSort
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.produce_content import produce_content
from infra.adapters.prefect_server import PrefectServer
from pipelines.errors import ServerError
from tests.support.ports import free_ports


def test_a_schedule_makes_runs_appear(prefect_server: dict[str, str]) -> None:
    hourly = DeploymentScheduleCreate(schedule=IntervalSchedule(interval=timedelta(hours=1)))
    with (
        temporary_settings({PREFECT_API_URL: prefect_server["PREFECT_API_URL"]}),
        get_client(sync_client=True) as client,
    ):
        flow = client.create_flow_from_name("scheduled")
        deployment = client.create_deployment(flow, name="hourly", schedules=[hourly])
        of_it = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[deployment]))
        deadline = time.monotonic() + 180
        while True:
            runs = client.read_flow_runs(flow_run_filter=of_it, sort=FlowRunSort.ID_DESC, limit=10)
            if runs:
                break
            assert time.monotonic() < deadline, "the scheduler made no run"
            time.sleep(0.5)
    assert {run.state.name for run in runs if run.state} == {"Scheduled"}


@pytest.mark.parametrize("chosen", [False, True], ids=["any", "chosen"])
def test_nobody_takes_the_port_of_a_server_that_is_starting(
    prefect_history: Path, tmp_path: Path, chosen: bool
) -> None:
    """It accepts connections only when its database is ready, seconds after its start."""
    shutil.copy(prefect_history, tmp_path)
    server = PrefectServer(tmp_path, port=free_ports(1)[0] if chosen else None)
    try:
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="in use"):
                other.bind(("127.0.0.1", server.port))
        server.wait()
    finally:
        server.stop()


def test_a_port_that_another_program_has_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ServerError, match=f"port {port}: .*already in use.*another port"):
            PrefectServer(tmp_path, port=port)


def test_the_form_has_one_parameter_with_titles_and_help() -> None:
    """Titles and descriptions survive only inside one nested model."""
    from prefect.utilities.callables import parameter_schema

    schema = parameter_schema(produce_content.fn).model_dump_for_openapi()
    assert set(schema["properties"]) == {"brief"}
    (brief,) = (item for name, item in schema["definitions"].items() if name == "Brief")
    assert brief["properties"]["seconds"]["title"] == "Seconds"
    assert all("description" in field for field in brief["properties"].values())
    assert brief["properties"]["preset"]["enum"][0] == "demo"
