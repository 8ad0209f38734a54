"""NVIDIA's kernel module, as it tells of itself without CUDA."""

import re
from pathlib import Path

DRIVER = Path("/proc/driver/nvidia/version")
"""It exists while the module is loaded."""


def driver_version(file: Path = DRIVER) -> str:
    """The module's version, such as `580.65.06`; `unknown` where it does not say."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "unknown"
    found = re.search(r"\b\d{3}\.\d+(?:\.\d+)?\b", text)
    return found.group() if found else "unknown"
