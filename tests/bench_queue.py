"""`python -m tests.bench queue`: many briefs at once, in three queues, and what they leave.

BRIEFS in the environment says how many; 200 take most of an hour on 2 cores.
"""

import os
import tempfile
import time
from pathlib import Path
from uuid import UUID

import psutil
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)

from infra.apps.gateway.views import LIVING
from tests.conftest import REPOSITORY, operator_of
from tests.studio import Studio, start_studio, wait_for

BRIEFS = int(os.environ.get("BRIEFS", "30"))
QUEUES = ("batch", "normal", "rush")


def bench_queue() -> dict[str, object]:
    """How the briefs ended, in which order, and how memory grew."""
    with tempfile.TemporaryDirectory() as folder:
        studio = start_studio(operator_of(Path(folder), REPOSITORY / "build" / "test-models"))
        try:
            runs = {name: _queue(studio, name) for name in QUEUES}
            began, memory = time.monotonic(), []
            while _some_left(studio):
                memory.append(_memory(studio))
                time.sleep(5)
            return _result(studio, runs, memory, time.monotonic() - began)
        finally:
            studio.stop()


def _queue(studio: Studio, name: str) -> list[UUID]:
    return [
        studio.start(
            f"produce-content/{name}",
            prompt=f"a red ball moves right, {name} {number}",
            seconds=1,
            frames=17,
        )
        for number in range(BRIEFS // len(QUEUES))
    ]


def _some_left(studio: Studio) -> bool:
    """Asked with one small request: who watches shall not be the server's greatest load."""
    with studio.client() as client:
        return bool(
            client.read_flow_runs(
                flow_filter=FlowFilter(name=FlowFilterName(any_=["produce-content"])),
                flow_run_filter=FlowRunFilter(
                    state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(LIVING)))
                ),
                limit=1,
            )
        )


def _memory(studio: Studio) -> dict[str, float]:
    """Resident megabytes of each part, its children included."""
    result = {}
    for part in ("server", "studio", "rtx-5090", "store"):
        pid = studio.pid_of(part)
        total = 0
        for each in [pid, *studio.children_of(part)]:
            try:
                total += psutil.Process(each).memory_info().rss
            except psutil.Error:
                continue
        result[part] = round(total / 1e6)
    return result


def _result(
    studio: Studio, runs: dict[str, list[UUID]], memory: list[dict[str, float]], seconds: float
) -> dict[str, object]:
    found = {
        run: wait_for("the run", lambda run=run: studio.look(run))
        for some in runs.values()
        for run in some
    }
    order = sorted(found.values(), key=lambda run: run.end_time)
    queues = [next(name for name, some in runs.items() if run.id in some) for run in order]
    third = max(1, len(memory) // 3)
    parts = memory[0]
    return {
        "briefs": len(found),
        "completed": sum(bool(run.state and run.state.is_completed()) for run in found.values()),
        "manifests": len(studio.manifests()),
        "seconds": round(seconds),
        "order": "".join(name[0] for name in queues),
        "megabytes_first_third": {p: _mean(memory[third : 2 * third], p) for p in parts},
        "megabytes_last_third": {p: _mean(memory[-third:], p) for p in parts},
    }


def _mean(memory: list[dict[str, float]], part: str) -> float:
    return round(sum(item[part] for item in memory) / max(1, len(memory)))
