"""Where the suite's models lie: each in its own folder, or in one of the layouts of before."""

from pathlib import Path

from infra.adapters.weights.catalog import MODELS
from infra.adapters.weights.library import state_of


def folder_of(models: Path, name: str) -> Path:
    """The folder of the model `name`, which is installed below `models`."""
    folder = state_of(models, MODELS[name]).folder
    assert folder is not None
    return folder
