"""`reelwright costs` as an operator uses it."""

import csv
import json
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from infra.adapters.ledger import BucketLedger, LedgerLog
from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import StoreSettings
from infra.apps.costs import costs
from pipelines.backends.remote.access import Charge
from pipelines.costs.caps import Caps
from pipelines.costs.entries import Spender
from pipelines.errors import BriefError
from pipelines.schema.money import Money
from tests.conftest import Cli


@pytest.fixture
def shop(bare_cli: Cli, store: ObjectStore, store_settings: StoreSettings) -> Cli:
    """The command with a store in which two campaigns spent something this month."""
    bare_cli.env |= {
        "REELWRIGHT_S3_ENDPOINT": store_settings.endpoint,
        "REELWRIGHT_S3_ACCESS_KEY": store_settings.access_key,
        "REELWRIGHT_S3_SECRET_KEY": store_settings.secret_key.get_secret_value(),
        "REELWRIGHT_S3_BUCKET": store_settings.bucket,
        "REELWRIGHT_COSTS_TIME_ZONE": "UTC",
    }
    log = LedgerLog(store, ZoneInfo("UTC"))
    for campaign, price in (("spring", "1.25"), ("\x1b[31mred", "0.50")):
        own = BucketLedger(log, Spender(run="r", campaign=campaign), Caps(), "USD")
        charge = Charge(f"{campaign}-1", "cloud", Money.of("2"))
        own.reserve([charge])
        own.settle(charge, Money.of(price), "billed")
    own.keep(Charge("lost-1", "other", Money.of("0.40")), "no answer")
    return bare_cli


def test_it_shows_sums_and_writes_every_line(shop: Cli, tmp_path: Path) -> None:
    file = tmp_path / "costs.csv"
    found = shop("costs", "--csv", str(file))
    assert found.code == 0, found.err
    rows = [line.split() for line in found.out.splitlines()]
    assert rows[1] == ["spring", "1", "1.25", "0.00", "0.00", "0.00", "0.00", "1.25"]
    assert rows[3] == ["total", "3", "1.75", "0.00", "0.40", "0.00", "0.00", "2.15"]
    assert "the answers of 1 jobs were lost" in found.out
    assert "\x1b" not in found.out
    with file.open(newline="") as handle:
        assert sum(Decimal(row["amount"]) for row in csv.DictReader(handle)) == Decimal("2.15")


def test_it_answers_programs(shop: Cli) -> None:
    found = json.loads(shop("costs", "--by", "backend", "--json").out)
    assert [(item["key"], item["total"]) for item in found["sums"]] == [
        ("cloud", "1.750000"),
        ("other", "0.400000"),
    ]


def test_a_month_without_costs_is_said(shop: Cli) -> None:
    found = shop("costs", "--month", "2020-01")
    assert found.code == 0
    assert "nothing was spent in 2020-01; there are costs of 20" in found.out


@pytest.mark.parametrize(
    ("month", "by", "file", "words"),
    [
        ("november", "day", None, "write it as 2026-11"),
        ("2026-13", "day", None, "write it as 2026-11"),
        ("", "editor", None, "campaign, backend, video, day"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    month: str, by: str, file: Path | None, words: str
) -> None:
    with pytest.raises(BriefError, match=words):
        costs(month, by, file, as_json=False)


def test_a_file_that_cannot_be_written_is_named(shop: Cli) -> None:
    found = shop("costs", "--csv", "/nowhere/x.csv")
    assert found.code == 2
    assert "/nowhere/x.csv cannot be written" in found.err
