"""The most GPU memory that was in use between two moments, llama.cpp and CUDA contexts included.

torch counts its own peak without gaps, but once for the whole process; what the other processes
hold can only be asked at a moment. So the sum is taken at the ends of each watched part, and before
and after each model goes: a model in a process of its own, such as llama.cpp's, holds most when its
work ends. No thread that samples is needed.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from infra.adapters.device import memory


class Peak:
    """Most bytes on the card while it was watched; 0 if CUDA was not used."""

    def __init__(self) -> None:
        self.bytes = 0


_watching: list[Peak] = []
_lock = threading.Lock()


@contextmanager
def watched(peak: Peak, *, fresh: bool) -> Iterator[None]:
    """Raise `peak` to the most that the block has on the card. Blocks may overlap, in threads too.

    With `fresh`, torch first returns what earlier work left in its reserve: else that would count
    as the block's. It does not, while another block is watched, which uses the reserve.
    """
    with _lock:
        if torch := _torch_with_cuda():
            if fresh and not _watching:
                torch.cuda.empty_cache()
            _count(torch)
            torch.cuda.reset_peak_memory_stats()
        _watching.append(peak)
    try:
        yield
    finally:
        note()
        with _lock:
            _watching.remove(peak)


def note() -> None:
    """Count what is on the card now. It is called before and after something leaves the card."""
    with _lock:
        if torch := _torch_with_cuda():
            _count(torch)


def _count(torch: Any) -> None:
    """Raise every watched peak, then let torch's own peak begin anew from what it holds now."""
    if not _watching:
        return  # nobody asks, and somebody else may be using torch's own figures
    outside = memory.outside_bytes(int(torch.cuda.memory_reserved()))
    most = int(torch.cuda.max_memory_reserved()) + outside
    for peak in _watching:
        peak.bytes = max(peak.bytes, most)
    torch.cuda.reset_peak_memory_stats()


def _torch_with_cuda() -> Any:
    """torch, if this process has loaded it and uses CUDA; else None."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and torch.cuda.is_initialized() else None
