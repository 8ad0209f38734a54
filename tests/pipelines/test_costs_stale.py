"""What becomes of reservations whose run has ended."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipelines.backends.remote.access import JobRecord
from pipelines.costs.book import Line
from pipelines.costs.entries import Spender
from pipelines.costs.stale import ABANDONED, AGE, fate_of
from pipelines.schema.keys import Digest
from pipelines.schema.money import Money

NOW = datetime(2026, 11, 27, 4, 30, tzinfo=UTC)
DIGEST = Digest("a" * 64)


def line(**values: Any) -> Line:
    given = {
        "id": f"{DIGEST}-2",
        "day": "2026-11-25",
        "made": (NOW - AGE - timedelta(minutes=1)).isoformat(),
        "spender": Spender(run="run"),
        "backend": "cloud",
        "state": "reserved",
        "price": Money.of(1),
        "basis": "estimated",
    }
    return Line.model_validate(given | values)


def record(attempt: int, state: str = "ended", outcome: str = "") -> JobRecord:
    return JobRecord.model_validate(
        {
            "digest": DIGEST,
            "backend": "cloud",
            "attempt": attempt,
            "key": "k",
            "state": state,
            "outcome": outcome,
            "run": "run",
            "changed": NOW.isoformat(),
        }
    )


@pytest.mark.parametrize(
    ("job", "action"),
    [
        (None, "release"),
        (record(1, outcome="failed"), "release"),
        (record(2, "submitting"), None),
        (record(2, "submitted"), None),
        (record(2, outcome="released"), "release"),
        (record(2, outcome="refused"), "release"),
        (record(2, outcome="lost"), "keep"),
        (record(2, outcome="done"), "settle"),
        (record(2, outcome="failed"), "settle"),
        (record(3, "submitted"), "keep"),
    ],
)
def test_only_what_surely_cost_nothing_is_released(job: JobRecord | None, action: str) -> None:
    fate = fate_of(line(), job, frozenset(), NOW)
    assert (fate.action if fate else None) == action
    if fate:
        assert fate.reason


@pytest.mark.parametrize(
    "values",
    [
        {"made": (NOW - AGE + timedelta(minutes=1)).isoformat()},
        {"spender": Spender(run="living")},
        {"state": "kept"},
        {"state": "settled"},
        {"state": "released"},
        {"id": "gpu-run-1"},
    ],
)
def test_what_is_young_or_at_work_or_ended_stays(values: dict[str, Any]) -> None:
    assert fate_of(line(**values), None, frozenset({"living"}), NOW) is None


@pytest.mark.parametrize("state", ["submitting", "submitted"])
def test_a_job_that_nobody_comes_back_to_counts_as_spent(state: str) -> None:
    made = (NOW - ABANDONED - timedelta(minutes=1)).isoformat()
    fate = fate_of(line(made=made), record(2, state), frozenset(), NOW)
    assert fate is not None
    assert fate.action == "keep"
