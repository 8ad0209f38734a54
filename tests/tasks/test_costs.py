"""What runs cost: GPU time, the manifest, the nightly look at the ledger."""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    temporary_settings,
)

from infra.adapters.ledger import BucketLedger, LedgerLog
from infra.adapters.ledger.log import SNAPSHOT_EVERY, Clock
from infra.adapters.object_store import ObjectStore
from infra.adapters.remote.journal import StoredJournal
from infra.adapters.settings import Settings
from pipelines.backends.remote.access import Charge, JobRecord
from pipelines.costs.caps import Caps
from pipelines.costs.entries import Spender
from pipelines.costs.summary import sum_of
from pipelines.documents.brief import Brief
from pipelines.documents.manifest import Manifest
from pipelines.errors import GenerationError, SettingsError
from pipelines.schema.keys import ObjectKey
from pipelines.schema.money import Money
from pipelines.schema.plan import Estimate, StageEstimate, digest_of
from tasks.cost_upkeep import fates_of, report_month, tend_ledger
from tasks.costs import Spending, gpu_time_recorded, priced
from tasks.publish import publish_film
from tasks.stage_costs import StageCosts
from tasks.verify import audit, mend
from tests.conftest import Cli
from tests.support.damage import replace
from tests.support.published import OLD, film_of

ZONE = ZoneInfo("UTC")
PRICES = {
    "COSTS_GPU_WATTS": "500",
    "COSTS_KWH_PRICE": "0.40",
    "COSTS_GPU_PRICE": "1600",
    "COSTS_GPU_LIFE_HOURS": "8000",
}
"""Together 0.40 an hour."""


