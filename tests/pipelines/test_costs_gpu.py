"""The price of GPU time, and which seconds of a run are GPU time."""

from decimal import Decimal

import pytest

from pipelines.costs.gpu import GpuRates, gpu_seconds, price_of

STAGES = [
    ("enhance", 2.0),
    ("encode", 1.5),
    ("chunks", 100.0),
    ("stitch", 1.0),
    ("upscale", 30.25),
    ("upload", 0.5),
]


@pytest.mark.parametrize(
    ("device", "location", "seconds"),
    [
        ("cuda", "device", "135.25"),
        ("cuda", "remote", "32.25"),
        ("cpu", "device", "0"),
        ("remote", "remote", "0"),
    ],
)
def test_time_of_waiting_for_a_service_is_no_gpu_time(
    device: str, location: str, seconds: str
) -> None:
    assert gpu_seconds(STAGES, device, location) == Decimal(seconds)  # type: ignore[arg-type]


def test_an_hour_costs_its_electricity_and_its_share_of_the_card() -> None:
    rates = GpuRates(
        currency="EUR",
        watts=Decimal(600),
        kwh_price=Decimal("0.35"),
        card_price=Decimal(2400),
        card_hours=Decimal(20000),
    )
    use = rates.cost(Decimal(1800))
    assert str(use.electricity.amount) == "0.105000"
    assert str(use.depreciation.amount) == "0.060000"
    assert str(price_of(use)) == "0.16 EUR"
    assert use.formula == "600 W x 0.35 EUR/kWh + 2400 EUR / 20000 h"


def test_a_rented_gpu_costs_its_hour() -> None:
    use = GpuRates(hour_price=Decimal("1.80")).cost(Decimal(100))
    assert price_of(use).amount == Decimal("0.05")
    assert use.formula == "1.80 USD an hour"


def test_without_figures_nothing_is_known() -> None:
    assert not GpuRates().are_known
    assert price_of(GpuRates().cost(Decimal(3600))).amount == 0
