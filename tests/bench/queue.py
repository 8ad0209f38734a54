"""`python -m tests.bench queue`: many briefs at once, in three queues, and what they cost.

Variables of the environment:
BRIEFS            how many; 200 take most of an hour on 2 cores
WORK              `demo`: each brief is another film; `none`: all are the same film, which is made
                  before the measurement begins, so that nothing is left to make
AGAINST           another checkout of Reelwright, with its `.venv`: its studio does the same first
AGAINST_SETTINGS  `NAME=value NAME=value`: variables of the studio to compare with
"""

import contextlib
import json
import os
import re
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
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
from tests.bench import cpu
from tests.conftest import REPOSITORY, Cli, operator_of
from tests.support.studio import Studio, start_studio, wait_for

BRIEFS = int(os.environ.get("BRIEFS", "30"))
WORK = os.environ.get("WORK", "demo")
QUEUES = ("batch", "normal", "rush")
IDLE_SECONDS = 30.0


@dataclass
class OtherCli(Cli):
    """The command of another checkout."""

    checkout: Path = REPOSITORY

    def argv(self, *args: str) -> list[str]:
        return [str(self.checkout / ".venv" / "bin" / "reelwright"), *args]


def bench_queue() -> dict[str, object]:
    """How the briefs ended, in which order, how memory grew, and the CPU seconds of each brief."""
    checkout = Path(os.environ.get("AGAINST", REPOSITORY)).resolve()
    pairs = (word.partition("=") for word in os.environ.get("AGAINST_SETTINGS", "").split())
    settings = {name: value for name, _, value in pairs}
    if checkout == REPOSITORY.resolve() and not settings:
        return _measure(REPOSITORY, {})
    before = _measure(checkout, settings)
    print(f"against: {json.dumps(before)}", file=sys.stderr, flush=True)
    now = _measure(REPOSITORY, {})
    ratios = {
        name: round(float(str(now[name])) / float(str(before[name])), 3)
        for name in ("cpu_seconds_a_brief", "cpu_seconds_a_brief_without_work", "seconds")
    }
    return {"against": before, "now": now, "now_over_against": ratios}


def _measure(checkout: Path, settings: dict[str, str]) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        plain = operator_of(Path(folder), REPOSITORY / "build" / "test-models")
        studio = start_studio(OtherCli(plain.env | settings, checkout=checkout))
        try:
            if WORK == "none":
                studio.finish(studio.start(**_brief("batch", 0)))
            idle = _idle_percent(studio)
            began, spent = time.monotonic(), cpu.seconds_of(studio)
            runs = {name: _queue(studio, name) for name in QUEUES}
            memory = []
            while _some_left(studio):
                memory.append(_memory(studio))
                time.sleep(5)
            seconds, ended = time.monotonic() - began, cpu.seconds_of(studio)
            result = _result(studio, runs, memory, seconds)
            return result | _costs(spent, ended) | {"idle_percent_of_a_core": idle}
        finally:
            studio.stop()


def _idle_percent(studio: Studio) -> dict[str, float]:
    """Of a core, while no brief is there."""
    time.sleep(IDLE_SECONDS / 2)
    before, began = cpu.seconds_of(studio), time.monotonic()
    time.sleep(IDLE_SECONDS)
    passed, after = time.monotonic() - began, cpu.seconds_of(studio)
    return {part: round(100 * (after[part] - before.get(part, 0)) / passed, 1) for part in after}


def _costs(before: dict[str, float], after: dict[str, float]) -> dict[str, object]:
    """CPU seconds, what is spent anyway in that time included."""
    each = {part: (after[part] - before.get(part, 0.0)) / BRIEFS for part in after}
    overhead = sum(seconds for part, seconds in each.items() if part not in cpu.WORK)
    return {
        "cpu_seconds_a_brief_by_part": {part: round(seconds, 2) for part, seconds in each.items()},
        "cpu_seconds_a_brief": round(sum(each.values()), 2),
        "cpu_seconds_a_brief_without_work": round(overhead, 2),
    }


def _brief(queue: str, number: int) -> dict[str, Any]:
    words = f", {queue} {number}" if WORK == "demo" else ""
    return {"prompt": f"a red ball moves right{words}", "seconds": 1, "frames": 17}


def _queue(studio: Studio, name: str) -> list[UUID]:
    return [
        studio.start(f"produce-content/{name}", **_brief(name, number))
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
    found = {part: psutil.Process(studio.pid_of(part)) for part in cpu.PARTS} | cpu.working(studio)
    result = {}
    for name, process in found.items():
        with contextlib.suppress(psutil.Error):
            result[name] = round(process.memory_info().rss / 1e6)
    result["all"] = round(_all_rss(studio) / 1e6)
    return result


def _all_rss(studio: Studio) -> int:
    """Of every process of the studio; what they share counts for each."""
    total = 0
    for process in psutil.Process(studio.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            total += process.memory_info().rss
    return total


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
            for part in (*cpu.PARTS, *cpu.WORK, "all")
        },
    }


def _mean(memory: list[dict[str, float]], part: str) -> float | None:
    """None for a part that was not there: the enhancer comes with the first brief."""
    values = [item[part] for item in memory if part in item]
    return round(statistics.mean(values)) if values else None
