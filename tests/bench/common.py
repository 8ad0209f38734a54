"""What both sides of the flow benchmark share: the work, and how it is measured."""

import json
import resource
import time
from collections.abc import Callable
from pathlib import Path

PROMPT = "a red fox trots through the snow"
FRAMES, STEPS, GUIDANCE, SIZE = 33, 2, 4.0, (416, 240)


def rss_mb() -> float:
    """Resident memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


def measured(loaded_mb: float, work: Callable[[], None]) -> None:
    """Run `work` and print wall seconds and peak memory, also above `loaded_mb`."""
    start = time.perf_counter()
    work()
    wall = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    result = {
        "wall_seconds": round(wall, 2),
        "peak_mb": round(peak, 1),
        "loaded_models_mb": round(loaded_mb, 1),
        "peak_mb_above_models": round(peak - loaded_mb, 1),
    }
    print(json.dumps(result))
