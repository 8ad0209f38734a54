"""What `doctor` says about the language model: a real load shows where llama.cpp puts it."""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from infra.adapters.device.choice import device_name
from infra.adapters.settings import Settings
from infra.adapters.weights.catalog import MODELS
from infra.adapters.weights.library import state_of
from infra.adapters.weights.own_writer import NAME as OWN_WRITER
from infra.adapters.weights.own_writer import own_writer
from pipelines.errors import EnhancerError, SettingsError
from pipelines.prompting.llama import LlamaEnhancer, LlamaOptions
from pipelines.prompting.placement import Placement
from pipelines.prompting.tiny_model import CONTEXT, write_tiny_mistral
from tasks.language_model import llama_options, writer_settings

_NO_MEMORY = re.compile(r"out of memory|(?:failed|unable) to allocate", re.IGNORECASE)


@dataclass(frozen=True)
class _Subject:
    """A model to load."""

    name: str
    title: str
    path: Path
    context: int


def examine_llama(settings: Settings) -> str:
    """Load the largest installed language model in a child process, and say where it lies.

    A tiny one stands in if none is installed, or if the memory is too full for the installed one:
    another program may have it, which is no fault of the build.

    Raises SettingsError if there is a GPU and llama.cpp does not use it, or if the model does not
    load.
    """
    device = device_name(settings)
    subject = _own(settings) or _installed(settings.paths.models)
    reason = "no language model is installed"
    if subject:
        try:
            placement = _load(subject, llama_options(settings.llm, subject.context, device))
            return _said(placement, subject.title, settings, device)
        except EnhancerError as error:
            reason = f"there is no memory for {subject.title} now"
            if not _NO_MEMORY.search(str(error)):
                raise SettingsError(_remedy(error, subject.name)) from error
    with tempfile.TemporaryDirectory() as folder:
        tiny = _Subject("", "a tiny one", Path(folder) / "tiny.gguf", CONTEXT)
        write_tiny_mistral(tiny.path)
        try:
            placement = _load(tiny, llama_options(settings.llm, tiny.context, device))
        except EnhancerError as error:
            raise SettingsError(_remedy(error, tiny.name)) from error
    return f"{_said(placement, tiny.title, settings, device)}; {reason}"


def _own(settings: Settings) -> _Subject | None:
    """The model file that the settings name. Raises WeightsError if it is not there."""
    if settings.llm.file is None:
        return None
    found = own_writer(settings.llm.file)
    context = writer_settings(found, settings.llm.kind).context
    return _Subject(found.name, found.title, found.path, context)


def _installed(folder: Path) -> _Subject | None:
    """The largest language model that is installed."""
    found: dict[int, _Subject] = {}
    for model in MODELS.values():
        if model.enhancer is None:
            continue
        state = state_of(folder, model)
        if state.kind == "installed" and state.folder:
            path = state.folder / model.file
            found[state.size] = _Subject(model.name, model.title, path, model.enhancer.context)
    return found[max(found)] if found else None


def _load(subject: _Subject, options: LlamaOptions) -> Placement:
    with LlamaEnhancer(subject.path, subject.title, "instruct", options) as enhancer:
        return enhancer.load()


def _said(placement: Placement, title: str, settings: Settings, device: str) -> str:
    if device == "cuda" and settings.llm.gpu_layers and placement.why_not_on_gpu:
        raise SettingsError(f"there is a GPU, but {placement.why_not_on_gpu}")
    return f"{title}: {placement}"


def _remedy(error: EnhancerError, name: str) -> str:
    if re.search(r"lib(?:cu|nv)\w*\.so", str(error)):
        return (
            f"llama.cpp does not find a library of CUDA: {error}; install the CUDA toolkit that it "
            "was built with, or run: make studio"
        )
    if name == OWN_WRITER:
        return f"{error}; give REELWRIGHT_LLM_FILE another file"
    again = f"reelwright models download {name}" if name else "pip install llama-cpp-python"
    return f"{error}; run again: {again}"
