"""Runs stages one after the other: measures, saves after each, goes on after a failed one."""

import gc
import json
import statistics
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from pipelines.backends.wan.random_weights import (
    UMT5_XXL,
    VACE_1_3B,
    WAN_1_3B,
    EncoderShape,
    WanShape,
)
from pipelines.schema.sizes import Size

GB = 1e9
Result = dict[str, Any]


@dataclass(frozen=True)
class Scale:
    """How large everything is."""

    wan: WanShape = WAN_1_3B
    vace: WanShape = VACE_1_3B
    encoder: EncoderShape = UMT5_XXL
    steps: int = 8
    """Steps that are measured of each clip; the others are calculated."""
    repeats: int = 5
    size: Size | None = None
    """Instead of a preset's size."""
    frames: int = 81
    """Longest clip."""
    blocks: int = 23
    """Of the upscaler; x4plus has 23."""
    upscaled: int = 8
    """Frames that are enlarged."""
    frame_sizes: tuple[Size, ...] = (Size(832, 480), Size(1280, 720))
    """Of what is upscaled."""
    cap: float = 22.0
    """GB that the product may use."""
    lower_caps: tuple[tuple[str, float], ...] = (
        ("video_high", 16.0),
        ("video_high", 10.0),
        ("video_fast", 6.0),
    )
    """Preset and GB under which it must still be made."""


REAL = Scale()
_SMALL_WAN = WanShape(2, 24, 64, 2, 32, 8, 1, EncoderShape(2, 8, 64, 1))
TINY = Scale(
    wan=_SMALL_WAN,
    vace=replace(_SMALL_WAN, vace=True),
    encoder=EncoderShape(4, 8, 64, 2),
    steps=2,
    repeats=1,
    size=Size(32, 32),
    frames=5,
    blocks=1,
    upscaled=4,
    frame_sizes=(Size(16, 16),),
    lower_caps=(("video_high", 1e-6), ("video_fast", 1e-6)),
)


class Check:
    """One run."""

    def __init__(
        self,
        out: Path,
        folder: Path,
        scale: Scale,
        *,
        budget: float,
        wanted: tuple[str, ...] = (),
        compile: bool = True,
    ) -> None:
        """Results go to `out`, weights to `folder`. No stage begins after `budget` seconds."""
        self.out, self.folder, self.scale = out, folder, scale
        self.budget, self.wanted, self.compile = budget, wanted, compile
        self.cuda = torch.cuda.is_available() and scale is not TINY
        self.device = "cuda" if self.cuda else "cpu"
        self.results: dict[str, Result] = {}
        self._began = time.perf_counter()

    def stage(self, name: str, work: Callable[[Result], None]) -> None:
        """Run `work`, which fills its result, unless it is not wanted or time is over."""
        if self.wanted and name not in self.wanted:
            return
        if time.perf_counter() - self._began > self.budget:
            self.results[name] = {"skipped": f"the budget of {self.budget:g} s was used up"}
            self.save()
            return
        result = self.results.setdefault(name, {})
        start = time.perf_counter()
        try:
            work(result)
        except Exception as error:  # whatever it was, the next stage is worth its seconds
            result["error"] = f"{type(error).__name__}: {error}"[:600]
            result["where"] = traceback.format_exc().splitlines()[-12:]
        self.clear()
        result["stage_seconds"] = round(time.perf_counter() - start, 1)
        self.save()
        print(f"[{time.perf_counter() - self._began:6.1f} s] {name}: {_short(result)}", flush=True)

    def save(self) -> None:
        """Write all results so far."""
        self.out.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.results, indent=1)
        (self.out / "gpu_check.json").write_text(text)

    def clear(self) -> None:
        """Give back what nobody uses."""
        gc.collect()
        if self.cuda:
            torch.cuda.empty_cache()

    def enforce(self, gigabytes: float | None) -> None:
        """torch refuses to take more than so many GB of the card; None: all of it."""
        if self.cuda:
            whole = torch.cuda.get_device_properties(0).total_memory
            share = 1.0 if gigabytes is None else min(1.0, gigabytes * GB / whole)
            torch.cuda.set_per_process_memory_fraction(share)

    def wait(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()

    @contextmanager
    def measured(self, into: Result, key: str) -> Iterator[None]:
        """Seconds of what happens in here as `key`_s, and the peaks of memory beside it."""
        self.clear()
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()
        self.wait()
        start = time.perf_counter()
        yield
        self.wait()
        into[f"{key}_s"] = round(time.perf_counter() - start, 4)
        if self.cuda:
            into[f"{key}_allocated_gb"] = round(torch.cuda.max_memory_allocated() / GB, 2)
            into[f"{key}_reserved_gb"] = round(torch.cuda.max_memory_reserved() / GB, 2)

    def repeated(self, work: Callable[[], object]) -> float:
        """Median seconds of `work`, after it has run twice."""
        for _ in range(min(2, self.scale.repeats)):
            work()
        took = []
        for _ in range(self.scale.repeats):
            self.wait()
            start = time.perf_counter()
            work()
            self.wait()
            took.append(time.perf_counter() - start)
        return round(statistics.median(took), 5)


def is_out_of_memory(error: Exception) -> bool:
    """Whether a stock program found too little memory."""
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error)


def _short(result: Result) -> str:
    return json.dumps(result)[:1200]
