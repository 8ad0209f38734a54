"""Processes that spend are stopped and killed again and again; the ledger stays right.

Part of `make test-faults`. What was really spent is written to a file of each process, as the bill
of a service would be, before the ledger is told.
"""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from infra.adapters.ledger import LedgerLog
from infra.adapters.object_store import ObjectStore
from infra.adapters.seaweed import SeaweedServer
from infra.adapters.settings import StoreSettings
from pipelines.costs.book import lines_of
from pipelines.costs.summary import sum_of
from tests.conftest import REPOSITORY

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("faults"), pytest.mark.timeout(600)]
JOBS = 60
"""Of each of the two hosts."""
KILLS = 12
STEP = 8
"""Most jobs by which a kill of a host comes later than the one before."""
AHEAD = 5
"""Jobs by which a host may pass the place of its next kill."""
SPENDING = """
import random, sys, time
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo
from infra.adapters.ledger import BucketLedger, LedgerLog
from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import StoreSettings
from pipelines.backends.remote.access import Charge
from pipelines.costs.caps import Caps
from pipelines.costs.entries import Spender
from pipelines.schema.money import Money

host, count, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
log = LedgerLog(ObjectStore(StoreSettings()), ZoneInfo("UTC"), lock=folder / "ledger.lock")
ledger = BucketLedger(log, Spender(run=host), Caps(month=Decimal("1000")), "USD")
bills = folder / "bills"
bills.mkdir(exist_ok=True)
for number in range(count):
    (folder / "at").write_text(str(number))
    while number >= int((folder / "until").read_text()):
        time.sleep(0.005)
    dice = random.Random(f"{host} {number}")
    charge = Charge(f"{host}-{number}", "cloud", Money.of("0.75"))
    ledger.reserve([charge])
    outcome, price = dice.choice(["done", "done", "refused", "lost"]), dice.randint(1, 75)
    if outcome == "done":
        (bills / charge.id).write_text(f"{price / 100:.2f}")
        ledger.settle(charge, Money.of(Decimal(price) / 100), "billed")
    elif outcome == "lost":
        (bills / charge.id).write_text("0.75")
        ledger.keep(charge, "no answer")
    else:
        ledger.release(charge, "refused")
print("finished", flush=True)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SeaweedServer]:
    server = SeaweedServer(tmp_path / "store")
    server.wait()
    yield server
    server.stop()


def start(server: SeaweedServer, host: str, folder: Path) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    env = {**server.variables, "REELWRIGHT_S3_PATIENCE": "60"}
    return subprocess.Popen(
        [sys.executable, "-c", SPENDING, host, str(JOBS), str(folder)],
        env=env,
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )


def let_run(folder: Path, job: int) -> None:
    """Let the process of a host go on to that job."""
    folder.mkdir(exist_ok=True)
    (folder / "next").write_text(str(job))
    (folder / "next").replace(folder / "until")


def wait_until_at(folder: Path, job: int) -> None:
    """A process that was started again goes through its earlier jobs first."""
    deadline = time.monotonic() + 120
    while not _is_at(folder / "at", job):
        assert time.monotonic() < deadline, f"{folder.name} does not come to job {job}"
        time.sleep(0.005)  # a job takes about 30 ms


def _is_at(file: Path, job: int) -> bool:
    text = file.read_text() if file.exists() else ""
    return bool(text) and int(text) >= job  # empty while it is written


def test_the_sum_is_the_bill_though_spenders_are_killed(
    server: SeaweedServer, tmp_path: Path
) -> None:
    store = ObjectStore(server.settings(StoreSettings()))
    store.ensure_bucket()
    dice = random.Random(7)
    folders = {name: tmp_path / name for name in ("north", "south")}
    for folder in folders.values():
        let_run(folder, AHEAD)
    running = {name: start(server, name, folder) for name, folder in folders.items()}
    places = dict.fromkeys(folders, 0)
    for number in range(KILLS):
        name = ("north", "south")[number % 2]
        places[name] += dice.randint(1, STEP)
        let_run(folders[name], places[name] + AHEAD)
        wait_until_at(folders[name], places[name])
        time.sleep(dice.uniform(0, 0.05))  # somewhere within a job
        # A process that stands still with the lock of its host, and is then killed.
        running[name].send_signal(signal.SIGSTOP)
        time.sleep(dice.uniform(0, 0.3))
        assert running[name].poll() is None
        running[name].kill()
        running[name].wait()
        (folders[name] / "at").unlink()
        running[name] = start(server, name, folders[name])
    for folder in folders.values():
        let_run(folder, JOBS)
    for process in running.values():
        out, _ = process.communicate(timeout=300)
        assert "finished" in out
    log = LedgerLog(store, ZoneInfo("UTC"))
    books = [log.book(month) for month in log.months()]
    found = sum_of(lines_of(books))
    bills = [
        Decimal(path.read_text()) for folder in folders.values() for path in folder.glob("bills/*")
    ]
    assert found.total == sum(bills)
    assert found.reserved == 0
    assert found.jobs == 2 * JOBS
    for book in books:
        assert log.audited(book.month).snapshot() == book.snapshot()
