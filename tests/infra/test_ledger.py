"""The ledger in a real object store: caps under races, crashes between its steps, damage."""

import io
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from infra.adapters.ledger import BucketLedger, LedgerLog
from infra.adapters.ledger.log import SNAPSHOT_EVERY
from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import StoreSettings
from pipelines.backends.remote.access import Charge
from pipelines.costs.book import Book
from pipelines.costs.caps import Caps
from pipelines.costs.entries import Spender
from pipelines.costs.summary import sum_of
from pipelines.errors import BudgetError, CorruptObjectError, StoreError
from pipelines.schema.keys import ObjectKey
from pipelines.schema.money import Money
from tests.conftest import REPOSITORY

UTC_ZONE = ZoneInfo("UTC")
ONE = Money.of(1)


@dataclass
class Time:
    """A clock that stands where a test puts it."""

    now: datetime = field(default_factory=lambda: datetime(2026, 11, 27, 12, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


def charge(name: str, price: Money = ONE) -> Charge:
    return Charge(id=name, backend="cloud", price=price)


def ledger(
    store: ObjectStore, time: Time, run: str = "run", of: str = "", **caps: Decimal
) -> BucketLedger:
    """The ledger of a run, as a process that has read nothing yet opens it."""
    log = LedgerLog(store, UTC_ZONE, clock=time)
    return BucketLedger(log, Spender(run=run, campaign=of), Caps.model_validate(caps), "USD")


def book(store: ObjectStore, month: str = "2026-11") -> Book:
    return LedgerLog(store, UTC_ZONE).book(month)


def spent(store: ObjectStore, month: str = "2026-11") -> Decimal:
    return sum_of(book(store, month).lines.values()).total


def numbers(store: ObjectStore, month: str = "2026-11") -> list[int]:
    keys = store.list_keys(f"ledger/{month}/0")
    return [int(Path(key).stem) for key in keys]


def replace(store: ObjectStore, key: ObjectKey, data: bytes) -> None:
    """As a disk that rots would: the checksum beside it stays that of other bytes."""
    metadata: dict[str, str | list[str] | tuple[str]] = {"sha256": "0" * 64}
    store._client.put_object(store.bucket, key, io.BytesIO(data), len(data), metadata=metadata)


def test_another_host_sees_what_was_spent(store: ObjectStore, time: Time) -> None:
    mine = ledger(store, time)
    mine.reserve([charge("a-1"), charge("b-1"), charge("c-1")])
    mine.settle(charge("a-1"), Money.of("0.25"), "billed")
    mine.release(charge("b-1"), "refused")
    mine.keep(charge("c-1"), "no answer")
    lines = book(store).lines
    assert [lines[name].state for name in ("a-1", "b-1", "c-1")] == ["settled", "released", "kept"]
    assert spent(store) == Decimal("1.25")
    assert lines["a-1"].spender.run == "run"
    assert numbers(store) == [1, 2, 3, 4]


def test_repeated_by_another_process_it_writes_nothing(store: ObjectStore, time: Time) -> None:
    for _ in range(2):
        again = ledger(store, time)
        again.reserve([charge("a-1"), charge("b-1")])
        again.settle(charge("a-1"), Money.of("0.25"), "billed")
        again.release(charge("c-1"), "it was never reserved")
    assert numbers(store) == [1, 2]


def test_a_part_that_is_reserved_already_is_not_reserved_again(
    store: ObjectStore, time: Time
) -> None:
    ledger(store, time).reserve([charge("a-1")])
    ledger(store, time, month=Decimal(2)).reserve([charge("a-1"), charge("b-1")])
    assert spent(store) == 2


def test_money_that_was_spent_without_a_reservation_is_in_the_sum(
    store: ObjectStore, time: Time
) -> None:
    ledger(store, time).settle(charge("a-1"), ONE, "billed")
    ledger(store, time).keep(charge("b-1"), "no answer")
    assert spent(store) == 2


def test_nothing_is_written_above_a_cap(store: ObjectStore, time: Time) -> None:
    ledger(store, time).reserve([charge("a-1")])
    with pytest.raises(BudgetError, match=r"cap of 1.50 USD for month 2026-11"):
        ledger(store, time, month=Decimal("1.5")).reserve([charge("b-1")])
    assert numbers(store) == [1]


RESERVING = """
import sys, threading
from decimal import Decimal
from zoneinfo import ZoneInfo
from infra.adapters.ledger import BucketLedger, LedgerLog
from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import StoreSettings
from pathlib import Path
from pipelines.backends.remote.access import Charge
from pipelines.costs.caps import Caps
from pipelines.costs.entries import Spender
from pipelines.errors import BudgetError
from pipelines.schema.money import Money

host, count, lock = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
settings = StoreSettings()
results = []

def run(number):
    log = LedgerLog(ObjectStore(settings), ZoneInfo("UTC"), lock=lock)
    own = BucketLedger(log, Spender(run=f"{host} {number}"), Caps(month=Decimal("7")), "USD")
    name = f"{host}-{number}"
    try:
        own.reserve([Charge(id=name, backend="cloud", price=Money.of("0.30"))])
        results.append(name)
    except BudgetError:
        pass

print("ready", flush=True)
sys.stdin.readline()
threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(" ".join(results), flush=True)
"""


def test_fifty_runs_on_two_hosts_never_reserve_more_than_the_month_allows(
    store: ObjectStore, store_settings: StoreSettings, tmp_path: Path
) -> None:
    """Each host is a process with its own lock file, as they have no disk in common."""
    env = {
        "REELWRIGHT_S3_ENDPOINT": store_settings.endpoint,
        "REELWRIGHT_S3_ACCESS_KEY": store_settings.access_key,
        "REELWRIGHT_S3_SECRET_KEY": store_settings.secret_key.get_secret_value(),
        "REELWRIGHT_S3_BUCKET": store_settings.bucket,
    }
    hosts = [
        subprocess.Popen(
            [sys.executable, "-c", RESERVING, name, "25", str(tmp_path / f"{name}.lock")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
            cwd=REPOSITORY,
        )
        for name in ("north", "south")
    ]
    for host in hosts:
        assert host.stdout
        assert host.stdout.readline() == "ready\n"
    told: set[str] = set()
    for host in hosts:
        assert host.stdin
        host.stdin.write("go\n")
        host.stdin.flush()
    for host in hosts:
        out, _ = host.communicate(timeout=300)
        assert host.returncode == 0
        told |= set(out.split())
    log = LedgerLog(store, UTC_ZONE)
    (month,) = log.months()
    found = log.book(month)
    assert sum_of(found.lines.values()).total == Decimal("6.90")
    assert set(found.lines) == told
    assert len(told) == 23
    assert numbers(store, month) == list(range(1, found.number + 1))
    assert log.audited(month).snapshot() == found.snapshot()


def filled(store: ObjectStore, time: Time, count: int) -> BucketLedger:
    own = ledger(store, time)
    for number in range(count):
        own.reserve([charge(f"{number}-1")])
    return own


def test_a_new_reader_starts_from_a_snapshot(store: ObjectStore, time: Time) -> None:
    filled(store, time, SNAPSHOT_EVERY + 2)
    store.delete(ObjectKey.ledger_entry("2026-11", 3))  # so that reading it would fail
    assert spent(store) == SNAPSHOT_EVERY + 2


def test_killed_before_its_snapshot_a_writer_has_lost_nothing(
    store: ObjectStore, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(store, time, SNAPSHOT_EVERY - 1)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(LedgerLog, "_write_snapshot", killed)
        with pytest.raises(KeyboardInterrupt):
            ledger(store, time).reserve([charge("last-1")])
    ledger(store, time).reserve([charge("last-1")])
    assert spent(store) == SNAPSHOT_EVERY
    assert not store.list_keys("ledger/2026-11/totals-")
    ledger(store, time).reserve([charge("more-1")])
    assert numbers(store) == list(range(1, SNAPSHOT_EVERY + 2))


@pytest.mark.parametrize("how", ["rotten", "no JSON", "of other entries"])
def test_a_damaged_snapshot_is_not_used(store: ObjectStore, time: Time, how: str) -> None:
    filled(store, time, SNAPSHOT_EVERY + 1)
    key = ObjectKey.ledger_totals("2026-11", SNAPSHOT_EVERY)
    if how == "rotten":
        replace(store, key, b"{}")
    elif how == "no JSON":
        store.put_bytes(key, b"not json", "application/json")
    else:
        wrong = (
            book(store)
            .snapshot()
            .model_copy(update={"number": SNAPSHOT_EVERY, "last": "0" * 64, "lines": ()})
        )
        store.put_bytes(key, wrong.model_dump_json().encode(), "application/json")
    assert spent(store) == SNAPSHOT_EVERY + 1


def test_only_the_newest_snapshots_are_kept(store: ObjectStore, time: Time) -> None:
    filled(store, time, 3 * SNAPSHOT_EVERY)
    kept = [ObjectKey.ledger_totals("2026-11", SNAPSHOT_EVERY * n) for n in (2, 3)]
    assert store.list_keys("ledger/2026-11/totals-") == kept


@pytest.mark.parametrize("how", ["rotten", "replaced"])
def test_with_a_damaged_entry_nothing_is_spent(store: ObjectStore, time: Time, how: str) -> None:
    filled(store, time, 3)
    key = ObjectKey.ledger_entry("2026-11", 2)
    if how == "rotten":
        replace(store, key, b"{}")
    else:
        store.put_bytes(key, store.get_bytes(ObjectKey.ledger_entry("2026-11", 1)) or b"", "x/y")
    with pytest.raises(CorruptObjectError, match=r"ledger.2026-11"):
        ledger(store, time).reserve([charge("x-1")])
    assert numbers(store) == [1, 2, 3]


def test_a_job_is_settled_in_the_month_in_which_it_was_reserved(
    store: ObjectStore, time: Time
) -> None:
    time.now = datetime(2026, 11, 30, 23, 59, 50, tzinfo=UTC)
    ledger(store, time).reserve([charge("a-1"), charge("b-1")])
    time.now += timedelta(minutes=5)
    later = ledger(store, time)
    later.reserve([charge("a-1"), charge("c-1")])
    later.settle(charge("a-1"), Money.of("0.10"), "billed")
    assert spent(store) == Decimal("1.10")
    assert spent(store, "2026-12") == 1
    line = book(store).lines["a-1"]
    assert (line.day, line.state) == ("2026-11-30", "settled")
    assert set(book(store, "2026-12").lines) == {"c-1"}


def test_a_host_whose_clock_is_late_reserves_in_the_month_that_has_begun(
    store: ObjectStore, time: Time
) -> None:
    """So the cap of a campaign holds at the turn of a month, too."""
    time.now = datetime(2026, 11, 30, 23, 59, tzinfo=UTC)
    slow, cap = Time(time.now), Decimal(3)
    behind = ledger(store, slow, "slow", "spring", campaign=cap)
    behind.reserve([charge("a-1")])
    time.now += timedelta(minutes=2)
    ledger(store, time, "fast", "spring", campaign=cap).reserve([charge("b-1")])
    behind.reserve([charge("c-1")])
    assert book(store).next_month == "2026-12"
    assert set(book(store).lines) == {"a-1"}
    assert set(book(store, "2026-12").lines) == {"b-1", "c-1"}
    assert book(store, "2026-12").lines["c-1"].day == "2026-12-01"
    with pytest.raises(BudgetError, match="campaign 'spring'"):
        behind.reserve([charge("d-1")])


def test_days_and_months_begin_in_the_studios_time_zone(store: ObjectStore, time: Time) -> None:
    time.now = datetime(2026, 11, 30, 23, 30, tzinfo=UTC)
    log = LedgerLog(store, ZoneInfo("Europe/Zurich"), clock=time)
    BucketLedger(log, Spender(run="r"), Caps(), "USD").reserve([charge("a-1")])
    assert book(store, "2026-12").lines["a-1"].day == "2026-12-01"


def test_a_process_that_stands_still_with_the_lock_stops_nobody(
    store: ObjectStore, time: Time, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    path = tmp_path / "ledger.lock"
    monkeypatch.setattr("infra.adapters.ledger.log._LOCK_SECONDS", 0.1)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        log = LedgerLog(store, UTC_ZONE, lock=path, clock=time)
        BucketLedger(log, Spender(run="r"), Caps(), "USD").reserve([charge("a-1")])
    assert spent(store) == 1


def test_a_store_that_is_down_lets_nothing_be_spent(time: Time) -> None:
    settings = StoreSettings(endpoint="127.0.0.1:9", patience=0)
    with pytest.raises(StoreError, match="cannot be reached"):
        ledger(ObjectStore(settings), time).reserve([charge("a-1")])
