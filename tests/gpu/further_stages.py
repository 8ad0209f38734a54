"""The stages that explain: the decoder, the upscaler, options, anchors, VACE, the text encoder."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import torch

from pipelines.schema.presets import Preset
from pipelines.schema.request import ClipRequest
from tests.gpu.check import Result
from tests.gpu.product import TEXT_MODEL, VACE_MODEL, row_of
from tests.gpu.stages import Stages
from tests.gpu.stock import PlainUpscaler, StockWan, make_upscaler, stock_wan

SHAPES = ("video_fast", "video_high")
_DECODERS = ("float32", "float32 tiled", "bfloat16", "bfloat16 channels-last")
_BACKENDS = ("_native_cudnn", "_native_flash", "_native_efficient", "flash", "_flash_3", "sage")
"""diffusers' names of ways to compute attention, beside `native`, which is torch's own choice."""
ANCHOR_FRAMES, ANCHOR_STEPS = 81, 50
_LEAST_CONTINUED = 9
"""Frames of a chunk of which five are given."""


class FurtherStages(Stages):
    """What is measured if time is left."""

    def decode(self, result: Result) -> None:
        """The bare network in four ways, beside our decode in the way that the plan chose."""
        self.product.write(TEXT_MODEL)
        self.product.release()
        with stock_wan(self.check, self.product.folder) as stock, torch.inference_mode():
            for name in SHAPES:
                row = result[name] = {}
                request = self._request(name)
                exact: torch.Tensor | None = None
                for way in _DECODERS:
                    kind = row[way] = {}
                    try:
                        video = self._decoded(stock, request, way, kind)
                        exact = video if exact is None else exact
                        apart = float((video - exact).abs().max()) * 127.5
                        kind["largest_difference"] = round(apart, 2)
                        del video
                    except RuntimeError as error:
                        kind["error"] = f"{type(error).__name__}: {error}"[:200]
                    self.check.clear()
                self._beside_ours(name, row)
                self.check.save()

    def _decoded(
        self, stock: StockWan, request: ClipRequest, way: str, into: Result
    ) -> torch.Tensor:
        """Decode twice and measure the second time; the picture as float32 on the CPU."""
        dtype = torch.bfloat16 if "bfloat16" in way else torch.float32
        layout = torch.channels_last_3d if "last" in way else torch.contiguous_format
        vae = stock.pipeline.vae.to(dtype)
        for module in vae.modules():
            if isinstance(module, torch.nn.Conv3d):
                module.to(memory_format=layout)
        vae.use_tiling = "tiled" in way
        latents = stock.latents(request, dtype)
        try:
            vae.decode(latents, return_dict=False)
            with self.check.measured(into, "decode"):
                video = vae.decode(latents, return_dict=False)[0]
            return video.float().cpu()
        finally:
            vae.use_tiling = False

    def _beside_ours(self, name: str, row: Result) -> None:
        ours = self.check.results.get("presets", {}).get(name, {})
        mode = str(ours.get("memory_mode", ""))
        way = "float32"
        if "tiled-decode" in mode:
            way = "float32 tiled"
        elif ours.get("decode") == "bfloat16" and self.check.cuda:
            way = "bfloat16"
        bare = row[way].get("decode_s")
        if bare and "decode_s" in ours:
            row["ours"] = {"decode_s": ours["decode_s"], "way": way}
            row["ours"]["over_bare"] = round(ours["decode_s"] / bare, 2)

    def upscale(self, result: Result) -> None:
        """Our upscaler in batches of 1, 2 and 4, beside a frame at a time as RealESRGANer does."""
        self.product.release()
        self.check.enforce(self.product.host.cap)
        network = make_upscaler(self.check.scale.blocks)
        weights = self.check.folder / "upscaler.pth"
        torch.save(network.state_dict(), weights)
        plain = PlainUpscaler(network, self.check.device, self.product.upscaler_dtype)
        for size in self.check.scale.frame_sizes:
            shape = (self.check.scale.upscaled, size.height, size.width, 3)
            frames = list(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
            row = result[str(size)] = {}
            reference = self._upscaled(row, "plain", partial(map, plain, frames))
            for batch in (1, 2, 4):
                with self.product.upscaler(weights, batch) as ours:
                    work = partial(ours.upscale, frames, 4)
                    made = self._upscaled(row, f"batch {batch}", work)
                    row[f"batch {batch}"]["memory"] = str(ours.memory)
                if made is not None and reference is not None:
                    apart = np.abs(made.astype(np.int16) - reference.astype(np.int16))
                    row[f"batch {batch}"]["mean_difference"] = round(float(apart.mean()), 3)
                self.check.save()
        self.check.enforce(None)

    def _upscaled(
        self, row: Result, name: str, work: Callable[[], Iterable[Any]]
    ) -> np.ndarray | None:
        """The last frame; seconds a frame of the second run, the first of each shape is slow."""
        into = row[name] = {}
        try:
            for _ in work():
                pass
            with self.check.measured(into, "all"):
                for frame in work():
                    last = frame
        except Exception as error:
            into["error"] = f"{type(error).__name__}: {error}"[:200]
            return None
        into["frame_s"] = round(into["all_s"] / self.check.scale.upscaled, 4)
        return np.asarray(last)

    def options(self, result: Result) -> None:
        """One forward of the transformer: ways to compute attention."""
        self.product.write(TEXT_MODEL)
        self.product.release()
        with stock_wan(self.check, self.product.folder) as stock:
            transformer = stock.pipeline.transformer
            for name in SHAPES:
                row = result[name] = {}
                forward = stock.forward(self._request(name))
                exact = forward().float()
                row["native_s"] = self.check.repeated(forward)
                for backend in _BACKENDS if self.check.cuda else ("_native_math",):
                    try:
                        transformer.set_attention_backend(backend)
                        row[f"{backend}_s"] = self.check.repeated(forward)
                        apart = (forward().float() - exact).norm() / exact.norm()
                        row[f"{backend}_off"] = round(float(apart), 5)
                    except Exception as error:
                        row[backend] = f"{type(error).__name__}: {error}"[:90]
                    finally:
                        transformer.set_attention_backend("native")
                self.check.save()

    def compiled(self, result: Result) -> None:
        """The presets with their blocks compiled, as a warm process has them."""
        if not self.check.compile:
            result["skipped"] = "left out (--no-compile)"
            return
        self.product.write(TEXT_MODEL)
        for name in SHAPES:
            row = result[name] = {}
            preset = self._preset(name)
            try:
                with self.check.measured(row, "compile"):
                    ready = self.product.warm(preset)
                if not ready:
                    row["skipped"] = "nothing is compiled for this preset here"
                    continue
                cost, _ = self.product.render(self.product.request(preset, self.check.scale.steps))
                row |= row_of(cost, self.product.full_steps(preset))
            except Exception as error:
                row["error"] = f"{type(error).__name__}: {error}"[:300]
            self.check.save()

    def anchor(self, result: Result) -> None:
        """480p, 81 frames, 50 steps, as other projects publish it; from three of the steps."""
        self.product.write(TEXT_MODEL)
        frames = min(ANCHOR_FRAMES, self.check.scale.frames)
        preset = self._preset("video_fast")
        self.product.render(self.product.request(preset, 1, frames=frames))
        cost, _ = self.product.render(self.product.request(preset, 3, frames=frames))
        result |= row_of(cost, ANCHOR_STEPS) | {"frames": frames}

    def vace(self, result: Result) -> None:
        """A chunk that goes on from the one before: VACE encodes given frames and denoises."""
        self.product.release()
        self.product.write(TEXT_MODEL)  # encodes the texts
        self.product.write(VACE_MODEL)
        for name in SHAPES:
            row = result[name] = {}
            preset = self._preset(name)
            frames = max(_LEAST_CONTINUED, min(preset.frames, self.check.scale.frames))
            given = partial(self.product.request, preset, inputs=["continuation"], frames=frames)
            try:
                request = given(2)
                planned = self.product.planned_bytes(request)
                self.product.render(given(1))
                cost, _ = self.product.render(request)
                row |= row_of(cost, self.product.full_steps(preset), planned)
                row["encode_s"] = round(cost.denoise - cost.step * cost.steps, 3)
            except Exception as error:
                row["error"] = f"{type(error).__name__}: {error}"[:300]
            self.check.save()

    def text(self, result: Result) -> None:
        """UMT5 at its real size, through a session: load, encode, free."""
        self.product.release()
        self.product.write(TEXT_MODEL)
        self.product.write_real_encoder()
        preset = self.product.presets()[0]
        for number in (1, 2):
            request = self.product.request(preset, 1, prompt=f"a red ball, take {number}")
            with self.check.measured(result, f"prepare_{number}"):
                self.product.prepare(request)

    def _request(self, name: str) -> ClipRequest:
        return self.product.request(self._preset(name), 1)

    def _preset(self, name: str) -> Preset:
        return next(item for item in self.product.presets() if item.name == name)
