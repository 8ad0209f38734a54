"""Which device and which numbers the models use, and the lock of the device."""

import os
import subprocess
import sys
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from infra.adapters import disk
from infra.adapters.device import nvml
from infra.adapters.settings import ComputeSettings, Settings
from pipelines.backends.driver import DRIVER
from pipelines.errors import SettingsError

_VISIBLE, _ORDER = "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"
_DEVICES = Path("/dev")
_HIDDEN = ("", "-1")
"""Values of CUDA_VISIBLE_DEVICES that hide every card."""
_PARTS = (
    f"nvidia-smi -L lists the MIG devices: set {_VISIBLE} to one, and leave REELWRIGHT_GPU unset"
)
_PROBE = "import sys, torch; sys.exit(0 if torch.cuda.is_available() else 3)"
_PROBE_SECONDS = 300.0
"""A busy host has taken 85 s to load torch; a broken driver may never answer."""


@dataclass(frozen=True)
class Device:
    """The device of this process."""

    kind: Literal["cuda", "cpu"]
    reason: str = ""
    """Why it is the CPU; empty on a GPU."""


def choose(settings: Settings) -> Device:
    """The device that the settings and the machine give. No CUDA context is made.

    Raises SettingsError if a GPU is demanded, by REELWRIGHT_DEVICE=cuda or by naming one with
    REELWRIGHT_GPU, and torch finds none.
    """
    compute = settings.compute
    if compute.device == "cpu":
        return Device("cpu", "REELWRIGHT_DEVICE=cpu")
    import torch

    see_one_card(compute, os.environ)
    if torch.cuda.is_available():
        return Device("cuda")
    reason = f"torch finds no GPU: {_why_none(os.environ, torch.version.cuda or '')}"
    if compute.device == "cuda" or _is_named(compute):
        named = f"REELWRIGHT_GPU={compute.gpu}" if _is_named(compute) else "REELWRIGHT_DEVICE=cuda"
        raise SettingsError(
            f"{named}, but {reason}; repair that, or set REELWRIGHT_DEVICE=cpu to work without"
        )
    return Device("cpu", reason)


def device_name(settings: Settings) -> str:
    """`cuda` or `cpu`. Raises SettingsError as `choose`."""
    return choose(settings).kind


def see_one_card(compute: ComputeSettings, environment: MutableMapping[str, str]) -> None:
    """Let this process and its children see one card only, by the variables that CUDA reads when
    it starts: llama.cpp would spread a model over all cards that it sees.

    It is the card of REELWRIGHT_GPU. Without that, the first one of a CUDA_VISIBLE_DEVICES that is
    set already, else card 0. Numbers are those of nvidia-smi, whatever CUDA_DEVICE_ORDER said: NVML
    counts so too, which tells the lock and the memory of the card.
    """
    if compute.device == "cpu":
        return
    # CUDA itself would count the fastest card first.
    environment[_ORDER] = "PCI_BUS_ID"
    environment[_VISIBLE] = str(compute.gpu) if _is_named(compute) else visible_card(environment)


def visible_card(environment: Mapping[str, str]) -> str:
    """The first entry of CUDA_VISIBLE_DEVICES: an index, or the UUID of a card or of a MIG device;
    empty if it hides all cards."""
    return environment.get(_VISIBLE, "0").split(",")[0].strip()


def require_gpu(settings: Settings) -> None:
    """Raises SettingsError as `choose`, without loading torch into this process.

    A worker calls it before it takes runs, which would all fail.
    """
    compute = settings.compute
    if compute.device == "cpu" or not (compute.device == "cuda" or _is_named(compute)):
        return
    probe = [sys.executable, "-c", _PROBE]
    try:
        done = subprocess.run(probe, capture_output=True, check=False, timeout=_PROBE_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise SettingsError(
            f"CUDA does not start within {_PROBE_SECONDS:g} s; see nvidia-smi"
        ) from error
    if done.returncode != 0:
        choose(settings)


def video_dtype(settings: Settings, device: str) -> str:
    """Numbers of transformers and text encoders."""
    return _either(settings.compute.dtype, device, "bfloat16")


def upscaler_dtype(settings: Settings, device: str) -> str:
    """Numbers of Real-ESRGAN."""
    return _either(settings.upscaler.dtype, device, "float16")


def device_lock(settings: Settings) -> Path:
    """One run at a time on a device. On a GPU, the file of that card, which all users of the
    machine share; where there is none, for a MIG device, whose card has others, and on a CPU, a
    file in this data directory."""
    folder = disk.make_directory(settings.paths.data_dir)
    if device_name(settings) != "cuda":
        return folder / "device.lock"
    entry = visible_card(os.environ)
    found = nvml.card(entry)
    number = str(found.minor) if found else entry
    file = _DEVICES / f"nvidia{number}"
    if number.isdigit() and file.exists():
        return file
    # Drivers before R470 named a MIG device MIG-GPU-<uuid>/<instance>/<instance>.
    return folder / f"device-{entry.replace('/', '-')}.lock"


def _is_named(compute: ComputeSettings) -> bool:
    """Whether REELWRIGHT_GPU is set, be it to its default."""
    return "gpu" in compute.model_fields_set


def _why_none(environment: Mapping[str, str], built_for: str) -> str:
    """Why torch finds no GPU. `built_for` is the version of CUDA that torch was built with, or
    empty."""
    entry = visible_card(environment)
    if not built_for:
        return "this torch is built without CUDA; install the one that constraints.txt pins"
    if entry in _HIDDEN:
        return f"{_VISIBLE}={entry} hides it"
    if not DRIVER.exists():
        return "no NVIDIA driver is loaded (nvidia-smi)"
    if entry.startswith(nvml.MIG):
        return f"{_VISIBLE} names the MIG device {entry}, and CUDA has none of that name; {_PARTS}"
    if nvml.is_split(entry):
        return (
            f"the card {entry} is in MIG mode, and CUDA finds no part of it; {_PARTS}; or end that "
            f"mode with nvidia-smi -i {entry} -mig 0"
        )
    number = nvml.count()
    if number is not None and entry.isdigit() and int(entry) >= number:
        return f"the number {entry} is asked for, and this machine has {number}, counted from 0"
    # A driver serves every CUDA of its own major version and of older ones (NVIDIA's "CUDA
    # Compatibility"), so one from before it is the usual cause, though nvidia-smi works with it.
    return (
        f"the driver is loaded, but CUDA {built_for} does not start: nvidia-smi must show a CUDA "
        f"version of {built_for.partition('.')[0]}.0 or newer, or the driver is too old"
    )


def _either(wanted: str, device: str, on_cuda: str) -> str:
    if wanted != "auto":
        return wanted
    return on_cuda if device == "cuda" else "float32"
