"""Run by `python -m tests.bench forecast`: how far a forecast lies from the time that a film takes.

Films of several lengths and sizes are made one after the other by the whole chain in this process,
with a data directory that is empty at first. Before each one the router is asked what it would
take, as the form and the API ask it. The goal: within a factor of two in nine of ten runs.
"""

import json
import os
import statistics
import sys
import time
from typing import Any, NamedTuple

FACTOR, GOAL = 2.0, 0.9
MOVES = ("moves to the right", "moves to the left", "moves up", "moves down")


class Asked(NamedTuple):
    """What differs between the films."""

    seconds: float
    size: str
    upscale: int
    enhance: bool


FILMS = (
    Asked(2, "preset", 1, enhance=True),
    Asked(4, "preset", 1, enhance=True),
    Asked(8, "preset", 1, enhance=False),
    Asked(2, "416*240", 1, enhance=True),
    Asked(6, "preset", 2, enhance=True),
    Asked(1, "preset", 1, enhance=False),
    Asked(4, "416*240", 1, enhance=False),
    Asked(2, "preset", 4, enhance=True),
    Asked(12, "preset", 1, enhance=True),
    Asked(4, "preset", 1, enhance=True),
)


def summary(films: list[dict[str, Any]]) -> dict[str, Any]:
    """The films, and how well they were forecast."""
    near = sum(1 / FACTOR <= item["made_over_forecast"] <= FACTOR for item in films)
    inside = sum(item["low_s"] <= item["made_s"] <= item["high_s"] for item in films)
    ratios = [item["made_over_forecast"] for item in films]
    return {
        "films": films,
        "within_a_factor_of_two": f"{near} of {len(films)}",
        "within_the_range_that_was_said": f"{inside} of {len(films)}",
        "median_ratio": round(statistics.median(ratios), 2),
        "goal_is_met": near >= GOAL * len(films),
    }


def main() -> None:
    """Print what was expected of each film, and what it took."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        films = [measured(number, film) for number, film in enumerate(FILMS)]
    print(json.dumps({"films": films}))


def measured(number: int, film: Asked) -> dict[str, Any]:
    """Make one film, after it was asked what that takes."""
    from flows.produce_content import produce_content
    from infra.adapters.settings import Settings
    from pipelines.documents.brief import Brief
    from pipelines.documents.manifest import Manifest
    from tasks.surroundings import HostSurroundings

    words = f"a red ball {MOVES[number % len(MOVES)]} over a dark blue background"
    values = film._asdict() | {"preset": "demo", "seed": number}
    brief = Brief.model_validate({"prompt": words} | values)
    said = HostSurroundings(Settings.load()).forecast(brief)
    began = time.perf_counter()
    manifest = produce_content(brief)
    made = time.perf_counter() - began
    assert isinstance(manifest, Manifest)
    assert manifest.run.chunks_reused == 0
    stages = {item.stage: round(item.seconds, 2) for item in manifest.stages}
    found = film._asdict() | {
        "forecast_s": said.seconds,
        "low_s": said.low_seconds,
        "high_s": said.high_seconds,
        "made_s": round(made, 1),
        "made_over_forecast": round(made / said.seconds, 2),
        "basis": said.basis,
        "stages": stages,
        "outside_stages_s": round(made - sum(stages.values()), 2),
        "load": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(found), file=sys.stderr, flush=True)
    return found


if __name__ == "__main__":
    main()
