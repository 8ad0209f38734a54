"""A language model of the operator's own, in place of the catalog's: one GGUF file."""

from pathlib import Path
from typing import Literal

from infra.adapters.weights.catalog import MODELS
from infra.adapters.weights.library import own_digest
from infra.adapters.weights.model import EnhancerSettings
from pipelines.backends.base import ModelFolder
from pipelines.errors import WeightsError
from pipelines.prompting.gguf_header import has_chat_template

NAME = "own-writer"
"""In place of a name in the catalog."""
CONTEXT = 4096
"""Tokens, as for Mistral 7B."""
WantedKind = Literal["auto", "completion", "instruct"]


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


def writer_settings(folder: ModelFolder, kind: WantedKind) -> EnhancerSettings:
    """How the model is asked: as `kind` says; with `auto`, as the catalog says, or, of one's own,
    whether it has a chat template. Raises WeightsError if its file is no GGUF file."""
    if folder.name != NAME:
        known = MODELS[folder.name].enhancer
        assert known is not None
        return known if kind == "auto" else EnhancerSettings(kind, known.context)
    if kind == "auto":
        kind = "instruct" if has_chat_template(folder.path) else "completion"
    return EnhancerSettings(kind, CONTEXT)
