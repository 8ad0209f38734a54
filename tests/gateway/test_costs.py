"""The costs page: for managers only, right, and safe to show."""

import csv
import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import httpx
import pytest
from pydantic import SecretStr

from infra.adapters.ledger import BucketLedger, LedgerLog
from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import StoreSettings
from pipelines.backends.remote.access import Charge
from pipelines.costs.caps import Caps
from pipelines.costs.entries import Spender
from pipelines.costs.summary import VideoCost, VideoCosts
from pipelines.schema.money import Money
from tests.conftest import Cli
from tests.support.films import published, write
from tests.support.gateway import Gateway, gateway

pytestmark = pytest.mark.xdist_group("gateway")
EVIL = "<script>alert(1)</script>"
NOW, THEN = datetime(2026, 11, 27, 12, tzinfo=UTC), datetime(2026, 10, 5, 12, tzinfo=UTC)


def spend(store: ObjectStore, moment: datetime, campaign: str, price: str, video: str = "") -> None:
    log = LedgerLog(store, ZoneInfo("UTC"), clock=lambda: moment)
    spender = Spender(run="r", campaign=campaign, video=video)
    own = BucketLedger(log, spender, Caps(), "USD")
    charge = Charge(f"{moment:%d}{campaign}-1", "cloud <b>", Money.of(price))
    own.reserve([charge])
    own.settle(charge, charge.price, "billed")


@pytest.fixture(scope="module")
def asked(
    deployed: Cli, gateway_store: StoreSettings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    store = ObjectStore(gateway_store.model_copy(update={"bucket": "test-costs"}))
    store.ensure_bucket()
    spend(store, THEN, "spring", "7.25")
    spend(store, NOW, "spring", "1.50", "c" * 64)
    spend(store, NOW, EVIL, "0.75")
    folder = tmp_path_factory.mktemp("costs")
    with gateway(deployed, folder, REELWRIGHT_S3_BUCKET=store.bucket) as found:
        yield found


def bucket_of(asked: Gateway) -> ObjectStore:
    env = asked.cli.env
    return ObjectStore(
        StoreSettings(
            endpoint=env["REELWRIGHT_S3_ENDPOINT"],
            access_key=env["REELWRIGHT_S3_ACCESS_KEY"],
            secret_key=SecretStr(env["REELWRIGHT_S3_SECRET_KEY"]),
            bucket=env["REELWRIGHT_S3_BUCKET"],
        )
    )


@pytest.fixture
def client(asked: Gateway) -> Iterator[httpx.Client]:
    """This machine: it may do everything."""
    with asked.client() as client:
        yield client


@pytest.fixture(scope="module")
def reader(asked: Gateway) -> Iterator[httpx.Client]:
    key = asked.cli("keys", "add", "a reader", "--scope", "read").out.strip()
    with asked.client(Authorization=f"Bearer {key}") as client:
        yield client


def test_the_page_shows_a_month_and_the_way_to_the_others(client: httpx.Client) -> None:
    page = client.get("/costs?month=2026-11").text
    assert "Costs of 2026-11: 2.25 USD" in page
    assert 'href="/costs?month=2026-10"' in page
    assert f'href="/watch/{"c" * 64}"' in page
    assert len(re.findall(r"<rect x=", page)) == 1
    assert "Costs of 2026-10: 7.25 USD" in client.get("/costs?month=2026-10").text


def test_names_are_no_markup_and_nothing_of_it_is_forbidden_by_the_policy(
    client: httpx.Client,
) -> None:
    found = client.get("/costs?month=2026-11")
    assert "style-src 'self'" in found.headers["content-security-policy"]
    assert "alert(1)" in found.text
    assert "<script>alert" not in found.text
    assert "cloud <b>" not in found.text
    assert not re.search(r"style=|<style|onclick|javascript:", found.text)


def test_a_month_without_costs_is_empty(client: httpx.Client) -> None:
    assert "Nothing was spent" in client.get("/costs?month=2020-01").text
    assert client.get("/costs").status_code == 200


def test_programs_get_exact_amounts(client: httpx.Client) -> None:
    found = client.get("/api/v1/costs", params={"month": "2026-11", "by": "campaign"}).json()
    assert {item["key"]: item["total"] for item in found["sums"]} == {
        "spring": "1.500000",
        EVIL: "0.750000",
    }
    assert found["total"]["total"] == "2.250000"


def test_the_csv_has_every_job(client: httpx.Client) -> None:
    found = client.get("/costs.csv?month=2026-11")
    assert "costs-2026-11.csv" in found.headers["content-disposition"]
    rows = csv.DictReader(io.StringIO(found.text))
    assert sum(Decimal(row["amount"]) for row in rows) == Decimal("2.25")


@pytest.mark.parametrize("path", ["/costs", "/costs.csv", "/api/v1/costs"])
def test_costs_are_for_managers(asked: Gateway, reader: httpx.Client, path: str) -> None:
    found = reader.get(path)
    assert found.status_code == 403
    assert "USD" not in found.text
    with httpx.Client(
        base_url=asked.url, headers={"X-Forwarded-For": "1.2.3.4"}, timeout=60
    ) as stranger:
        away = stranger.get(f"{path}?month=2026-11")
    assert away.status_code == (303 if path == "/costs" else 401)
    if path == "/costs":
        assert away.headers["location"] == "/login?to=%2Fcosts%3Fmonth%3D2026-11"


@pytest.mark.parametrize("path", ["/costs", "/costs.csv", "/api/v1/costs"])
@pytest.mark.parametrize("month", ["2026-13", "../../etc", "2026-1"])
def test_what_is_no_month_is_refused(client: httpx.Client, path: str, month: str) -> None:
    assert client.get(path, params={"month": month}).status_code == 422


def test_a_videos_page_says_what_it_cost(asked: Gateway, client: httpx.Client) -> None:
    store = bucket_of(asked)
    part = VideoCost(backend="cloud <b>", jobs=2, price=Money.of("0.70"), basis="billed")
    costs = VideoCosts(total=Money.of("0.70"), parts=(part,))
    video = published(store, "a video that cost something")
    write(store, video.model_copy(update={"costs": costs}))
    page = client.get(f"/watch/{video.content_id}").text
    assert "0.70 USD; cloud &lt;b&gt;: 0.70 USD (billed)" in page


def test_the_gallery_leads_managers_there(client: httpx.Client, reader: httpx.Client) -> None:
    assert 'href="/costs"' in client.get("/").text
    assert 'href="/costs"' not in reader.get("/").text
