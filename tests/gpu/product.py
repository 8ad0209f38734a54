"""All calls into the project: its host, the sessions of its backends, its upscaler.

Only interfaces that every backend has are used (`create`, `open`, `prepare`, `generate`,
`effort`), so that the check survives changes inside them.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from infra.adapters.device import cache, memory
from infra.adapters.device.trial import TrialHost
from infra.adapters.settings import Settings
from pipelines.backends.base import Frame, VideoBackend
from pipelines.backends.measuring import (
    ClipCost,
    GreyMedia,
    measure_clip,
    steps_of,
    trial_request,
)
from pipelines.backends.registry import definitions
from pipelines.backends.wan.random_weights import write_encoder, write_wan
from pipelines.schema.presets import Preset
from pipelines.schema.request import ClipRequest, InputKind
from pipelines.upscaling.network import RealEsrgan, UpscaleOptions
from tests.gpu.check import GB, Check, Result

BACKEND = "wan-t2v-1.3b"
TEXT_MODEL, VACE_MODEL = "t2v-1.3B", "vace-1.3B"
FIRST = ("video_fast", "video_high", "image_fast", "image_high")
"""Presets in the order of their importance; the backend's others follow."""
_LORA = ("lora", "lora_strength", "lora_2", "lora_2_strength")


class CheckHost(TrialHost):
    """This machine with models that were made here, and with a cap on its memory."""

    def __init__(self, check: Check) -> None:
        settings = Settings()
        settings.paths = settings.paths.model_copy(update={"data_dir": check.folder})
        settings.compute = settings.compute.model_copy(
            update={"device": check.device, "dtype": "auto"}
        )
        super().__init__(settings, check.folder)
        self.cap = 0.0
        self.limit(check.scale.cap)

    def limit(self, gigabytes: float) -> None:
        """What may be used from now on, by plans and by the setting that torch is held to."""
        self.cap = gigabytes
        self.settings.compute = self.settings.compute.model_copy(
            update={"gpu_memory_gb": gigabytes}
        )

    def free_bytes(self) -> int:
        """At most what is left of the cap."""
        held = torch.cuda.memory_allocated() if self.device == "cuda" else 0
        return int(min(super().free_bytes(), max(0.0, self.cap * GB - held)))


