"""Which device and which numbers the models use, and the lock of the device."""

from pathlib import Path

from infra.adapters import disk
from infra.adapters.settings import Settings
from pipelines.errors import SettingsError

_GPU = Path("/dev/nvidia0")


def device_name(settings: Settings) -> str:
    """`cuda` or `cpu`. Raises SettingsError if CUDA is demanded and torch finds no GPU."""
    wanted = settings.compute.device
    if wanted == "cpu":
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        raise SettingsError(
            "REELWRIGHT_DEVICE=cuda, but torch finds no GPU; check the driver or set it to auto"
        )
    return "cpu"


def video_dtype(settings: Settings, device: str) -> str:
    """Numbers of transformers and text encoders."""
    return _either(settings.compute.dtype, device, "bfloat16")


def upscaler_dtype(settings: Settings, device: str) -> str:
    """Numbers of Real-ESRGAN."""
    return _either(settings.upscaler.dtype, device, "float16")


def device_lock(settings: Settings) -> Path:
    """One run at a time: on a GPU for all users of the machine, else for this data directory."""
    if device_name(settings) == "cuda" and _GPU.exists():
        return _GPU
    return disk.make_directory(settings.paths.data_dir) / "device.lock"


def _either(wanted: str, device: str, on_cuda: str) -> str:
    if wanted != "auto":
        return wanted
    return on_cuda if device == "cuda" else "float32"
