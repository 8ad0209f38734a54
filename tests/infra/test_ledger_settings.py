"""The ledger of a studio: caps and prices of GPU time as its operator sets them."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from infra.adapters.ledger import LedgerLog, check_currency_of_month, open_ledger, record_gpu
from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import CostSettings, Settings
from pipelines.costs.entries import Spender
from pipelines.costs.summary import sum_of
from pipelines.errors import BudgetError, SettingsError
from pipelines.schema.money import Money
from tests.infra.test_ledger import book, charge

UTC_ZONE = ZoneInfo("UTC")


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """Settings with some of the ledger's variables."""

    def make(**values: str) -> Settings:
        monkeypatch.setenv("REELWRIGHT_DATA_DIR", str(tmp_path / "data"))
        for name, value in values.items():
            monkeypatch.setenv(f"REELWRIGHT_{name}", value)
        return Settings.load()

    return make


def record(store: ObjectStore, settings: Settings, attempt: str, seconds: float) -> Decimal:
    run = Spender(run="r", campaign="spring", video="v")
    return record_gpu(
        store,
        settings,
        run,
        attempt,
        "wan",
        [("chunks", seconds)],
        device="cuda",
        location="device",
        reason="it failed",
    )


def test_gpu_time_is_written_once_for_each_attempt(
    store: ObjectStore, studio: Callable[..., Settings]
) -> None:
    settings = studio(COSTS_GPU_WATTS="500", COSTS_KWH_PRICE="0.40", COSTS_CURRENCY="EUR")
    for attempt in ("r-1", "r-1", "r-2"):
        seconds = record(store, settings, attempt, 1800.0)
        assert seconds == 1800
    (month,) = LedgerLog(store, UTC_ZONE).months()
    lines = book(store, month).lines
    assert {name: str(item.price) for name, item in lines.items()} == {
        "gpu-r-1": "0.10 EUR",
        "gpu-r-2": "0.10 EUR",
    }
    found = sum_of(lines.values())
    assert (found.gpu_seconds, found.gpu, found.jobs) == (3600, Decimal("0.2"), 0)


def test_a_month_with_another_currency_takes_no_gpu_time_and_stays_usable(
    store: ObjectStore, studio: Callable[..., Settings]
) -> None:
    dollars = studio(COSTS_GPU_WATTS="500", COSTS_KWH_PRICE="0.40")
    record(store, dollars, "r-1", 1800.0)
    check_currency_of_month(store, dollars)
    euros = studio(COSTS_CURRENCY="EUR")
    words = r"REELWRIGHT_COSTS_CURRENCY=EUR: .* has amounts in USD.*change the currency back"
    with pytest.raises(SettingsError, match=words):
        record(store, euros, "r-2", 1800.0)
    with pytest.raises(SettingsError, match=words):
        check_currency_of_month(store, euros)
    open_ledger(store, studio(COSTS_CURRENCY="USD"), "run").reserve([charge("a-1")])


def test_gpu_time_without_a_price_is_not_written(
    store: ObjectStore, studio: Callable[..., Settings]
) -> None:
    stages = [("chunks", 10.0)]
    record_gpu(
        store, studio(), Spender(run="r"), "r-1", "wan", stages, device="cuda", location="device"
    )  # type: ignore[arg-type]
    assert LedgerLog(store, UTC_ZONE).months() == []


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"GPU_HOUR_PRICE": "2", "COSTS_GPU_WATTS": "5", "COSTS_KWH_PRICE": "1"}, "keep one"),
        ({"COSTS_GPU_WATTS": "500"}, "REELWRIGHT_COSTS_KWH_PRICE"),
        ({"COSTS_GPU_PRICE": "2000"}, "REELWRIGHT_COSTS_GPU_LIFE_HOURS"),
    ],
)
def test_prices_of_gpu_time_that_contradict_each_other_are_refused(
    store: ObjectStore, studio: Callable[..., Settings], values: dict[str, str], words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        record_gpu(
            store,
            studio(**values),
            Spender(run="r"),
            "r",
            "wan",
            [],
            device="cuda",
            location="device",
        )


def test_the_caps_of_a_run_come_from_the_settings_and_the_file(
    store: ObjectStore, studio: Callable[..., Settings], tmp_path: Path
) -> None:
    file = tmp_path / "caps.yaml"
    file.write_text("campaigns:\n  spring: 1.50\n")
    settings = studio(COSTS_FILE=str(file), COSTS_VIDEO_CAP="9", COSTS_MONTH_CAP="")
    own = open_ledger(store, settings, "run", "spring", "preset", video="v")
    own.reserve([charge("a-1")])
    with pytest.raises(BudgetError, match="campaign 'spring'"):
        own.reserve([charge("b-1")])
    open_ledger(store, settings, "run", "autumn").reserve([charge("c-1", Money.of(8))])
    file.write_text("video: 1\nvideos: 2\n")
    with pytest.raises(SettingsError, match=r"caps\.yaml, line 2: videos"):
        open_ledger(store, settings, "run")
    file.unlink()
    with pytest.raises(SettingsError, match="REELWRIGHT_COSTS_FILE"):
        open_ledger(store, settings, "run")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"currency": "dollars"}, "currency"),
        ({"time_zone": "Mars/Olympus"}, "write Area/City"),
        ({"month_cap": "-1"}, "greater than or equal"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(values: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        CostSettings.model_validate(values)
