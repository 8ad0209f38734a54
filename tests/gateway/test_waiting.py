"""The queue: places, what waits for a person, what ended, and trying again."""

import re
import secrets
from collections.abc import Iterator
from uuid import UUID

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Failed, Running, Suspended

from infra.apps.gateway.waiting import time_left
from pipelines.documents.route import Route
from tests.conftest import Cli
from tests.support.gateway import Gateway, gateway

pytestmark = pytest.mark.xdist_group("gateway")


@pytest.fixture(scope="module")
def asked(deployed: Cli, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(deployed, tmp_path_factory.mktemp("waiting")) as found:
        yield found


@pytest.fixture
def client(asked: Gateway) -> Iterator[httpx.Client]:
    with asked.client() as client:
        yield client


def start(client: httpx.Client, **values: object) -> str:
    """A run of these words that no worker takes."""
    words = f"a fox {secrets.token_hex(6)}"
    answer = client.post("/briefs", json={"prompt": words, "preset": "demo", **values})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def put(asked: Gateway, run: str, state: object) -> None:
    url = asked.cli.env["PREFECT_API_URL"]
    with temporary_settings({PREFECT_API_URL: url}), get_client(sync_client=True) as prefect:
        prefect.set_flow_run_state(UUID(run), state, force=True)  # type: ignore[arg-type]


def parts_of(page: str) -> dict[str, str]:
    """The parts of the page by their headings."""
    pieces = re.split(r"<h2>(.*?)</h2>", page)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


def test_runs_stand_in_the_order_in_which_they_begin(client: httpx.Client) -> None:
    later = start(client, priority="batch")
    usual = start(client)
    rushed = start(client, priority="rush")
    line = parts_of(client.get("/queue").text)["Waits for its turn"]
    found = re.findall(r'href="/jobs/([0-9a-f-]{36})".*?place (\d+)', line)
    ours = [run for run, _ in found if run in (later, usual, rushed)]
    assert ours == [rushed, usual, later]
    assert [int(place) for _, place in found] == sorted(int(place) for _, place in found)


def test_a_place_counts_everybody_and_shows_only_one_s_own(
    asked: Gateway, client: httpx.Client
) -> None:
    others = start(client, priority="rush")
    key = asked.cli("keys", "add", "editor", "--scope", "read", "--scope", "make").out.strip()
    with asked.client(Authorization=f"Bearer {key}") as editor:
        own = start(editor, priority="rush")
        line = parts_of(editor.get("/queue").text)["Waits for its turn"]
    assert others not in line
    (place,) = re.findall(rf'href="/jobs/{own}".*?place (\d+)', line)
    assert int(place) > 1


def test_what_waits_for_a_person_comes_first_and_what_ended_can_be_tried_again(
    asked: Gateway, client: httpx.Client
) -> None:
    asking, working, failed = (start(client) for _ in range(3))
    put(asked, asking, Suspended(timeout_seconds=3600, pause_key="storyboard"))
    put(asked, working, Running())
    put(asked, failed, Failed(message="the disk is full"))
    page = client.get("/queue").text
    parts = parts_of(page)
    assert list(parts)[:2] == ["Waits for you", "Being made"]
    assert asking in parts["Waits for you"]
    assert working in parts["Being made"]
    assert failed in parts["Ended without a video"]
    assert "the disk is full" in parts["Ended without a video"]
    before = asked.run_of(failed).parameters
    again = [client.post(f"/jobs/{failed}/again").headers["location"] for _ in range(2)]
    assert len(set(again)) == 1
    run = again[0].removeprefix("/jobs/")
    assert run != failed
    assert asked.run_of(run).parameters == before


def test_who_may_only_look_gets_no_buttons(asked: Gateway, client: httpx.Client) -> None:
    failed = start(client)
    put(asked, failed, Failed(message="x"))
    key = asked.cli("keys", "add", "watcher", "--scope", "read").out.strip()
    with asked.client(Authorization=f"Bearer {key}") as reader:
        assert "Try again" not in reader.get("/queue").text
        assert reader.post(f"/jobs/{failed}/again").status_code == 403


def test_time_left_is_the_rest_of_the_usual_time() -> None:
    values = {
        "asked": "demo",
        "policy": "x",
        "reasons": [],
        "candidates": [
            {
                "preset": "demo",
                "title": "Demo",
                "backend": "wan-demo",
                "location": "device",
                "reasons": [],
                "forecast": {"seconds": 200},
            }
        ],
        "alternatives": [],
        "above_cap": "next",
    }
    route = Route.model_validate(values)
    assert time_left(route, 25) == "0:02:30"
    assert time_left(route, 99) == "0:00:10"
    assert time_left(route, 100) == ""
    assert time_left(None, 5) == ""
