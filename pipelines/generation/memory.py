"""The ladder that a chunk walks down when memory runs out, rung by rung.

`resident`      transformer and VAE stay on the device; the whole clip is decoded at once
`tiled-decode`  the VAE decodes overlapping tiles: about 7 GB less at 480p, 20-30 % slower
`offload`       besides, each model is on the device only while it works (CUDA only)
"""

from collections.abc import Callable
from typing import Literal, TypeVar

import torch

from pipelines.errors import GenerationError

Rung = Literal["resident", "tiled-decode", "offload"]
RUNGS: tuple[Rung, ...] = ("resident", "tiled-decode", "offload")
Result = TypeVar("Result")


def is_out_of_memory(error: BaseException) -> bool:
    """CUDA raises a type of its own; the CPU's allocator a RuntimeError that says so."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


class Ladder:
    """Remembers the rung reached, so that the next chunk does not fall from the top again."""

    def __init__(self, step_down: Callable[[Rung], bool]) -> None:
        """`step_down(rung)` prepares the models for a rung; False if it has none for it."""
        self._step_down = step_down
        self.rung: Rung = RUNGS[0]

    def run(self, work: Callable[[], Result]) -> Result:
        """Do `work`, on lower and lower rungs while memory runs out.

        Raises GenerationError from the last rung.
        """
        while True:
            try:
                return work()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                below = self._next_rung()
                if below is None:
                    raise GenerationError(
                        f"out of memory on the last rung ({self.rung}); "
                        "choose a smaller size or fewer frames a chunk"
                    ) from error
                self.rung = below

    def _next_rung(self) -> Rung | None:
        for rung in RUNGS[RUNGS.index(self.rung) + 1 :]:
            if self._step_down(rung):
                return rung
        return None
