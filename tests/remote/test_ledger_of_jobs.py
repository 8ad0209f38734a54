"""The driver of remote backends over the real ledger: its sum is the bill of the services."""

import random
import shutil
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Literal, cast
from zoneinfo import ZoneInfo

import pytest

from infra.adapters.ledger import BucketLedger, LedgerLog
from infra.adapters.object_store import ObjectStore
from pipelines.backends.base import BackendHost, InputMedia
from pipelines.backends.remote.access import Charge
from pipelines.backends.remote.config import RemoteConfig
from pipelines.backends.remote.driver import definition_of
from pipelines.costs.caps import Caps
from pipelines.costs.entries import Spender
from pipelines.costs.summary import Sum, sum_of
from pipelines.errors import (
    BudgetError,
    GenerationError,
    LostJobError,
    RefusedError,
    UnavailableError,
)
from pipelines.media.ffmpeg import Ffmpeg, find_ffmpeg
from pipelines.schema.money import Money
from pipelines.schema.request import ClipRequest
from tests.support.remote import (
    FPS,
    PRICE,
    SIZE,
    KilledError,
    Kills,
    RunHost,
    World,
    kind_of,
    write_clip,
)

CONFIG = RemoteConfig(name="far-away", kind="scripted", address="http://127.0.0.1:9")


class KilledLedger:
    """The real one, in a process that is killed before or after one of its calls."""

    def __init__(self, ledger: BucketLedger, kills: Kills) -> None:
        self._ledger, self._kills = ledger, kills

    def reserve(self, charges: Sequence[Charge]) -> None:
        self._kills("reserve", lambda: self._ledger.reserve(charges))

    def settle(self, charge: Charge, price: Money, basis: Literal["estimated", "billed"]) -> None:
        self._kills("settle", lambda: self._ledger.settle(charge, price, basis))

    def release(self, charge: Charge, reason: str) -> None:
        self._kills("release", lambda: self._ledger.release(charge, reason))

    def keep(self, charge: Charge, reason: str) -> None:
        self._kills("keep", lambda: self._ledger.keep(charge, reason))


Make = Callable[..., None]


@pytest.fixture
def make(store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Make a clip in a new process, as it were, which has the real ledger."""
    tool = find_ffmpeg()
    write_clip(tool, tmp_path / "clip", 16)

    def send(_: Ffmpeg, path: Path, frames: int) -> None:
        shutil.copy(tmp_path / "clip", path)

    monkeypatch.setattr("tests.support.remote.write_clip", send)  # each encodes for a while

    def go(
        world: World,
        seed: int = 1,
        kills: Kills | None = None,
        caps: Caps | None = None,
        *,
        fetch: bool = True,
    ) -> None:
        kills = kills or Kills()
        host = RunHost(world, kills, tool, tmp_path)
        log = LedgerLog(store, ZoneInfo("UTC"))
        own = BucketLedger(log, Spender(run="run-1"), caps or Caps(), "USD")
        access = {**vars(host.access), "ledger": KilledLedger(own, kills)}
        host.access = type(host.access)(**access)
        definition = definition_of(CONFIG, kind_of(world, kills, tool))
        backend = definition.create(cast(BackendHost, host), frozenset({"text"}))
        request = ClipRequest(
            prompt="a ball", negative="", size=SIZE, fps=FPS, frames=16, seed=seed
        )
        with backend.open() as session:
            session.prepare([request])
            clip = session.generate(request, cast(InputMedia, None), lambda *_: None)
            if fetch:
                assert len(list(clip.frames)) == 16

    return go


def in_ledger(store: ObjectStore) -> Sum:
    log = LedgerLog(store, ZoneInfo("UTC"))
    lines = [line for month in log.months() for line in log.book(month).lines.values()]
    return sum_of(lines)


def calls_of(make: Make) -> list[str]:
    kills = Kills()
    make(World(), 0, kills)
    return kills.names


def test_killed_at_any_call_the_ledger_has_what_the_service_bills(
    make: Make, store: ObjectStore
) -> None:
    """Each way of being killed has a chunk of its own; all of them share the ledger."""
    calls = calls_of(make)
    assert {"reserve", "submit", "settle"} <= set(calls)
    bill, seed = PRICE.amount, 0
    for at, name in enumerate(calls):
        if name in ("read", "look"):
            continue  # they change nothing
        for after in (False, True):
            world, seed = World(), seed + 1
            with pytest.raises(KilledError):
                make(world, seed, Kills(at, after=after))
            try:
                make(world, seed)
            except LostJobError:
                # Nobody can say whether the service has the job, so it counts.
                world.jobs = world.jobs or {"unknown": ""}
            assert len(world.jobs) == 1, name
            bill += world.bill
            assert in_ledger(store).total == bill, (name, after)
    assert in_ledger(store).reserved == 0


def test_a_history_with_failures_refusals_and_lost_answers_adds_up_to_the_bill(
    make: Make, store: ObjectStore
) -> None:
    """Of thirty chunks about a third go wrong, each in one of the ways that services have."""
    dice, bill = random.Random(15), Decimal(0)
    seen: set[str] = set()
    wrong: list[str] = []
    for seed in range(30):
        fault = dice.choice(["refused", "failed", "unavailable", "lost", *["done"] * 8])
        world = World()
        if fault == "refused":
            world.errors = [RefusedError("not that")]
        elif fault == "unavailable":
            world.errors = [UnavailableError("later")]
        elif fault == "failed":
            world.states = ["running", "failed"]
        elif fault == "lost":
            world.loses_answers = 1
        try:
            make(world, seed, fetch=False)
        except GenerationError:
            wrong.append(fault)
        bill += Decimal(0) if fault == "failed" else world.bill
        seen.add(fault)
    assert "done" not in wrong
    assert seen == {"refused", "failed", "unavailable", "lost", "done"}
    found = in_ledger(store)
    assert found.total == bill
    assert found.kept > 0
    assert found.reserved == 0


def test_above_a_cap_no_job_is_submitted(make: Make, store: ObjectStore) -> None:
    world, caps = World(), Caps(month=PRICE.amount)
    make(World(), 1, None, caps)
    with pytest.raises(BudgetError, match="month"):
        make(world, 2, None, caps)
    assert not world.jobs
    assert not world.records
    assert in_ledger(store).total == PRICE.amount
