"""A language model of the operator's own, in place of the catalog's: one GGUF file."""

from pathlib import Path

from infra.adapters.weights.library import own_digest
from pipelines.backends.base import ModelFolder
from pipelines.errors import WeightsError

NAME = "own-writer"
"""In place of a name in the catalog."""


def own_writer(path: Path) -> ModelFolder:
    """The model in the file `path`, hashed once. Raises WeightsError if there is none."""
    if not path.is_file():
        raise WeightsError(
            f"REELWRIGHT_LLM_FILE={path}: there is no such file; name a GGUF file, or leave it "
            "unset for the catalog's language model"
        )
    components = {"file": own_digest(path)}
    return ModelFolder(
        NAME, path.stem, "of your own", path, components, {"file": path.stat().st_size}
    )
