"""Installed model sets: finding them, and proving them before they are loaded."""

from dataclasses import dataclass
from pathlib import Path

from infra.adapters.weights.catalog import MODEL_SETS, Model, ModelSet, Role
from infra.adapters.weights.index import Index, check_files, read_index
from pipelines.errors import WeightsError


@dataclass(frozen=True)
class Installed:
    """A model that lies complete on disk."""

    model: Model
    folder: Path
    index: Index

    @property
    def path(self) -> Path:
        """What its loader takes: the file, or the folder of several."""
        return self.folder / self.model.file if self.model.file else self.folder

    def check(self) -> None:
        """Raises WeightsError if a file is not the one that was installed."""
        try:
            check_files(self.folder, self.index)
        except WeightsError as error:
            raise WeightsError(f"{error}; {_remedy(self.folder.parent.name)}") from error


@dataclass(frozen=True)
class InstalledSet:
    """A complete model set."""

    model_set: ModelSet
    writer: Installed
    video: Installed
    upscaler: Installed
    extender: Installed | None
    """Only if it was asked for."""


def folder_of(models: Path, model_set: str, role: Role) -> Path:
    """Where a role's files lie below the models directory."""
    return models / model_set / role


def installed_set(models: Path, name: str, *, extends: bool = False) -> InstalledSet:
    """The set `name` below `models`, its files proven; the extender only if it `extends`.

    Raises WeightsError if a model is missing or a file is not what it was.
    """
    model_set = MODEL_SETS[name]
    found: dict[Role, Installed] = {}
    for model in model_set.models:
        if model.role == "extender" and not extends:
            continue
        folder = folder_of(models, name, model.role)
        index = read_index(folder)
        if index is None:
            raise WeightsError(
                f"the {model.role} ({model.name}) of the {name} models is not installed in "
                f"{models}; {_remedy(name)}"
            )
        found[model.role] = Installed(model, folder, index)
        found[model.role].check()
    return InstalledSet(
        model_set, found["writer"], found["video"], found["upscaler"], found.get("extender")
    )


def _remedy(name: str) -> str:
    return f"run: reelwright models download {name}"
