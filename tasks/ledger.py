"""What each stage of a run cost, in seconds and peak memory."""

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from pipelines.schema.manifest import StageCost

Stage = Literal["enhance", "encode", "chunks", "stitch", "upscale", "upload"]


class Ledger:
    """Adds up the stages of one run; a stage may be measured in several pieces."""

    def __init__(self) -> None:
        self._costs: dict[Stage, StageCost] = {}

    @contextmanager
    def measure(self, stage: Stage) -> Iterator[None]:
        """Count the wall seconds of the block, also of one that fails, to `stage`."""
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
        return tuple(self._costs.values())


def _peak_gpu_bytes() -> int:
    """Largest amount torch held so far; llama.cpp's own is not in it."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return 0
    return int(torch.cuda.max_memory_reserved())
