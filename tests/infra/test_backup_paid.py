"""What was paid is in a backup: the records of paid jobs, and the ledger."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from infra.adapters.ledger import BucketLedger, LedgerLog
from infra.adapters.object_store import Entry, ObjectStore
from infra.adapters.remote.journal import StoredJournal
from infra.apps.backup import take
from infra.apps.backup.restore import restore
from infra.apps.backup.vault import Vault
from pipelines.backends.remote.access import Charge, JobRecord
from pipelines.costs.book import lines_of
from pipelines.costs.caps import Caps
from pipelines.costs.entries import Spender
from pipelines.costs.summary import Sum, sum_of
from pipelines.schema.keys import Digest, ObjectKey
from pipelines.schema.money import Money
from tasks.verify import audit
from tests.support.backup import Place, saved

pytest_plugins = ["tests.support.backup_fixtures"]
pytestmark = pytest.mark.xdist_group("backup")  # one database server for all of them


def pay(store: ObjectStore, digest: Digest) -> None:
    """As the driver of remote backends: reserve, submit, write the id, settle."""
    record = JobRecord(
        digest=digest,
        backend="omni",
        attempt=1,
        key="6f1ed002-ab5e-5f34-9c3f-6d1f7d1b7a11",
        state="submitted",
        operation="v1_of_the_test",
        run="run-1",
        changed="2026-11-27T12:00:00+00:00",
    )
    charge = Charge(f"{digest}-1", "omni", Money.of("0.21"))
    ledger = BucketLedger(log_of(store), Spender(run="run-1"), Caps(), "USD")
    ledger.reserve([charge])
    assert StoredJournal(store).write(record, None)
    ledger.settle(charge, charge.price, "billed")


def log_of(store: ObjectStore) -> LedgerLog:
    return LedgerLog(store, ZoneInfo("UTC"))


def spent(store: ObjectStore) -> Sum:
    log = log_of(store)
    return sum_of(lines_of([log.book(month) for month in log.months()]))


def test_what_was_paid_comes_back_and_the_ledger_goes_on(
    studio: Place, empty: Place, tmp_path: Path
) -> None:
    digest = Digest("d" * 64)
    pay(studio.store, digest)
    before = spent(studio.store)
    saved(studio, tmp_path / "backup")
    restore(empty.use(), tmp_path / "backup", say=lambda _: None)
    assert StoredJournal(empty.store).read(digest) is not None
    assert spent(empty.store) == before
    pay(empty.store, Digest("e" * 64))
    assert spent(empty.store).total == 2 * before.total
    found = audit(empty.store, lambda _: None)
    assert not [fault for fault in found.faults if fault.key.startswith(("jobs/", "ledger/"))]


class Paying(ObjectStore):
    """A store in which a job is paid while a backup lists it, after the folder of jobs."""

    is_paid = False

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        for entry in super().entries(prefix):
            if entry.key > "jobs/" and not self.is_paid:
                self.is_paid = True
                pay(self, LATE)
                yield from super().entries("ledger/")
            yield entry


LATE = Digest("f" * 64)


def test_a_job_that_is_paid_during_the_backup_is_in_it_if_the_ledger_has_it(
    studio: Place, tmp_path: Path
) -> None:
    vault = Vault(tmp_path / "backup")
    store = Paying(studio.use().store)
    with vault.writing(lambda: None):
        take.save(studio.use(), vault, replace(studio.parts(), store=store), "", 0)
    kept = {item.key: item for item in vault.load().objects}
    assert [key for key in kept if key.startswith("ledger/")]
    assert b"v1_of_the_test" in vault.read(kept[ObjectKey.job(LATE)])
