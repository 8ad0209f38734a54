"""What the gateway says about the router: the address for programs, the form, the page of a run."""

import html
import secrets
from collections.abc import Iterator
from uuid import UUID

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Suspended

from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import StoreSettings
from pipelines.documents.route import Route
from pipelines.schema.keys import ObjectKey
from tests.conftest import Cli
from tests.gateway.test_gateway import error_of
from tests.support.gateway import Gateway, gateway
from tests.support.studio import wait_for

pytestmark = pytest.mark.xdist_group("gateway")
POLICY = """
name: of the gateway
rules:
  - when: {campaign: nothing}
    only: [video_best]
"""
ROUTE = Route.model_validate(
    {
        "asked": "auto",
        "policy": "of the gateway",
        "reasons": [],
        "candidates": [
            {
                "preset": "far",
                "title": "Far away",
                "backend": "far",
                "location": "remote",
                "reasons": ["quality 4 of 5 (assumed by the policy)"],
                "ask": "it costs 1.20 USD, above the policy's price_cap of 1 USD",
            }
        ],
        "alternatives": [
            {"preset": "demo", "title": "Demo", "cause": "forbidden", "reason": "never <b>"}
        ],
        "above_cap": "approval",
    }
)


@pytest.fixture(scope="module")
def asked(deployed: Cli, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("routing")
    policy = folder / "policy.yaml"
    policy.write_text(POLICY)
    with gateway(deployed, folder, REELWRIGHT_ROUTING_POLICY=str(policy)) as found:
        yield found


@pytest.fixture
def client(asked: Gateway) -> Iterator[httpx.Client]:
    with asked.client() as client:
        yield client


def test_programs_get_the_decision_with_candidates_costs_and_alternatives(
    client: httpx.Client,
) -> None:
    found = client.post("/api/v1/route", json={"query": "a fox"}).json()
    assert found["text"][0].startswith("demo (Demo: ")
    assert found["run_seconds"] > 0
    assert found["memory_bytes"] > 0
    assert found["price"] == ""
    assert [item["preset"] for item in found["candidates"]] == ["demo"]
    assert found["stands_in_for"] == "Wan2.1-T2V-1.3B"
    assert found["reasons"][-1].endswith("is not installed")
    others = {item["preset"]: item for item in found["alternatives"]}
    assert others["video_best"]["cause"] == "unavailable"
    assert "reelwright models download t2v-A14B" in others["video_best"]["reason"]
    assert others["image_fast"]["cause"] == "unfit"
    named = client.post("/api/v1/route", json={"query": "a fox", "preset": "video_best"}).json()
    assert (named["preset"], named["run_seconds"]) == ("video_best", None)
    assert named["stands_in_for"] == ""


def test_a_brief_is_checked_and_forecast_and_nothing_starts(
    asked: Gateway, client: httpx.Client
) -> None:
    before = len(asked.runs())
    found = client.post("/briefs/check", json={"prompt": "a fox", "preset": "demo", "seconds": 6})
    assert found.status_code == 200, found.text
    assert (found.json()["preset"], found.json()["seconds"]) == ("demo", 6)
    longer = client.post("/briefs/check", json={"prompt": "a fox", "preset": "demo", "seconds": 60})
    assert longer.json()["run_seconds"] > found.json()["run_seconds"]
    for wrong, words in (
        ({"prompt": ""}, "the prompt is empty"),
        ({"prompt": "x", "seconds": 1000}, "seconds 1000 is outside"),
        ({"prompt": "x", "shots": [{"shot": 9}]}, "shot 9 is changed"),
    ):
        assert words in error_of(client.post("/briefs/check", json=wrong), 422)
    assert len(asked.runs()) == before


def test_where_nothing_can_be_used_the_answer_says_why(client: httpx.Client) -> None:
    body = {"query": "a fox", "context": {"campaign": "nothing"}}
    answer = client.post("/api/v1/route", json=body)
    assert "no preset can be used for this brief now" in error_of(answer, 409)
    assert answer.json()["error"]["code"] == "model_not_installed"
    unknown = client.post("/api/v1/route", json={"query": "a fox", "preset": "8k"})
    assert "'8k' is unknown" in error_of(unknown, 422)


def test_the_form_offers_the_choice_and_starts_what_it_says(
    asked: Gateway, client: httpx.Client
) -> None:
    page = client.get("/new").text
    assert '<option value="auto" selected>let Reelwright choose</option>' in page
    values = {"prompt": f"a fox {secrets.token_hex(6)}", "preset": "auto"}
    started = client.post("/new", data=values)
    assert started.status_code == 303, started.text
    run = asked.run_of(started.headers["location"])
    assert run.parameters["brief"]["preset"] == "auto"
    refused = client.post("/new", data={"prompt": "a fox", "preset": "animate"})
    assert refused.status_code == 422
    assert '<option value="animate" selected>' in refused.text


@pytest.fixture
def waiting(asked: Gateway, client: httpx.Client, gateway_store: StoreSettings) -> str:
    """A run that waits for an answer about its price."""
    brief = {"prompt": f"a fox {secrets.token_hex(6)}", "preset": "auto"}
    run = str(client.post("/briefs", json=brief).json()["id"])
    data = ROUTE.model_dump_json().encode()
    ObjectStore(gateway_store).put_bytes(ObjectKey.route(UUID(run)), data, "application/json")
    with (
        temporary_settings({PREFECT_API_URL: asked.cli.env["PREFECT_API_URL"]}),
        get_client(sync_client=True) as prefect,
    ):
        state = Suspended(timeout_seconds=600, pause_key="cost-2")
        prefect.set_flow_run_state(UUID(run), state, force=True)
    return run


def test_the_page_of_a_run_asks_for_the_price_and_shows_the_decision(
    client: httpx.Client, waiting: str
) -> None:
    def waits() -> bool:
        return bool(client.get(f"/runs/{waiting}").json()["waiting_for"] == "cost")

    wait_for("the run that waits", waits)
    assert client.get(f"/runs/{waiting}").json()["model"] == "far"
    page = client.get(f"/jobs/{waiting}").text
    assert "What it may cost" in page
    assert f"/jobs/{waiting}/answer" in page
    for line in ROUTE.lines():
        assert html.escape(line, quote=False) in page.replace("&#39;", "'")
    assert "never <b>" not in page
