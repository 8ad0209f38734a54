"""Installed models: finding them, and proving them before they are loaded."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from infra.adapters.weights.adopt import own_fault
from infra.adapters.weights.catalog import MODELS, model_of
from infra.adapters.weights.index import (
    Index,
    Journal,
    check_files,
    read_index,
    record_of,
    size_fault,
    unindexed_quantised,
)
from infra.adapters.weights.model import Model
from pipelines.backends.base import Lora, ModelFolder
from pipelines.errors import WeightsError
from pipelines.schema.keys import Digest

OWN_LORAS = "loras"
"""Folder below the models directory for LoRA files of the user's own."""
_OWN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
StateKind = Literal["installed", "unchecked", "incomplete", "missing"]


@dataclass(frozen=True)
class State:
    """How far a model is there, as far as names and sizes tell; nothing was hashed."""

    kind: StateKind
    """`unchecked`: complete, but put there by somebody else and not yet hashed."""
    folder: Path | None = None
    size: int = 0
    """Bytes on disk, if it is installed."""
    fault: str = ""


def place_of(models: Path, model: Model) -> tuple[Path, Index] | None:
    """The first of its folders below `models` that has an index. Raises WeightsError if that
    cannot be read."""
    for name in model.folders:
        folder = models / name
        if index := read_index(folder):
            return folder, index
    return None


def installed_model(models: Path, name: str, dtype: str = "bfloat16") -> ModelFolder:
    """The model `name` below `models`, its files proven, for a run that computes in `dtype`.

    In float32, components that are stored as 16-bit copies have an identity of their own: their
    pixels are not those of the float32 weights.

    Raises WeightsError if it is not installed or a file is not what it was, BriefError if the
    catalog has no such name.
    """
    model = model_of(name)
    try:
        folder, index = _proven(models, model)
    except WeightsError as error:
        raise WeightsError(f"{error}; {_remedy(name)}") from error
    return _folder_of(model, folder, index, dtype)


def described_model(models: Path, name: str, dtype: str = "bfloat16") -> ModelFolder:
    """As `installed_model`, but by names and sizes alone: for an estimate, not to be loaded."""
    model = model_of(name)
    state, found = state_of(models, model), place_of(models, model)
    if state.kind != "installed" or found is None:
        fault = f": {state.fault}" if state.fault else ""
        raise WeightsError(
            f"{model.title} ({model.name}) is not installed in {models}{fault}; {_remedy(name)}"
        )
    return _folder_of(model, *found, dtype)


def _folder_of(model: Model, folder: Path, index: Index, dtype: str) -> ModelFolder:
    if model.file:
        record = index.files[model.file]
        components, sizes = {"file": record.sha256}, {"file": record.size}
        path = folder / model.file
    else:
        exact = dtype == "float32"
        found = index.components_as_they_lie(folder) if exact else index.components()
        components, sizes, path = dict(found), dict(index.sizes()), folder
    return ModelFolder(model.name, model.title, model.licence, path, components, sizes)


def require_models(models: Path, names: Iterable[str]) -> None:
    """Raises WeightsError if several of these models are absent, with one command for all of them.

    A single one is left to `installed_model`, whose message says more.
    """
    absent = [name for name in dict.fromkeys(names) if name in MODELS]
    absent = [name for name in absent if state_of(models, MODELS[name]).kind == "missing"]
    if len(absent) > 1:
        listed = ", ".join(f"{MODELS[name].title} ({name})" for name in absent)
        raise WeightsError(f"{listed} are not installed in {models}; {_remedy(' '.join(absent))}")


def installed_lora(models: Path, name: str) -> Lora:
    """The LoRA `name` below `models`, its file proven: one of the catalog, or the user's own
    `loras/<name>.safetensors`.

    Raises WeightsError if it is not there or not what it was.
    """
    own = models / OWN_LORAS / f"{name}.safetensors"
    if name not in MODELS and _OWN_NAME.match(name) and own.is_file():
        return Lora(name, own, own_digest(own))
    if name not in MODELS or MODELS[name].role != "lora":
        known = ", ".join(item.name for item in MODELS.values() if item.role == "lora")
        raise WeightsError(
            f"there is no LoRA {name!r}: choose one of {known}, or put a file of your own at {own}"
        )
    found = installed_model(models, name)
    return Lora(name, found.path, found.components["file"], found.licence)


def installed_names(models: Path) -> list[str]:
    """Models of the catalog that are installed; nothing is hashed. A damaged index counts as not
    installed."""
    return [name for name, model in MODELS.items() if state_of(models, model).kind == "installed"]


def state_of(models: Path, model: Model) -> State:
    """How far `model` is there. Looks at names and sizes only."""
    try:
        found = place_of(models, model)
    except WeightsError as error:
        return State("incomplete", fault=str(error))
    if found:
        folder, index = found
        for name, record in index.lying(folder).items():
            if fault := size_fault(folder / name, record.size):
                return State("incomplete", folder, fault=f"{name} {fault}")
        return State("installed", folder, index.size)
    begun: State | None = None
    for folder in [models / name for name in model.folders if (models / name).is_dir()]:
        fault = own_fault(model, folder)
        if not fault:
            return State("unchecked", folder)
        if any(folder.iterdir()):
            begun = begun or State("incomplete", folder, fault=fault)
    return begun or State("missing")


def _proven(models: Path, model: Model) -> tuple[Path, Index]:
    found = place_of(models, model)
    if found is None:
        state = state_of(models, model)
        if state.kind == "unchecked":
            raise WeightsError(
                f"{model.title} ({model.name}) lies in {state.folder}, but was not checked yet"
            )
        raise WeightsError(f"{model.title} ({model.name}) is not installed in {models}")
    folder, index = found
    if model.file and model.file not in index.files:
        raise WeightsError(f"{folder} holds no {model.file}")
    check_files(folder, index)
    if added := unindexed_quantised(folder, index):
        raise WeightsError(f"{folder / added[0]} was added and is in no index yet")
    return folder, index


def own_digest(path: Path) -> Digest:
    """Its sha256; a file that did not change is not read again."""
    journal = Journal(path.parent)
    record = journal.get(path.name)
    if record is None:
        record = record_of(path)
        try:
            journal.add(path.name, record)
        except OSError:
            return record.sha256  # a folder that we may not write to is hashed again next time
    return record.sha256


def _remedy(name: str) -> str:
    return f"run: reelwright models download {name}"
