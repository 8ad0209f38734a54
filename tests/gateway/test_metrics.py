"""The figures for Prometheus: who gets them, what they say, and that the dashboard finds them."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Failed

from infra.adapters.settings import Settings
from infra.adapters.space import Space, low_disks, spaces_of
from infra.apps.gateway import keys
from infra.apps.gateway.causes import CAUSES, cause_of
from infra.apps.gateway.database import opened
from infra.apps.gateway.meters import route_of
from tests.conftest import Cli
from tests.support.dashboard import missing, queries, selectors_of, series_of
from tests.support.gateway import Gateway, brief, gateway
from tests.support.studio import wait_for

pytestmark = pytest.mark.xdist_group("gateway")
TOKEN = secrets.token_urlsafe(32)


@pytest.fixture(scope="module")
def asked(deployed: Cli, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """As `up` starts it: with a token, and without trust."""
    folder = tmp_path_factory.mktemp("metrics")
    store = folder / "store"
    store.mkdir()
    env = {
        "REELWRIGHT_GATEWAY_TRUST_LOCAL": "false",
        "REELWRIGHT_GATEWAY_TOKEN": TOKEN,
        "REELWRIGHT_COSTS_MONTH_CAP": "25",
        "REELWRIGHT_DISK_LOW_GB": "1000000",
    }
    with gateway(deployed, folder, **env) as found:
        yield found


@pytest.fixture
def operator(asked: Gateway) -> Iterator[httpx.Client]:
    with asked.client(Authorization=f"Bearer {TOKEN}") as client:
        yield client


def key_of(asked: Gateway, *scopes: str) -> str:
    with opened(Path(asked.cli.env["REELWRIGHT_DATA_DIR"])) as database:
        return keys.add(database, f"key-{secrets.token_hex(4)}", list(scopes))


def value(client: httpx.Client, name: str, **labels: str) -> float:
    """The sum of the series that have these labels."""
    from prometheus_client.parser import text_string_to_metric_families

    text = client.get("/metrics").text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def test_only_a_key_with_the_scope_metrics_may_scrape(asked: Gateway) -> None:
    with asked.client() as nobody:
        assert nobody.get("/metrics").status_code == 401
    others = key_of(asked, "read", "make", "approve", "manage")
    with asked.client(Authorization=f"Bearer {others}") as client:
        assert client.get("/metrics").status_code == 403
    with asked.client(Authorization=f"Bearer {key_of(asked, 'metrics')}") as client:
        assert client.get("/metrics").status_code == 200
        assert client.get("/videos").status_code == 403  # and it may do nothing else


def test_a_scrape_is_prometheus_text_or_openmetrics_as_it_is_asked_for(
    operator: httpx.Client,
) -> None:
    assert operator.get("/metrics").headers["content-type"].startswith("text/plain; version=")
    wanted = {"Accept": "application/openmetrics-text; version=1.0.0"}
    answer = operator.get("/metrics", headers=wanted)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


def test_every_query_of_the_dashboard_finds_its_series_before_the_first_brief(
    operator: httpx.Client,
) -> None:
    """Counters begin at 0, so that the first event is an increase."""
    assert missing(operator.get("/metrics").text) == []
    assert len(queries()) > 15


def test_a_query_with_another_name_or_label_would_be_missed(operator: httpx.Client) -> None:
    text = operator.get("/metrics").text
    ((name, labels),) = selectors_of('sum(rate(reelwright_runs{flow="unknown"}[5m]))')
    assert name in {found for found, _ in series_of(text)}
    assert not any(labels.items() <= found.items() for _, found in series_of(text))


@pytest.mark.slow
def test_a_brief_that_waits_is_in_the_queue(asked: Gateway, operator: httpx.Client) -> None:
    before = value(operator, "reelwright_runs", flow="produce-content", state="waiting")
    run = operator.post("/briefs", json=brief()).json()["id"]

    def waits() -> bool:
        now = value(operator, "reelwright_runs", flow="produce-content", state="waiting")
        return now == before + 1

    wait_for("the brief in the queue", waits)
    operator.delete(f"/runs/{run}")
    cancelled = {"outcome": "cancelled"}
    wait_for(
        "its end", lambda: value(operator, "reelwright_briefs_ended_total", **cancelled) == 1.0
    )


def test_a_failed_brief_is_counted_once_with_its_cause(
    asked: Gateway, operator: httpx.Client
) -> None:
    run = operator.post("/briefs", json=brief()).json()["id"]
    message = "Flow run encountered an exception: RenderError: the run on the GPU host ended as "
    with (
        temporary_settings({PREFECT_API_URL: asked.cli.env["PREFECT_API_URL"]}),
        get_client(sync_client=True) as client,
    ):
        state = Failed(message=f"{message}Failed: DiskFullError: 3 MB are free")
        client.set_flow_run_state(UUID(run), state, force=True)
    name = "reelwright_failures_total"
    wait_for("its end", lambda: value(operator, name, cause="disk_full") == 1.0)
    operator.get(f"/runs/{run}")
    assert value(operator, name) == 1.0
    assert "cause" not in operator.get(f"/runs/{run}").json()


def test_requests_are_counted_by_route_and_never_by_what_a_client_writes(
    operator: httpx.Client,
) -> None:
    operator.get("/videos/invented.mp4")
    operator.get("/nothing/of/ours")
    operator.get("/static/style.css")
    text = operator.get("/metrics").text
    routes = {labels.get("route") for name, labels in series_of(text) if "requests" in name}
    assert {"/videos/{name}", "other", "/static", "/metrics"} <= routes
    assert not any("invented" in str(route) for route in routes)
    assert value(operator, "reelwright_gateway_request_seconds_count", route="/metrics") > 0


def test_caps_and_disks_are_told(asked: Gateway, operator: httpx.Client) -> None:
    assert value(operator, "reelwright_spending_cap", cap="month", currency="USD") == 25
    assert value(operator, "reelwright_spent_this_month", service="gpu") == 0
    assert value(operator, "reelwright_disk_free_bytes", folder="data") > 0
    assert value(operator, "reelwright_disk_low", folder="data") == 1
    assert value(operator, "reelwright_part_up") == 2


@pytest.mark.parametrize(
    ("message", "crashed", "cause"),
    [
        ("Flow run encountered an exception: BriefError: seconds is 0", False, "brief"),
        ("RenderError: the run ended as Failed: CorruptObjectError: x", False, "corrupt_object"),
        ("This brief cannot be made: seconds: too few", False, "brief"),
        ("Its host went silent.", True, "crashed"),
        ("ValueError: unexpected", False, "other"),
        ("a NoSuchBriefError: is none of ours", False, "other"),
    ],
)
def test_the_cause_is_the_innermost_error_that_the_message_names(
    message: str, crashed: bool, cause: str
) -> None:
    assert cause_of(message, crashed=crashed) == cause
    assert cause in CAUSES


def test_a_path_that_no_route_has_is_counted_as_other() -> None:
    assert route_of({"path": "/a/b"}) == "other"


def test_a_disk_is_low_below_the_setting_and_named_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REELWRIGHT_DATA_DIR", str(tmp_path / "not" / "there"))
    monkeypatch.setenv("REELWRIGHT_MODELS_DIR", str(tmp_path))
    monkeypatch.setenv("REELWRIGHT_DISK_LOW_GB", "1000000")
    found = spaces_of(Settings.load())
    assert [space.folder for space in found] == ["data", "models"]
    assert len(low_disks(Settings.load())) == 1
    monkeypatch.setenv("REELWRIGHT_DISK_LOW_GB", "0")
    assert low_disks(Settings.load()) == []
    edge = Space("data", tmp_path, free=2 * 10**9, size=10**10, disk=1)
    assert (edge.is_low(2.0), edge.is_low(2.1)) == (False, True)
