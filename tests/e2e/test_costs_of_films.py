"""Films whose clips a paid service makes: the ledger, the manifest, the caps."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from infra.adapters.ledger import LedgerLog
from infra.adapters.object_store import ObjectStore
from pipelines.backends import registry
from pipelines.backends.remote.config import RemoteConfig
from pipelines.backends.remote.driver import definition_of
from pipelines.costs.book import Line
from pipelines.documents.manifest import Manifest
from pipelines.errors import BudgetError
from pipelines.media.ffmpeg import find_ffmpeg
from tests.conftest import slow
from tests.support.remote import PRICE, Kills, World, kind_of

BRIEF: dict[str, Any] = {
    "prompt": "a ball rolls",
    "preset": "far_away",
    "seconds": 4,
    "enhance": False,
    "campaign": "spring",
}
"""Two chunks of two seconds."""
Run = Callable[..., Manifest]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """The service behind the backend `far-away`."""
    world = World()
    config = RemoteConfig(name="far-away", kind="scripted", address="http://127.0.0.1:9")
    monkeypatch.setattr(registry, "_definitions", dict(registry.definitions()))
    monkeypatch.setattr(registry, "_configured", set())
    registry.configure([definition_of(config, kind_of(world, Kills(), find_ffmpeg()))])
    return world


def lines_in(store: ObjectStore) -> list[Line]:
    log = LedgerLog(store, ZoneInfo("UTC"))
    return [line for month in log.months() for line in log.book(month).lines.values()]


@pytest.mark.expects_errors("the cap of 0.70 USD")
def test_a_film_costs_what_the_service_bills_and_a_second_time_nothing(
    world: World, in_process: Run, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REELWRIGHT_COSTS_MONTH_CAP", str(2 * PRICE.amount))
    manifest = in_process(**BRIEF)
    assert len(world.jobs) == 2
    lines = lines_in(store)
    assert [line.state for line in lines] == ["settled", "settled"]
    assert {line.spender.campaign for line in lines} == {"spring"}
    assert {line.spender.video for line in lines} == {manifest.content_id}
    assert manifest.costs is not None
    assert manifest.costs.total.amount == world.bill == 2 * PRICE.amount
    assert in_process(**BRIEF).costs == manifest.costs
    assert len(lines_in(store)) == 2
    with pytest.raises(BudgetError, match=r"month 2\d{3}-\d\d .*0\.70 USD are spent"):
        in_process(**BRIEF | {"prompt": "another ball"})
    assert len(world.jobs) == 2


@pytest.mark.expects_errors("the cap of 0.45 USD")
@pytest.mark.parametrize(
    "cap", ["REELWRIGHT_COSTS_VIDEO_CAP", slow("REELWRIGHT_COSTS_CAMPAIGN_CAP")]
)
def test_a_film_above_a_cap_is_not_begun(
    world: World,
    in_process: Run,
    store: ObjectStore,
    monkeypatch: pytest.MonkeyPatch,
    cap: str,
) -> None:
    """Also if its first chunk alone would fit."""
    monkeypatch.setenv(cap, str(PRICE.amount + Decimal("0.10")))
    with pytest.raises(BudgetError, match=r"0\.70 USD are asked for"):
        in_process(**BRIEF)
    assert not world.jobs
    assert not world.records
    assert lines_in(store) == []
