"""Measures what each stage of a run costs, in seconds and peak memory."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

from infra.adapters.device.peak import Peak, watched
from pipelines.documents.manifest import StageCost
from pipelines.schema.stages import Stage


class StageCosts:
    """Adds up the costs of the stages of one run. A stage may be measured in several parts.

    Its GPU memory is the most that any of its parts had, counted from the part's own beginning.
    The seconds are those of the main thread, so that their sum is the time of the run. What the
    background does meanwhile is not added; the time for which the main thread waits for it is.
    """

    def __init__(self) -> None:
        self._costs: dict[Stage, StageCost] = {}

    @contextmanager
    def measure(self, stage: Stage) -> Iterator[None]:
        """Add the wall seconds of the block to `stage`, also if the block fails."""
        start, peak = time.perf_counter(), Peak()
        try:
            # The reserve is emptied where a stage begins, and not before each chunk of it.
            with watched(peak, fresh=stage not in self._costs):
                yield
        finally:
            before = self._costs.get(stage)
            seconds = time.perf_counter() - start + (before.seconds if before else 0.0)
            self._costs[stage] = StageCost(
                stage=stage,
                seconds=round(seconds, 3),
                peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                peak_gpu_bytes=max(peak.bytes, before.peak_gpu_bytes if before else 0),
            )

    @property
    def costs(self) -> tuple[StageCost, ...]:
        """The costs of the stages that have begun, in that order."""
        return tuple(self._costs.values())
