"""Amounts of memory on which plans, backends and the device's host agree."""

GB = 1_000_000_000
"""Bytes, as the makers of cards and disks count."""
DEVICE_CONTEXT = 500_000_000
"""Bytes of a process's CUDA context where NVML does not tell. It is arithmetic and was not measured
here; contexts of current drivers take 0.3 to 0.6 GB."""
SMALL = 0.05
"""Share of the free memory up to which a model stays that is used for a moment only."""