@pytest.fixture
def prices(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REELWRIGHT_DATA_DIR", str(tmp_path / "data"))
    for name, value in PRICES.items():
        monkeypatch.setenv(f"REELWRIGHT_{name}", value)


@dataclass
class Definition:
    location: str
    name: str = "a-backend"

    @property
    def capabilities(self) -> "Definition":
        return self


@dataclass
class Context:
    """The part of a run's context that its costs depend on."""

    location: str
    device: str = "cuda"
    store: ObjectStore | None = None
    content_id: str = "c" * 64
    brief: Brief = field(default_factory=lambda: Brief(prompt="a fox", campaign="spring"))
    settings: Settings = field(default_factory=Settings.load)
    costs: StageCosts = field(default_factory=StageCosts)

    @property
    def backend(self) -> "Context":
        return self

    @property
    def definition(self) -> Definition:
        return Definition(self.location)

    def as_context(self) -> Spending:
        return cast(Spending, self)


def expected() -> Estimate:
    stages = {"enhance": 600, "encode": 600, "chunks": 3600, "stitch": 600, "upscale": 1200}
    return Estimate(
        seconds=6600,
        peak_memory_bytes=1,
        disk_bytes=1,
        basis="nothing",
        stages=tuple(
            StageEstimate.model_validate(
                {"stage": name, "seconds": seconds, "memory_bytes": 1, "disk_bytes": 1}
            )
            for name, seconds in stages.items()
        ),
    )


@pytest.mark.parametrize(
    ("location", "device", "cost"),
    [
        ("device", "cuda", 0.7333),
        ("remote", "cuda", 0.2),
        ("remote", "remote", 0.0),
        ("device", "cpu", 0.0),
    ],
)
def test_an_estimate_charges_gpu_time_and_no_waiting_for_a_service(
    prices: None, store: ObjectStore, location: str, device: str, cost: float
) -> None:
    assert priced(expected(), Context(location, device, store).as_context()).cost == cost


def test_the_price_of_an_hour_of_earlier_versions_holds(
    monkeypatch: pytest.MonkeyPatch, store: ObjectStore
) -> None:
    monkeypatch.setenv("REELWRIGHT_GPU_HOUR_PRICE", "1.5")
    assert priced(expected(), Context("device", store=store).as_context()).cost == 2.75


def test_another_currency_than_the_months_is_refused_before_anything_is_made(
    prices: None, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = Context("device", store=store)
    with gpu_time_recorded(context.as_context()):
        work(context)
    monkeypatch.setenv("REELWRIGHT_COSTS_CURRENCY", "SEK")
    for location in ("device", "remote"):
        with pytest.raises(SettingsError, match="REELWRIGHT_COSTS_CURRENCY=SEK: the ledger of"):
            priced(expected(), Context(location, store=store).as_context())
    assert priced(expected(), Context("device", "cpu", store).as_context()).cost == 0


def test_caps_that_cannot_be_read_are_said_before_anything_is_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "caps.yaml"
    file.write_text("day: much\n")
    monkeypatch.setenv("REELWRIGHT_COSTS_FILE", str(file))
    with pytest.raises(SettingsError, match=r"caps\.yaml, line 1: day='much'"):
        priced(expected(), Context("remote", "remote").as_context())


def lines_in(store: ObjectStore) -> dict[str, Any]:
    log = LedgerLog(store, ZONE)
    return {name: line for month in log.months() for name, line in log.book(month).lines.items()}


def work(context: Context) -> None:
    with context.costs.measure("chunks"):
        time.sleep(0.01)  # seconds are kept to a millisecond, and none cost nothing


def fail(context: Context) -> None:
    with gpu_time_recorded(context.as_context()):
        work(context)
        raise GenerationError("memory ran out")


def test_the_gpu_time_of_a_failed_run_is_in_the_ledger(store: ObjectStore, prices: None) -> None:
    context = Context("device", store=store)
    with pytest.raises(GenerationError):
        fail(context)
    (line,) = lines_in(store).values()
    assert line.gpu.seconds == Decimal(str(context.costs.costs[0].seconds))
    assert line.reason == "it ended with GenerationError"
    assert (line.spender.campaign, line.spender.video) == ("spring", "c" * 64)


def test_a_damaged_ledger_costs_no_film(
    store: ObjectStore, prices: None, caplog: pytest.LogCaptureFixture
) -> None:
    context = Context("device", store=store)
    for _ in range(3):
        with gpu_time_recorded(context.as_context()):
            work(context)
    (month,) = LedgerLog(store, ZONE).months()
    replace(store, ObjectKey.ledger_entry(month, 2))
    with caplog.at_level(logging.WARNING, "reelwright.costs"):
        with gpu_time_recorded(context.as_context()):
            pass
        manifest = publish(store)
    assert manifest.costs is None
    assert "GPU time of this run is not in the ledger" in caplog.text
    assert "costs of this video are not in its manifest" in caplog.text


def ledger(store: ObjectStore, spender: Spender, clock: Clock | None = None) -> BucketLedger:
    log = LedgerLog(store, ZONE, clock=clock or (lambda: datetime.now(UTC)))
    return BucketLedger(log, spender, Caps(), "USD")


def charge(name: str, price: str = "1") -> Charge:
    return Charge(f"{digest_of(name)}-1", "cloud", Money.of(price))


def publish(store: ObjectStore) -> Manifest:
    brief = Brief(prompt="a red fox", seconds=2)
    film = film_of(brief)
    for item in (film.video, film.poster, film.contact):
        store.put_bytes(item.key, item.key.encode(), item.content_type)
    return publish_film(store, brief, film)


def test_the_manifest_says_what_the_video_cost(store: ObjectStore) -> None:
    video = film_of(Brief(prompt="a red fox", seconds=2)).plan.content_id
    mine = ledger(store, Spender(run="r", video=video))
    mine.reserve([charge("one"), charge("two"), charge("three")])
    mine.settle(charge("one"), Money.of("0.30"), "billed")
    mine.keep(charge("two"), "no answer")
    mine.release(charge("three"), "refused")
    ledger(store, Spender(run="other", video="f" * 64)).reserve([charge("four")])
    costs = publish(store).costs
    assert costs is not None
    assert str(costs.total) == "1.30 USD"
    assert [(part.backend, part.jobs, part.basis) for part in costs.parts] == [
        ("cloud", 3, "estimated")
    ]


def test_a_manifest_without_costs_is_read_as_before() -> None:
    for old in OLD:
        assert Manifest.model_validate(old).costs is None


@pytest.fixture
def surroundings(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in cli.env.items():
        if name.startswith("REELWRIGHT_"):
            monkeypatch.setenv(name, value)
    url = cli.env["PREFECT_API_URL"]
    with temporary_settings({PREFECT_API_URL: url, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


def days_ago(count: int) -> Clock:
    moment = datetime.now(UTC) - timedelta(days=count)
    return lambda: moment


def journalled(store: ObjectStore, item: Charge, outcome: str) -> None:
    digest, _, attempt = item.id.rpartition("-")
    values = {"digest": digest, "attempt": int(attempt), "outcome": outcome, "backend": "cloud"}
    values |= {"key": "k", "run": "r", "changed": datetime.now(UTC).isoformat()}
    values |= {"state": "ended" if outcome else "submitted"}
    assert StoredJournal(store).write(JobRecord.model_validate(values), None)


def test_the_purge_ends_reservations_that_no_job_follows(
    store: ObjectStore, surroundings: None
) -> None:
    old = ledger(store, Spender(run="ended"), days_ago(3))
    names = ("never", "lost", "running", "done", "kept")
    old.reserve([charge(name) for name in names])
    old.keep(charge("kept"), "no answer")
    ledger(store, Spender(run="new")).reserve([charge("young")])
    journalled(store, charge("lost"), "lost")
    journalled(store, charge("running"), "")
    journalled(store, charge("done"), "done")
    assert tend_ledger.fn(dry_run=True).settled == 3
    assert {line.state for line in lines_in(store).values()} == {"reserved", "kept"}
    assert "3 reservations" in tend_ledger.fn().sentence()
    found = lines_in(store)
    assert {name: found[charge(name).id].state for name in (*names, "young")} == {
        "never": "released",
        "lost": "kept",
        "running": "reserved",
        "done": "settled",
        "kept": "kept",
        "young": "reserved",
    }
    assert found[charge("never").id].reason == "the run ended before it submitted the job"
    assert tend_ledger.fn().settled == 0


def test_a_living_run_keeps_its_reservations(store: ObjectStore) -> None:
    ledger(store, Spender(run="living"), days_ago(3)).reserve([charge("one")])
    log = LedgerLog(store, ZONE)
    assert list(fates_of(log, store, frozenset({"living"}), datetime.now(UTC))) == []
    assert len(list(fates_of(log, store, frozenset(), datetime.now(UTC)))) == 1


def test_a_month_that_is_over_is_reported_once_and_again_when_it_changed(
    store: ObjectStore, surroundings: None
) -> None:
    past = days_ago(40)
    own = ledger(store, Spender(run="r", campaign="spring"), past)
    own.settle(charge("one"), Money.of("2.50"), "estimated")
    ledger(store, Spender(run="r")).reserve([charge("two")])
    month = f"{past():%Y-%m}"
    assert tend_ledger.fn().reported == (month,)
    page = store.get_bytes(ObjectKey.ledger_report(month, "html")) or b""
    assert b"2.50 USD" in page
    rows = (store.get_bytes(ObjectKey.ledger_report(month, "csv")) or b"").decode().splitlines()
    assert len(rows) == 2
    assert tend_ledger.fn().reported == ()
    ledger(store, Spender(run="r")).settle(charge("one"), Money.of("2.25"), "billed")
    assert tend_ledger.fn().reported == (month,)
    assert b"2.25 USD" in (store.get_bytes(ObjectKey.ledger_report(month, "html")) or b"")


def test_a_report_is_made_from_the_entries_and_not_from_a_snapshot(store: ObjectStore) -> None:
    past = days_ago(40)
    own = ledger(store, Spender(run="r"), past)
    for number in range(20):
        own.reserve([charge(str(number))])
    month = f"{past():%Y-%m}"
    (key,) = store.list_keys(f"ledger/{month}/totals-")
    log = LedgerLog(store, ZONE)
    wrong = log.book(month).snapshot().model_copy(update={"lines": ()})
    store.put_bytes(key, wrong.model_dump_json().encode(), "application/json")
    assert report_month(LedgerLog(store, ZONE), store, month)
    assert b"20.00 USD" in (store.get_bytes(ObjectKey.ledger_report(month, "html")) or b"")


@pytest.mark.expects_errors("the ledger needs the operator")
def test_a_damaged_ledger_is_said_and_housekeeping_goes_on(
    store: ObjectStore, surroundings: None
) -> None:
    own = ledger(store, Spender(run="r"))
    for name in ("one", "two"):
        own.reserve([charge(name)])
    (month,) = LedgerLog(store, ZONE).months()
    replace(store, ObjectKey.ledger_entry(month, 1))
    assert f"ledger/{month}" in tend_ledger.fn().sentence()


def test_the_nightly_purge_looks_after_the_ledger_and_sweeps_nothing_of_it(
    store: ObjectStore, surroundings: None
) -> None:
    from flows.purge_scratch import purge_scratch

    ledger(store, Spender(run="ended"), days_ago(3)).reserve([charge("one")])
    journalled(store, charge("job"), "done")
    before = store.list_keys()
    state = purge_scratch(return_state=True)
    assert state.is_completed()
    assert "1 reservations of ended runs were settled" in str(state.message)
    assert set(before) <= set(store.list_keys())
    assert sum_of(lines_in(store).values()).total == 0


def test_a_repair_deletes_nothing_that_says_what_was_paid(store: ObjectStore) -> None:
    own = ledger(store, Spender(run="r"))
    for number in range(SNAPSHOT_EVERY):
        own.reserve([charge(str(number))])
    journalled(store, charge("job"), "done")
    (month,) = LedgerLog(store, ZONE).months()
    entry, job = ObjectKey.ledger_entry(month, 3), ObjectKey.job(digest_of("job"))
    snapshot = ObjectKey.ledger_totals(month, SNAPSHOT_EVERY)
    for key in (entry, job, snapshot):
        replace(store, key)
    report = audit(store, lambda _: None)
    mend(store, report)
    assert {fault.key: fault.what for fault in report.faults} == {
        entry: "ledger entry",
        job: "job",
    }
    assert all("from a backup" in fault.remedy for fault in report.faults)
    assert {entry, job} <= set(store.list_keys())
    assert store.head(snapshot) is None
