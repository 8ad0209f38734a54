"""Where llama.cpp put a language model: layers and bytes on each device."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

_CPU = "CPU"
"""What llama.cpp calls the processor; every other device is a GPU, such as `CUDA0`."""


@dataclass(frozen=True)
class Placement:
    """What llama.cpp itself said when it loaded a model."""

    layers: Mapping[str, int]
    """Layers by device, the output layer included."""
    sizes: Mapping[str, int]
    """Bytes by buffer: weights, context and workspace. A GPU's buffer has the GPU's name."""
    devices: Mapping[str, str]
    """Titles of the GPUs that llama.cpp found, by name."""
    has_cuda: bool
    """Whether llama.cpp is built with CUDA."""
    seconds: float
    """Wall seconds of the loading."""
    complaint: str = ""
    """The first error that llama.cpp logged, if it logged one."""

    @classmethod
    def of(cls, report: Mapping[str, Any]) -> Self:
        """The placement in the child's first response. Raises KeyError if it is not in there."""
        return cls(
            layers=report["layers"],
            sizes=report["sizes"],
            devices=report["devices"],
            has_cuda=report["has_cuda"],
            seconds=report["seconds"],
            complaint=report["complaint"],
        )

    @property
    def total(self) -> int:
        """Layers of the model."""
        return sum(self.layers.values())

    @property
    def on_gpu(self) -> int:
        """Layers that lie on a GPU."""
        return self.total - self.layers.get(_CPU, 0)

    @property
    def gpu_bytes(self) -> int:
        """Bytes on GPUs: weights, context and workspace, without the driver's own context."""
        return sum(self.sizes.get(name, 0) for name in self.layers if name != _CPU)

    @property
    def why_not_on_gpu(self) -> str:
        """Why no layer is on a GPU although one was asked for, and the remedy. Empty if some
        are."""
        if self.on_gpu:
            return ""
        if not self.has_cuda:
            return "llama.cpp is built without CUDA; run: make studio"
        cause = f" ({self.complaint})" if self.complaint else ""
        return (
            f"llama.cpp could not use the GPU{cause}; look at the driver with nvidia-smi, then "
            "run: make studio"
        )

    def __str__(self) -> str:
        where = ", ".join(
            f"{count} of {self.total} layers on {self._title(name)}"
            for name, count in self.layers.items()
        )
        return f"{where}, loaded in {self.seconds:.1f} s"

    def _title(self, name: str) -> str:
        if name not in self.devices:
            return name
        return f"{name} ({self.devices[name]}, {self.sizes.get(name, 0) / 1e6:,.0f} MB)"
