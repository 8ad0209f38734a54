"""What local backends share about memory: noticing that it ran out, and going on with less.

Also told from it: errors after which the device refuses all further work of this process.
"""

import gc
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import torch

from pipelines.errors import GenerationError

Result = TypeVar("Result")
Mode = TypeVar("Mode", bound=str)

_SAID_SO = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUDA driver error: out of memory",
    "Triton Error [CUDA]: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUSOLVER_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    # cuBLAS finds no memory for its own workspace when a thread uses it for the first time.
    "CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate",
    # torch tries cuDNN's ways to convolve, passes over each whose workspace does not fit, and
    # says this after the last one.
    "unable to find an engine to execute this computation",
    "can't allocate memory",
    "Cannot allocate memory",
)
"""Only the allocator of CUDA raises a type of its own. An `AcceleratorError`, cuBLAS, cuDNN and
the CPU's allocator raise RuntimeErrors with these words."""
_DEVICE = (
    "CUDA error",
    "CUDA driver error",
    "Triton Error [CUDA]",
    "CUBLAS_STATUS_",
    "CUSOLVER_STATUS_",
    "CUDNN_STATUS_",
    "device-side assert",
    "uncorrectable ECC error",
    "illegal memory access",
    "unspecified launch failure",
)
"""Words of errors that the device or a library on it reported."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory ran out, on the device or on the host."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _SAID_SO)


def is_device_error(error: BaseException) -> bool:
    """Whether the device reported `error`, or an error behind it, that is not about memory.

    After an illegal access, a failed launch, an assertion on the device or an ECC error every
    later call of this process fails too; only a new process can use the device again. Some of
    the errors that this function knows pass (an invalid launch configuration), but CUDA reports
    errors late and under other calls' names, so that none of them is worth trusting.
    """
    return any(_of_device(item) for item in causes(error))


def _of_device(error: BaseException) -> bool:
    if is_out_of_memory(error) or not isinstance(error, RuntimeError):
        return False
    if isinstance(error, torch.AcceleratorError):
        return True
    return any(text in str(error) for text in _DEVICE)


def causes(error: BaseException) -> Iterator[BaseException]:
    """`error`, then the errors that it was raised from or while they were handled, each once."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        yield item
        waiting += [other for other in (item.__context__, item.__cause__) if other is not None]


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
            # Without the tracebacks, whose frames hold the tensors of the failed call. The errors
            # behind it have some of their own: the compiler raises its error from torch's.
            for item in causes(error):
                item.with_traceback(None)
            cause = error
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
