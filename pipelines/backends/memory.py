"""What local backends share about memory: noticing that it ran out, and going on with less."""

import gc
from collections.abc import Callable
from typing import Generic, TypeVar

import torch

from pipelines.errors import GenerationError

Result = TypeVar("Result")
Mode = TypeVar("Mode", bound=str)

_SAID_SO = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "can't allocate memory",
)
"""Only the allocator of CUDA raises a type of its own. An `AcceleratorError`, cuBLAS, cuDNN and
the CPU's allocator raise RuntimeErrors with these words."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory ran out, on the device or on the host."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _SAID_SO)


def free_memory() -> None:
    """Give freed tensors back to the device, and what Python still holds in cycles."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def run_with_less(work: Callable[[], Result], step_down: Callable[[], bool], advice: str) -> Result:
    """Do `work`; each time memory runs out, do it again after `step_down()`.

    `step_down` makes the next attempt need less memory, or returns False if nothing is left to
    try. Then GenerationError is raised with `advice`.
    """
    while True:
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            # Without its traceback, whose frames hold the tensors of the failed call.
            cause = error.with_traceback(None)
        free_memory()
        if not step_down():
            raise GenerationError(
                f"memory ran out and nothing is left to save; {advice}"
            ) from cause


class Ladder(Generic[Mode]):
    """Ways to work, from the fastest to that which takes least, and where memory ran out.

    Each clip begins at the first way that may last, so that one large clip slows no small ones.
    """

    def __init__(self, modes: tuple[Mode, ...]) -> None:
        self._modes = modes
        self._too_much: dict[Mode, float] = {}

    def start(self, load: float, first: Mode) -> Mode:
        """The first way from `first` on in which no clip of `load` or less ran out.

        `load` is in any unit that memory grows with. If none is left, the last one.
        """
        ways = self._modes[self._modes.index(first) :]
        return next((way for way in ways if load < self._too_much.get(way, load + 1)), ways[-1])

    def below(self, mode: Mode, load: float) -> Mode | None:
        """The way after `mode`, in which memory ran out for `load`; None if it was the last.

        A load of 0 means that not even the weights fitted: `mode` is not tried again.
        """
        self._too_much[mode] = min(load, self._too_much.get(mode, load))
        rest = self._modes[self._modes.index(mode) + 1 :]
        return rest[0] if rest else None
