"""Runs that are started through Prefect's own API: with flat, grouped and hidden fields."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.produce_content import produce_content
from infra.apps.gateway.views import view_of_run
from pipelines.documents.brief import Brief
from pipelines.documents.brief_form import parameters_of
from pipelines.documents.grouping import GROUP
from pipelines.schema.names import brief_deployment
from tests.conftest import Cli

pytestmark = pytest.mark.xdist_group("gateway")
BRIEF = Brief(prompt="a red ball", seconds=2, seed=7, frames=17, stands_in_for="another model")
FLAT = BRIEF.model_dump(mode="json")
GIVEN: dict[str, dict[str, Any]] = {
    "flat": FLAT,
    "grouped": parameters_of(BRIEF)["brief"],
    "flat, and the group as the form fills it in": FLAT | {GROUP: {"seed": -1, "frames": 17}},
}


@pytest.fixture
def prefect(deployed: Cli) -> Iterator[SyncPrefectClient]:
    with (
        temporary_settings({PREFECT_API_URL: deployed.env["PREFECT_API_URL"]}),
        get_client(sync_client=True) as client,
    ):
        yield client


@pytest.fixture
def normal(prefect: SyncPrefectClient) -> UUID:
    return prefect.read_deployment_by_name(brief_deployment("normal")).id


@pytest.mark.parametrize("values", GIVEN.values(), ids=GIVEN)
def test_a_run_keeps_the_form_in_which_it_was_given(
    prefect: SyncPrefectClient, normal: UUID, values: dict[str, Any]
) -> None:
    run = prefect.create_flow_run_from_deployment(normal, parameters={"brief": values})
    found = prefect.read_flow_run(run.id)
    assert found.parameters == {"brief": values}
    assert Brief.model_validate(found.parameters["brief"]) == BRIEF
    view = view_of_run(found)
    assert (view.prompt, view.stands_in_for) == ("a red ball", "another model")


@pytest.mark.parametrize(
    "values",
    [{"seed": -2}, {GROUP: {"seed": -2}}, {"stands_in_for": 3}, {"stpes": 1}, {GROUP: {"a": 1}}],
    ids=str,
)
def test_prefect_s_server_refuses_what_a_rule_forbids(
    prefect: SyncPrefectClient, normal: UUID, values: dict[str, Any]
) -> None:
    parameters = {"brief": {"prompt": "a red ball"} | values}
    with pytest.raises(PrefectHTTPStatusError, match="Validation failed") as refused:
        prefect.create_flow_run_from_deployment(normal, parameters=parameters)
    assert refused.value.response.status_code == 409


def test_without_the_server_s_check_the_flow_refuses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """`enforce_parameter_schema` of one run can be switched off on Prefect's page."""
    monkeypatch.setattr("tasks.refusals.is_deployed", lambda: True)
    brief: Any = {"prompt": "a red ball", "seed": 7, GROUP: {"seed": 8}}
    state = produce_content.fn(brief)
    words = "seed is 7 beside the group 'expert' and 8 in it; give it once"
    assert getattr(state, "message", "") == f"This brief cannot be made: {words}"
