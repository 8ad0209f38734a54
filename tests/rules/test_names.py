"""The public names of flows, deployments and pools are the same in code and in prefect.yaml."""

import yaml

from flows.benchmark_backends import benchmark_backends
from flows.content_calendar import content_calendar
from flows.draft_storyboard import draft_storyboard
from flows.produce_content import produce_content
from flows.purge_scratch import purge_scratch
from flows.render_video import render_video
from pipelines.documents.brief import Brief
from pipelines.schema.names import FLOWS, POOLS, brief_deployment
from tests.conftest import REPOSITORY

DEPLOYMENTS = yaml.safe_load((REPOSITORY / "infra" / "deploy" / "prefect.yaml").read_text())[
    "deployments"
]


def flow_of(deployment: dict[str, str]) -> str:
    """The flow's name, of an entry point as in flows.render_video.render_video."""
    return deployment["entrypoint"].rpartition(".")[2].replace("_", "-")


def test_every_flow_has_its_name_and_no_other() -> None:
    flows = (
        produce_content,
        render_video,
        draft_storyboard,
        content_calendar,
        purge_scratch,
        benchmark_backends,
    )
    assert tuple(flow.name for flow in flows) == FLOWS


def test_every_flow_is_deployed_in_a_pool_that_a_worker_serves() -> None:
    deployed = {flow_of(item) for item in DEPLOYMENTS}
    assert deployed == set(FLOWS)
    assert {item["work_pool"]["name"] for item in DEPLOYMENTS} == set(POOLS)


def test_every_priority_has_its_deployment() -> None:
    names = {f"{flow_of(item)}/{item['name']}" for item in DEPLOYMENTS}
    priorities = Brief.model_json_schema()["properties"]["priority"]["enum"]
    assert {brief_deployment(priority) for priority in priorities} <= names
