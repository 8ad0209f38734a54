"""Measures what each stage of a run costs, in seconds and peak memory."""

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.documents.manifest import StageCost
from pipelines.schema.stages import Stage


class StageCosts:
    """Adds up the costs of the stages of one run. A stage may be measured in several parts.

    The seconds are those of the main thread, so that their sum is the time of the run. What the
    background does meanwhile is not added; the time for which the main thread waits for it is.
    """

    def __init__(self) -> None:
        self._costs: dict[Stage, StageCost] = {}

    @contextmanager
    def measure(self, stage: Stage) -> Iterator[None]:
        """Add the wall seconds of the block to `stage`, also if the block fails."""
        start = time.perf_counter()
        try:
            yield
        finally:
            before = self._costs[stage].seconds if stage in self._costs else 0.0
            self._costs[stage] = StageCost(
                stage=stage,
                seconds=round(before + time.perf_counter() - start, 3),
                peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                peak_gpu_bytes=_peak_gpu_bytes(),
            )

    @property
    def costs(self) -> tuple[StageCost, ...]:
        """The costs of the stages that have begun, in that order."""
        return tuple(self._costs.values())


def _peak_gpu_bytes() -> int:
    """The most GPU memory that torch has reserved so far. The memory of llama.cpp is not
    included."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return 0
    return int(torch.cuda.max_memory_reserved())
