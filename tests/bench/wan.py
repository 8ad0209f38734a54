"""Run by `tests.bench`: one clip by stock diffusers' pipeline and by ours, in one run.

    python -m tests.bench.wan FOLDER [--device cuda] [--dtype bfloat16] [--size 832*480]
        [--frames 17] [--steps 12] [--guidance 6] [--compile on] [--decode bfloat16]
        [--attention fast] [--rounds 3]

FOLDER holds a Wan text-to-video model in diffusers' layout; its text encoder is not needed,
because both sides are given the same embeddings. One JSON: seconds of each (median of the rounds,
after one that is not counted), ours also for denoising, decoding and frames apart, the ratio, and
how far the pixels differ.
"""

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from pipelines.backends.base import Compile
from pipelines.backends.frames import to_frames
from pipelines.backends.wan.conditioning import Given
from pipelines.backends.wan.denoiser import Job, WanDenoiser
from pipelines.backends.wan.loading import Source
from pipelines.backends.wan.memory_plan import MemoryPlan
from pipelines.backends.wan.options import WanOptions
from pipelines.schema.sizes import Size

_TOKENS = 512
Result = TypeVar("Result")


@dataclass(frozen=True)
class Case:
    """One clip and how it is made."""

    folder: Path
    size: Size
    frames: int
    options: WanOptions
    device: str = "cpu"
    dtype: str = "float32"
    compile: Compile = "off"
    rounds: int = 3


@dataclass
class Clock:
    """Seconds by what they were spent on. The device is waited for at both ends."""

    device: torch.device
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def time(self, what: str, work: Callable[[], Result]) -> Result:
        """Do `work` and keep how long it took."""
        self._wait()
        start = time.perf_counter()
        result = work()
        self._wait()
        self.seconds.setdefault(what, []).append(time.perf_counter() - start)
        return result

    def medians(self) -> dict[str, float]:
        """Of all rounds but the first."""
        return {
            what: round(statistics.median(times[1:] or times), 4)
            for what, times in self.seconds.items()
        }

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def bench_wan() -> dict[str, Any]:
    """The demo model's preset, on the CPU."""
    from infra.adapters.weights.library import installed_model
    from pipelines.backends.registry import presets
    from tests.bench import MODELS

    preset = presets()["demo"]
    options = WanOptions.checked(preset.options.model_dump())
    folder = installed_model(MODELS, "tiny-wan").path
    return compare(Case(folder, preset.size, preset.frames, options))


def compare(case: Case) -> dict[str, Any]:
    """Stock diffusers against ours."""
    device = torch.device(case.device)
    texts = _texts(case)
    stock, stock_clock = _stock(case, device, texts)
    _forget(device)
    ours, our_clock = _ours(case, device, texts)
    difference = np.abs(ours.astype(np.int16) - stock.astype(np.int16))
    theirs, mine = stock_clock.medians(), our_clock.medians()
    return {
        "stock_seconds": theirs["clip"],
        "our_seconds": round(sum(mine.values()), 4),
        "ours": mine,
        "ratio": round(theirs["clip"] / sum(mine.values()), 3),
        "largest_difference": int(difference.max()),
        "mean_difference": round(float(difference.mean()), 4),
    }


def _texts(case: Case) -> tuple[torch.Tensor, torch.Tensor]:
    config = json.loads((case.folder / "transformer" / "config.json").read_text())
    random = torch.Generator("cpu").manual_seed(0)
    shape, dtype = (1, _TOKENS, config["text_dim"]), getattr(torch, case.dtype)
    positive, negative = (torch.randn(shape, generator=random).to(dtype) for _ in range(2))
    return positive, negative


def _stock(
    case: Case, device: torch.device, texts: tuple[torch.Tensor, torch.Tensor]
) -> tuple[np.ndarray, Clock]:
    from diffusers import WanPipeline

    pipeline = WanPipeline.from_pretrained(
        case.folder,
        text_encoder=None,
        tokenizer=None,
        dtype={"vae": torch.float32, "default": getattr(torch, case.dtype)},
        local_files_only=True,
    ).to(device)
    pipeline.set_progress_bar_config(disable=True)
    scheduler, options = pipeline.scheduler, case.options
    clock = Clock(device)

    def clip() -> np.ndarray:
        pipeline.scheduler = scheduler.from_config(scheduler.config, flow_shift=options.flow_shift)
        made: np.ndarray = pipeline(
            prompt_embeds=texts[0].to(device),
            negative_prompt_embeds=texts[1].to(device),
            width=case.size.width,
            height=case.size.height,
            num_frames=case.frames,
            num_inference_steps=options.steps,
            guidance_scale=options.guidance,
            generator=torch.Generator("cpu").manual_seed(0),
            output_type="np",
        ).frames[0]
        return (made * 255).round().astype(np.uint8)

    for _ in range(1 + case.rounds):
        frames = clock.time("clip", clip)
    return frames, clock


def _ours(
    case: Case, device: torch.device, texts: tuple[torch.Tensor, torch.Tensor]
) -> tuple[np.ndarray, Clock]:
    job = Job(case.size, case.frames, 0, case.options, *texts, Given())
    half = case.options.decode == "bfloat16" and device.type == "cuda"
    plan = MemoryPlan(half=half)
    clock = Clock(device)
    source = Source(case.folder, "text", dtype=case.dtype)
    with WanDenoiser(source, device, compiling=case.compile) as wan:
        for _ in range(1 + case.rounds):
            latents = clock.time("denoise", partial(wan.denoise, job, plan, lambda *_: None))
            video = clock.time("decode", partial(wan.decode, latents, plan))
            frames = clock.time("frames", partial(_frames_of, video))
    return frames, clock


def _frames_of(video: torch.Tensor) -> np.ndarray:
    return np.stack(list(to_frames(video)))


def _forget(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def main() -> None:
    """Measure one case and print it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--size", type=Size.parse, default="832*480")
    for name, number in (("frames", 17), ("steps", 12), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=number)
    for name, value in (("guidance", 6.0), ("flow-shift", 3.0)):
        parser.add_argument(f"--{name}", type=float, default=value)
    parser.add_argument("--compile", choices=("on", "off"), default="off")
    parser.add_argument("--decode", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--attention", choices=("exact", "fast"), default="exact")
    given = parser.parse_args()
    options = WanOptions(
        steps=given.steps,
        guidance=given.guidance,
        flow_shift=given.flow_shift,
        decode=given.decode,
        attention=given.attention,
    )
    case = Case(
        given.folder,
        given.size,
        given.frames,
        options,
        given.device,
        given.dtype,
        given.compile,
        given.rounds,
    )
    print(json.dumps(compare(case), indent=1))


if __name__ == "__main__":
    main()
