"""`python -m tests.bench queue`: many briefs at once, in three queues, and what they leave.

BRIEFS in the environment says how many; 200 take most of an hour on 2 cores.
"""

import contextlib
import os
import re
import statistics
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
from tests.support.studio import Studio, start_studio, wait_for

BRIEFS = int(os.environ.get("BRIEFS", "30"))
QUEUES = ("batch", "normal", "rush")
LASTING = ("server", "store", "gateway", "studio", "rtx-5090")
CHILDREN = {"GPU child": "worker.child", "enhancer": "llama_child"}
"""Below the GPU worker, by a word of their command lines."""


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
        for number in range(QUEUES.index(name), BRIEFS, len(QUEUES))
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
    """Resident megabytes of every process that lasts; those of single runs come and go."""
    found = {part: psutil.Process(studio.pid_of(part)) for part in LASTING}
    for pid in studio.children_of("rtx-5090"):
        try:
            words = " ".join(psutil.Process(pid).cmdline())
        except psutil.Error:
            continue
        name = next((name for name, word in CHILDREN.items() if word in words), None)
        if name:
            found[name] = psutil.Process(pid)
    result = {}
    for name, process in found.items():
        with contextlib.suppress(psutil.Error):
            result[name] = round(process.memory_info().rss / 1e6)
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
    log = studio.gpu_log()
    return {
        "briefs": len(found),
        "completed": sum(bool(run.state and run.state.is_completed()) for run in found.values()),
        "manifests": len(studio.manifests()),
        "seconds": round(seconds),
        "order": "".join(name[0] for name in queues),
        "warm_processes": len(re.findall(r"warm process \d+ started", log)),
        "video_model_loaded": log.count("loading the video model"),
        "megabytes": {
            part: [
                _mean(memory[start : start + third], part) for start in range(0, 3 * third, third)
            ]
            for part in (*LASTING, *CHILDREN)
        },
    }


def _mean(memory: list[dict[str, float]], part: str) -> float | None:
    """None for a part that was not there: the enhancer comes with the first brief."""
    values = [item[part] for item in memory if part in item]
    return round(statistics.mean(values)) if values else None
