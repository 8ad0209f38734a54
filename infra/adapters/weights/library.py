"""Installed model sets: finding them, and proving them before they are loaded."""

from dataclasses import dataclass
from pathlib import Path

from infra.adapters.weights.catalog import MODEL_SETS, ROLES, Model, ModelSet, Role
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

    @property
    def all(self) -> tuple[Installed, ...]:
        return (self.writer, self.video, self.upscaler)


def folder_of(models: Path, model_set: str, role: Role) -> Path:
    """Where a role's files lie below the models directory."""
    return models / model_set / role


def installed_set(models: Path, name: str) -> InstalledSet:
    """The set `name` below `models`, its files proven.

    Raises WeightsError if a model is missing or a file is not what it was.
    """
    model_set = MODEL_SETS[name]
    found: dict[Role, Installed] = {}
    for role in ROLES:
        folder = folder_of(models, name, role)
        index = read_index(folder)
        if index is None:
            raise WeightsError(f"the {name} models are not installed in {models}; {_remedy(name)}")
        found[role] = Installed(model_set.model(role), folder, index)
        found[role].check()
    return InstalledSet(model_set, found["writer"], found["video"], found["upscaler"])


def _remedy(name: str) -> str:
    return f"run: reelwright models download {name}"
