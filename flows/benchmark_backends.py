"""benchmark-backends: the same prompts through several backends, and the go/no-go report."""

from prefect import flow

from flows.render_video import render_video
from pipelines.benchmark.report import Report
from pipelines.benchmark.request import Benchmark
from tasks.benchmark import measure_films, open_benchmark, open_cases, trial, write_report
from tasks.publish import publish


@flow(name="benchmark-backends", persist_result=False)
def benchmark_backends(benchmark: Benchmark, gates: str = "") -> Report:
    """Make the videos of a comparison that are missing, measure them, and write the report.

    Args:
        benchmark: The candidates, the prompts, and how many videos.
        gates: YAML of the criteria; empty for those that it had before, or the mission's.
    """
    run = open_benchmark(benchmark, gates)
    for case in open_cases(run):
        with trial(case, run) as attempt:
            attempt.made(publish(case.brief, render_video(case.brief)))
    measure_films(run)
    return write_report(run)
