"""What the project is compared with: diffusers as its pages show it, and a plain upscaler."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipelines.backends.base import Frame
from pipelines.backends.measuring import ClipCost
from pipelines.schema.request import ClipRequest
from tests.gpu.check import Check

_PRE_PAD = 10
"""RealESRGANer's default."""


class StockWan:
    """`WanPipeline` with its VAE in float32, all on the device, called as on its page."""

    def __init__(self, check: Check, folder: Path) -> None:
        from diffusers import AutoencoderKLWan, WanPipeline

        self._check = check
        check.enforce(None)
        self.dtype = torch.bfloat16 if check.cuda else torch.float32
        vae = AutoencoderKLWan.from_pretrained(folder, subfolder="vae", dtype=torch.float32)
        # Its text encoder is in the pipeline's dtype, as ours.
        self.pipeline: Any = WanPipeline.from_pretrained(folder, vae=vae, dtype=self.dtype)
        self.pipeline.to(check.device)
        self.pipeline.set_progress_bar_config(disable=True)
        self._texts: dict[tuple[str, str], Any] = {}

    def close(self) -> None:
        """Free it."""
        del self.pipeline
        self._check.clear()

    def render(self, request: ClipRequest) -> tuple[ClipCost, list[Frame]]:
        """The same clip; its texts were encoded before, as ours."""
        options: Any = request.options
        positive, negative = self._encoded(request.prompt, request.negative)
        scheduler = self.pipeline.scheduler
        self.pipeline.scheduler = type(scheduler).from_config(
            scheduler.config, flow_shift=options["flow_shift"]
        )
        marks: list[float] = []

        def after_step(_: Any, __: int, ___: Any, values: dict[str, Any]) -> dict[str, Any]:
            self._check.wait()
            marks.append(time.perf_counter())
            return values

        if self._check.cuda:
            torch.cuda.reset_peak_memory_stats()
        self._check.wait()
        begin = time.perf_counter()
        video = self.pipeline(
            prompt_embeds=positive,
            negative_prompt_embeds=negative,
            width=request.size.width,
            height=request.size.height,
            num_frames=request.frames,
            num_inference_steps=options["steps"],
            guidance_scale=options["guidance"],
            generator=torch.Generator("cpu").manual_seed(request.seed),
            callback_on_step_end=after_step,
            output_type="np",
        ).frames[0]
        self._check.wait()
        end = time.perf_counter()
        frames = [(frame * 255).round().astype(np.uint8) for frame in video]
        lengths = [after - before for before, after in pairwise(marks)]
        step = float(np.median(lengths)) if lengths else marks[0] - begin
        peaks = self._peaks()
        return ClipCost(end - begin, marks[-1] - begin, step, len(marks), "stock", *peaks), frames

    def _encoded(self, prompt: str, negative: str) -> Any:
        key = (prompt, negative)
        if key not in self._texts:
            with torch.inference_mode():
                self._texts[key] = self.pipeline.encode_prompt(
                    prompt, negative, do_classifier_free_guidance=True, max_sequence_length=512
                )
        return self._texts[key]

    def _peaks(self) -> tuple[int, int]:
        if not self._check.cuda:
            return 0, 0
        return torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()

    def latents(self, request: ClipRequest, dtype: torch.dtype) -> torch.Tensor:
        """Random ones of the clip's shape."""
        generator = torch.Generator("cpu").manual_seed(1)
        packed = (request.frames - 1) // 4 + 1
        shape = (1, 16, packed, request.size.height // 8, request.size.width // 8)
        return torch.randn(shape, generator=generator).to(self._check.device, dtype)

    def forward(self, request: ClipRequest) -> Any:
        """One call of the transformer, to be called again and again."""
        transformer = self.pipeline.transformer
        positive, _ = self._encoded(request.prompt, request.negative)
        given = {
            "hidden_states": self.latents(request, self.dtype),
            "timestep": torch.full((1,), 500.0, device=self._check.device),
            "encoder_hidden_states": positive,
            "return_dict": False,
        }

        def call() -> torch.Tensor:
            with torch.inference_mode():
                return transformer(**given)[0]

        return call


@contextmanager
def stock_wan(check: Check, folder: Path) -> Iterator[StockWan]:
    """Loaded while the context lasts."""
    stock = StockWan(check, folder)
    try:
        yield stock
    finally:
        stock.close()


def make_upscaler(blocks: int) -> torch.nn.Module:
    """RRDBNet by 4 with random weights; 23 blocks are x4plus."""
    from spandrel.architectures.ESRGAN.__arch.RRDB import RRDBNet

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return RRDBNet(num_blocks=blocks).eval()


class PlainUpscaler:
    """A frame at a time, as RealESRGANer does it: padded, by way of float32 in numpy."""

    def __init__(self, network: torch.nn.Module, device: str, dtype: torch.dtype) -> None:
        self._network = network.to(device, dtype)
        self._device, self._dtype = device, dtype

    def __call__(self, frame: Frame) -> Frame:
        """By 4."""
        image = frame.astype(np.float32) / 255
        pixels = torch.from_numpy(np.transpose(image, (2, 0, 1))).float()
        batch = pixels.unsqueeze(0).to(self._device).to(self._dtype)
        padded = torch.nn.functional.pad(batch, (0, _PRE_PAD, 0, _PRE_PAD), "reflect")
        with torch.no_grad():
            large = self._network(padded)[:, :, : 4 * frame.shape[0], : 4 * frame.shape[1]]
        values = large.squeeze().float().cpu().clamp_(0, 1).numpy()
        return (np.transpose(values, (1, 2, 0)) * 255.0).round().astype(np.uint8)
