"""What this machine gives to a backend on its device."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from infra.adapters.device import cache, choice, memory
from infra.adapters.remote.host import Access, RemoteHost
from infra.adapters.settings import Settings
from infra.adapters.weights.library import installed_lora, installed_model
from pipelines.backends.base import Closable, Compile, Lora, ModelFolder
from pipelines.errors import SettingsError
from pipelines.schema.memory import SMALL

Model = TypeVar("Model", bound=Closable)
_log = logging.getLogger("reelwright.device")


class DeviceHost(RemoteHost):
    """A BackendHost over the settings of this machine. Models are looked up when they are named."""

    def __init__(self, settings: Settings, access: Access | None = None) -> None:
        super().__init__(access)
        self.settings = settings
        self.notices: list[str] = []
        """What stood in for something, each once."""
        self._models: dict[str, ModelFolder] = {}

    @cached_property
    def chosen(self) -> choice.Device:
        """The device, and why it is the CPU. Raises SettingsError if it must be a GPU."""
        return choice.choose(self.settings)

    @property
    def device(self) -> str:
        """`cuda` or `cpu`."""
        return self.chosen.kind

    @property
    def dtype(self) -> str:
        """`bfloat16` or `float32`."""
        return choice.video_dtype(self.settings, self.device)

    @property
    def compile(self) -> Compile:
        """The setting; `off` on a CPU, where a compilation takes longer than it saves."""
        return self.settings.compute.compile if self.device == "cuda" else "off"

    @property
    def cache_folder(self) -> Path:
        """For what can be made again."""
        return self.settings.paths.data_dir / "cache"

    def model(self, name: str) -> ModelFolder:
        """An installed model, its files proven once for each run. Raises WeightsError."""
        if name not in self._models:
            self._models[name] = installed_model(self.settings.paths.models, name, self.dtype)
        return self._models[name]

    def lora(self, name: str) -> Lora:
        """An installed LoRA. Raises WeightsError."""
        return installed_lora(self.settings.paths.models, name)

    def resident(
        self, kind: str, key: tuple[str, ...], load: Callable[[], Model], need: int
    ) -> Model:
        """A loaded model; models of other kinds go first if `need` bytes are not free."""
        if not cache.is_resident(kind, key):
            cache.release(kind)
            if need > self.free_bytes():
                cache.release_all()
        if self.device == "cuda":
            # For a loaded model too: a small language model may have come since, and stays.
            memory.enforce(self.settings.compute.gpu_memory_gb)
        return cache.resident(kind, key, load)

    @contextmanager
    def lent(
        self,
        kind: str,
        key: tuple[str, ...],
        load: Callable[[], Model],
        need: int,
        *,
        beside: int = 0,
    ) -> Iterator[Model]:
        """A model in a process of its own that is used for a moment: it stays afterwards only if it
        is small. What torch has in reserve is given back first, since that process cannot use it.

        It takes `need` bytes of the device, and `beside` a GPU so many of the host's memory.
        """
        try:
            model = self.resident(kind, key, load, need)
            if self.device == "cuda" and need:
                memory.give_back()
                memory.count_child(kind, need)
            yield model
        finally:
            if need > SMALL * self.free_bytes() or beside > SMALL * memory.host_bytes():
                cache.release(kind)

    def release(self, kind: str) -> None:
        """Free what is loaded as `kind`."""
        cache.release(kind)

    def free_bytes(self) -> int:
        """Bytes that can be had on the device now, within REELWRIGHT_GPU_MEMORY_GB on a GPU."""
        if self.device == "cuda":
            return memory.account(self.settings.compute.gpu_memory_gb).available
        return memory.host_bytes()

    def room_bytes(self) -> int:
        """Bytes that can be had once the models that are loaded now have gone. On a CPU that is
        what is free: the kernel does not tell which part of the process is models."""
        if self.device != "cuda":
            return self.free_bytes()
        import torch

        return self.free_bytes() + int(torch.cuda.memory_allocated())

    def stood_in(self, sentence: str) -> None:
        """Log it, and keep it for the page and the manifest of the run."""
        _log.warning(sentence)
        if sentence not in self.notices:
            self.notices.append(sentence)


class NoDeviceHost(RemoteHost):
    """A BackendHost for a run that may not touch the device, its weights or its lock."""

    def __init__(self, settings: Settings, access: Access | None = None) -> None:
        super().__init__(access)
        self._settings = settings

    @property
    def device(self) -> str:
        """There is none. Raises SettingsError."""
        raise _no_device("the device")

    @property
    def dtype(self) -> str:
        """There is none. Raises SettingsError."""
        raise _no_device("the device's numbers")

    @property
    def compile(self) -> Compile:
        """There is no device to compile for."""
        return "off"

    @property
    def cache_folder(self) -> Path:
        """For what can be made again."""
        return self._settings.paths.data_dir / "cache"

    def model(self, name: str) -> ModelFolder:
        """Raises SettingsError."""
        raise _no_device(f"the model {name}")

    def lora(self, name: str) -> Lora:
        """Raises SettingsError."""
        raise _no_device(f"the LoRA {name}")

    def resident(
        self,
        kind: str,
        key: tuple[str, ...],
        load: Callable[[], Model],  # noqa: ARG002 (the interface's)
        need: int,  # noqa: ARG002
    ) -> Model:
        """Raises SettingsError."""
        raise _no_device(f"the {kind} {key[0]}")

    def release(self, kind: str) -> None:
        """Nothing is loaded."""

    def free_bytes(self) -> int:
        """Nothing is free."""
        return 0

    def room_bytes(self) -> int:
        """There is no room either."""
        return 0

    def stood_in(self, sentence: str) -> None:
        """Raises SettingsError."""
        raise _no_device(f"a place for the warning that {sentence}")


def _no_device(what: str) -> SettingsError:
    return SettingsError(
        f"{what} was asked for in a run without a device; its backend must say location='device' "
        "in its capabilities"
    )
