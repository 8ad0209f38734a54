"""`python -m tests.bench start`: from the trigger of a run to its first denoising step.

Three workers take turns at the GPU pool of one studio, each with the same briefs and nothing that
the one before has made: ours, which is warm; the stock process worker at its best settings; the
stock worker as it comes.
"""

import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import REPOSITORY, operator_of
from tests.support.studio import Studio, start_studio, wait_for

_PROMPTS = [
    f"a {thing} moves {way} over a {ground} background"
    for thing, way, ground in (
        ("red ball", "right", "dark blue"),
        ("green square", "up", "grey"),
        ("yellow triangle", "left", "black"),
        ("white circle", "down", "dark green"),
        ("orange square", "right", "grey"),
        ("purple ball", "up", "black"),
    )
]
_BEST = {"PREFECT_WORKER_QUERY_SECONDS": "1", "PREFECT_WORKER_PREFETCH_SECONDS": "0"}
_STEP = re.compile(r"step 1 of \d+")


def bench_start() -> dict[str, object]:
    """Median seconds of each worker's runs after its first, and the ratios."""
    with tempfile.TemporaryDirectory() as folder:
        studio = start_studio(
            operator_of(Path(folder), REPOSITORY / "build" / "test-models"), *_parts()
        )
        try:
            ours = [sys.executable, "-m", "infra.apps.cli", "worker", "rtx-5090"]
            stock = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "rtx-5090"]
            stock += ["--type", "process", "--limit", "1"]
            engine = f"{sys.executable} -m prefect.engine"
            seconds = {
                "warm": _measure(studio, ours, {}, ""),
                "stock, best settings": _measure(studio, stock, _BEST, engine),
                "stock, defaults": _measure(studio, stock, {}, ""),
            }
        finally:
            studio.stop()
    median = {name: round(statistics.median(values[1:]), 2) for name, values in seconds.items()}
    return {
        "seconds": seconds,
        "median_without_first": median,
        "warm_over_best": round(median["warm"] / median["stock, best settings"], 3),
        "warm_over_defaults": round(median["warm"] / median["stock, defaults"], 3),
    }


def _parts() -> Iterator[str]:
    for part in ("store", "database", "server"):
        yield from ("--with", part)


def _measure(
    studio: Studio, argv: list[str], settings: dict[str, str], command: str
) -> list[float]:
    """Seconds from trigger to first step, run after run."""
    log = studio.cli.data / "bench.log"
    log.write_bytes(b"")
    _forget(studio)
    with _worker(studio, argv, settings, log):
        seconds = []
        for prompt in _PROMPTS:
            mark = log.stat().st_size
            began = time.monotonic()
            variables = {"command": command} if command else None
            with studio.client() as client:
                found = client.read_deployment_by_name("render-video/gpu")
                run = client.create_flow_run_from_deployment(
                    found.id,
                    parameters={"brief": {"prompt": prompt}},
                    job_variables=variables,
                )
            seen = wait_for(
                "the first step",
                lambda mark=mark: _STEP.search(log.read_bytes()[mark:].decode(errors="replace")),
            )
            assert seen
            seconds.append(round(time.monotonic() - began, 2))
            ended = studio.finish(run.id)
            assert ended.state is not None
            assert ended.state.is_completed(), ended.state.message
            time.sleep(2)
        return seconds


def _forget(studio: Studio) -> None:
    """Everything that was made."""
    for key in studio.store.list_keys():
        studio.store.delete(key)
    shutil.rmtree(studio.cli.data / "cache", ignore_errors=True)


@contextmanager
def _worker(studio: Studio, argv: list[str], settings: dict[str, str], log: Path) -> Iterator[None]:
    env = studio.cli.env | studio.variables | settings
    env |= {"PREFECT_LOGGING_EXTRA_LOGGERS": "reelwright", "PYTHONUNBUFFERED": "1"}
    with log.open("ab") as output:
        process = subprocess.Popen(argv, env=env, stdout=output, stderr=output)
        try:
            wait_for("the worker", lambda: b"started" in log.read_bytes())
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