class Product:
    """Reelwright on models of random weights."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self.definition = definitions()[BACKEND]
        self.host = CheckHost(check)
        self.frames: dict[str, list[Frame]] = {}
        """What each preset made, for the comparison with stock."""

    @property
    def folder(self) -> Path:
        """The text-to-video model."""
        return self._check.folder / TEXT_MODEL

    def write(self, name: str) -> None:
        """Make a model unless it is there."""
        scale = self._check.scale
        path = self._check.folder / name
        if not (path / "model_index.json").exists():
            shape = scale.vace if name == VACE_MODEL else scale.wan
            write_wan(path, shape, self._check.device)

    def write_real_encoder(self) -> None:
        """Put a text encoder of the real size in the place of the small one."""
        from dataclasses import replace

        scale = self._check.scale
        shape = replace(scale.wan, encoder=scale.encoder)
        for file in (self.folder / "text_encoder").iterdir():
            file.unlink()
        write_encoder(self.folder, shape, self._check.device)

    def presets(self) -> list[Preset]:
        """Those of the backend, the most important first."""
        found = {preset.name: preset for preset in self.definition.presets}
        order = [*FIRST, *(name for name in found if name not in FIRST)]
        return [found[name] for name in order]

    def full_steps(self, preset: Preset) -> int:
        """Steps that the preset makes."""
        return steps_of(preset.options)

    def request(
        self, preset: Preset, steps: int, inputs: Iterable[InputKind] = (), **other: Any
    ) -> ClipRequest:
        """A chunk. A preset with a LoRA is measured without: merging it changes no speed."""
        scale = self._check.scale
        request = trial_request(self.definition, preset, steps, inputs)
        options = {key: value for key, value in request.options.items() if key not in _LORA}
        frames = min(request.frames, scale.frames)
        changes = {"options": options, "frames": frames, "size": scale.size or request.size}
        return request.model_copy(update=changes | other)

    def backend(self, request: ClipRequest) -> VideoBackend:
        return self.definition.create(self.host, request.kinds)

    def planned_bytes(self, request: ClipRequest) -> int:
        """What the memory plan says before anything is loaded."""
        cache.release_all()
        self._check.clear()
        return self.backend(request).effort([request]).memory_bytes

    def enforce(self) -> None:
        """As a run does it: torch gets the cap less what our processes hold beside it."""
        if self._check.cuda:
            memory.enforce(self.host.cap)

    def render(self, request: ClipRequest) -> tuple[ClipCost, list[Frame]]:
        """One clip under the host's cap. The models stay loaded."""
        self.enforce()
        with self.backend(request).open() as session:
            session.prepare([request])
            return measure_clip(session, request, GreyMedia(request.size))

    def warm(self, preset: Preset) -> bool:
        """As a warm process gets ready for a preset; False if it compiles nothing for it."""
        scale = self._check.scale
        options = preset.options.model_copy(update={"lora": "", "lora_2": ""})
        request = self.request(preset, 1)
        shape = {"size": scale.size or preset.size, "frames": request.frames, "options": options}
        with self.backend(request).open() as session:
            ready = getattr(session, "warm", None)
            return bool(ready and ready(preset.model_copy(update=shape)))

    def prepare(self, request: ClipRequest) -> None:
        """Encode its texts."""
        self.enforce()
        with self.backend(request).open() as session:
            session.prepare([request])

    def release(self) -> None:
        """Free all models."""
        cache.release_all()
        self._check.clear()

    def upscaler(self, weights: Path, batch: int) -> RealEsrgan:
        """As a run has it on this device."""
        return RealEsrgan(
            weights,
            torch.device(self._check.device),
            UpscaleOptions(dtype=self.upscaler_dtype, batch=batch),
        )

    @property
    def upscaler_dtype(self) -> torch.dtype:
        return torch.float16 if self._check.cuda else torch.float32


def row_of(cost: ClipCost, full: int, planned: int = 0) -> Result:
    """A clip's figures, those of all `full` steps calculated from the ones that were made."""
    whole = cost.with_steps(full)
    row: Result = {
        "measured_steps": cost.steps,
        "steps": full,
        "step_s": round(cost.step, 4),
        "chunk_s": round(whole.seconds, 3),
        "denoise_s": round(whole.denoise, 3),
        "decode_s": round(whole.decode, 3),
        "memory_mode": cost.memory_mode,
    }
    if planned:
        row["plan_gb"] = round(planned / GB, 2)
    if cost.allocated:
        row |= {"allocated_gb": round(cost.allocated / GB, 2)}
        row |= {"reserved_gb": round(cost.reserved / GB, 2)}
        if planned:
            row["off_plan_percent"] = round(100 * (cost.allocated / planned - 1), 1)
    return row


def difference(ours: Iterable[Frame], theirs: Iterable[Frame]) -> Mapping[str, Any]:
    """How far two clips are apart, in steps of 8 bits, and whether they are the same picture.

    The same: at most 1 of 255 on average and 4 for 999 of 1,000 values. Rounding differs by 1;
    a decode in bfloat16 or another attention back-end by some more. `spread` is the standard
    deviation of the reference: near 0 it would be one colour, and the comparison would say nothing.
    """
    mine, other = np.stack(list(ours)).astype(np.int16), np.stack(list(theirs)).astype(np.int16)
    apart = np.abs(mine - other)
    mean, most = float(apart.mean()), float(np.quantile(apart, 0.999))
    return {
        "mean_difference": round(mean, 3),
        "difference_of_999_in_1000": most,
        "largest_difference": int(apart.max()),
        "spread": round(float(other.std()), 2),
        "same_pixels": mean <= 1 and most <= 4,
    }
