"""The stages that decide: the host, the presets beside stock diffusers, memory under caps."""

import importlib
import platform
from collections import Counter

import torch

from tests.gpu.check import GB, Check, Result, is_out_of_memory
from tests.gpu.product import TEXT_MODEL, Product, difference, row_of
from tests.gpu.stock import stock_wan

_LIBRARIES = ("diffusers", "transformers", "accelerate", "spandrel", "numpy", "safetensors")
_SIDE = 8192
"""Of the matrices whose product is timed."""


class Stages:
    """What is measured first. Each stage fills the result it is given."""

    def __init__(self, check: Check, product: Product) -> None:
        self.check, self.product = check, product

    def host(self, result: Result) -> None:
        """Card, versions, architectures that torch was built for, a product in bfloat16."""
        result |= {"python": platform.python_version(), "torch": torch.__version__}
        result["cuda"] = torch.version.cuda
        for name in _LIBRARIES:
            try:
                result[name] = importlib.import_module(name).__version__
            except (ImportError, AttributeError) as error:
                result[name] = f"{type(error).__name__}: {error}"[:80]
        side = _SIDE if self.check.cuda else 64
        matrix = torch.randn(side, side, device=self.check.device, dtype=torch.bfloat16)
        seconds = self.check.repeated(lambda: matrix @ matrix)
        result["bf16_teraflops"] = round(2 * side**3 / seconds / 1e12, 3)
        result["bf16_works"] = bool(torch.isfinite((matrix @ matrix).float()).all())
        if self.check.cuda:
            result |= self._card()

    def _card(self) -> Result:
        card = torch.cuda.get_device_properties(0)
        free, whole = torch.cuda.mem_get_info()
        taken = whole - free - torch.cuda.memory_reserved()
        return {
            "card": card.name,
            "memory_gb": round(card.total_memory / GB, 1),
            "capability": f"{card.major}.{card.minor}",
            "built_for": torch.cuda.get_arch_list(),
            "cudnn": torch.backends.cudnn.version(),
            "conv_tf32": torch.backends.cudnn.allow_tf32,
            "matmul_tf32": torch.backends.cuda.matmul.allow_tf32,
            "taken_by_context_and_others_gb": round(taken / GB, 2),
        }

    def weights(self, result: Result) -> None:
        """Make the text-to-video model, load it through a session, say what lies where."""
        with self.check.measured(result, "write"):
            self.product.write(TEXT_MODEL)
        request = self.product.request(self.product.presets()[0], 1)
        with self.check.measured(result, "first_clip"):
            self.product.render(request)
        sizes: Counter[str] = Counter()
        for file in sorted(self.product.folder.rglob("*.safetensors")):
            sizes[file.parent.name] += file.stat().st_size
        result["files_gb"] = {name: round(size / GB, 3) for name, size in sizes.items()}
        if self.check.cuda:
            result["resident_gb"] = round(torch.cuda.memory_allocated() / GB, 2)

    def presets(self, result: Result) -> None:
        """Seconds a chunk and peak memory of every preset under the cap, as the product has it."""
        self.product.write(TEXT_MODEL)
        plans = {
            preset.name: self.product.planned_bytes(self.product.request(preset, 1))
            for preset in self.product.presets()
        }
        for preset in self.product.presets():
            row = result[preset.name] = {}
            try:
                # Kernels are chosen, and perhaps compiled, at the first call of a shape.
                self.product.render(self.product.request(preset, 1))
                request = self.product.request(preset, self.check.scale.steps)
                cost, frames = self.product.render(request)
                row |= row_of(cost, self.product.full_steps(preset), plans[preset.name])
                row |= {"size": str(request.size), "frames": len(frames)}
                row["decode"] = str(request.options.get("decode", "float32"))
                self.product.frames[preset.name] = frames
            except Exception as error:
                row["error"] = f"{type(error).__name__}: {error}"[:300]
            self.check.save()

    def left(self, result: Result) -> None:
        """What the process keeps after a run, and after its models were freed."""
        if self.check.cuda:
            result["kept_allocated_gb"] = round(torch.cuda.memory_allocated() / GB, 2)
            result["kept_reserved_gb"] = round(torch.cuda.memory_reserved() / GB, 2)
        self.product.release()
        if self.check.cuda:
            result["freed_allocated_gb"] = round(torch.cuda.memory_allocated() / GB, 2)
            result["freed_reserved_gb"] = round(torch.cuda.memory_reserved() / GB, 2)
        result["free_gb"] = round(self.product.host.free_bytes() / GB, 2)

    def stock(self, result: Result) -> None:
        """The same clips by `WanPipeline`, without a cap; whether the pixels are the same."""
        self.product.write(TEXT_MODEL)
        self.product.release()
        with stock_wan(self.check, self.product.folder) as stock:
            for preset in self.product.presets():
                row = result[preset.name] = {}
                try:
                    stock.render(self.product.request(preset, 1))
                    cost, frames = stock.render(
                        self.product.request(preset, self.check.scale.steps)
                    )
                    row |= row_of(cost, self.product.full_steps(preset))
                    if preset.name in self.product.frames:
                        row |= difference(self.product.frames.pop(preset.name), frames)
                except Exception as error:
                    kind = "out of memory" if is_out_of_memory(error) else type(error).__name__
                    row["error"] = f"{kind}: {error}"[:300]
                self.check.clear()
                self.check.save()

    def cap(self, result: Result) -> None:
        """Presets under lower caps: the ladder. Then the first again: does it climb back?"""
        self.product.write(TEXT_MODEL)
        presets = {preset.name: preset for preset in self.product.presets()}
        usual = self.check.scale.cap
        for name, gigabytes in (*self.check.scale.lower_caps, ("video_fast", usual)):
            row = result[f"{name} in {gigabytes:g} GB"] = {}
            try:
                self.product.host.limit(gigabytes)
                request = self.product.request(presets[name], 2)
                planned = self.product.planned_bytes(request)
                cost, _ = self.product.render(request)
                row |= row_of(cost, self.product.full_steps(presets[name]), planned)
            except Exception as error:
                row["error"] = f"{type(error).__name__}: {error}"[:300]
            finally:
                self.product.host.limit(usual)
                self.check.enforce(None)
                self.product.release()
            self.check.save()
