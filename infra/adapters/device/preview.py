"""A host for estimates: it tells what a backend would get here, and loads nothing, not even torch.

The router asks it, in processes that never use the device. Files are looked at and not proven: the
run proves them before it loads them.
"""

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from infra.adapters.device import choice, memory, nvml
from infra.adapters.remote.host import RemoteHost
from infra.adapters.settings import Settings
from infra.adapters.weights.library import OWN_LORAS, described_model
from pipelines.backends.base import Closable, Compile, Lora, ModelFolder
from pipelines.errors import SettingsError
from pipelines.schema.keys import Digest
from pipelines.schema.memory import GB

Model = TypeVar("Model", bound=Closable)
_UNREAD = Digest("0" * 64)
"""Identity of a LoRA file that was not read. It does not matter for an estimate."""


class PreviewHost(RemoteHost):
    """A BackendHost that can be asked for sizes only."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings

    @cached_property
    def device(self) -> str:
        """`cuda` if the settings allow it and the driver shows the card, else `cpu`."""
        if self._settings.compute.device == "cpu":
            return "cpu"
        return "cuda" if nvml.memory(self._card) else "cpu"

    @property
    def _card(self) -> str:
        named = "gpu" in self._settings.compute.model_fields_set
        return str(self._settings.compute.gpu) if named else choice.visible_card(os.environ)

    @property
    def dtype(self) -> str:
        """`bfloat16` or `float32`."""
        return choice.video_dtype(self._settings, self.device)

    @property
    def compile(self) -> Compile:
        """Nothing is compiled."""
        return "off"

    @property
    def cache_folder(self) -> Path:
        """As that of the run."""
        return self._settings.paths.data_dir / "cache"

    def model(self, name: str) -> ModelFolder:
        """An installed model by its index. Raises WeightsError."""
        return described_model(self._settings.paths.models, name, self.dtype)

    def lora(self, name: str) -> Lora:
        """A LoRA by its name. Raises WeightsError if the catalog has it and it is not installed."""
        own = self._settings.paths.models / OWN_LORAS / f"{name}.safetensors"
        if own.is_file():
            return Lora(name, own, _UNREAD)
        found = self.model(name)
        return Lora(name, found.path, _UNREAD, found.licence)

    def resident(
        self,
        kind: str,
        key: tuple[str, ...],
        load: Callable[[], Model],  # noqa: ARG002 (the interface's)
        need: int,  # noqa: ARG002
    ) -> Model:
        """Raises SettingsError: nothing is loaded for an estimate."""
        raise SettingsError(f"the {kind} {key[0]} was to be loaded for an estimate; report it")

    def release(self, kind: str) -> None:
        """Nothing is loaded."""

    def free_bytes(self) -> int:
        """What a run would find if no other model were loaded."""
        if self.device == "cpu":
            return memory.host_bytes()
        found = nvml.memory(self._card)
        whole = found.total if found else 0
        limit = self._settings.compute.gpu_memory_gb
        return min(whole, int(limit * GB)) if limit else whole

    def room_bytes(self) -> int:
        """The same."""
        return self.free_bytes()

    def stood_in(self, sentence: str) -> None:
        """An estimate makes nothing, so nothing stands in."""
