"""All models by name, and the sets of them.

Revisions and sizes were read in public sources, since no machine of the authors reaches the hub:
an entry says which. A size only serves messages; what is fetched is what the hub's list says.
"""

import difflib
from collections.abc import Iterable, Mapping

from infra.adapters.weights.catalog_loras import LORAS
from infra.adapters.weights.catalog_others import OTHERS
from infra.adapters.weights.catalog_translators import TRANSLATORS
from infra.adapters.weights.catalog_wan import WAN
from infra.adapters.weights.model import Model, ModelSet
from pipelines.errors import BriefError

MODELS: dict[str, Model] = {model.name: model for model in (*OTHERS, *WAN, *LORAS, *TRANSLATORS)}

DEMO = ModelSet(
    "demo",
    "small models for a CPU; the video model knows 64 things and three shapes, nothing else",
    ("gemma-3-270m", "tiny-wan", "realesr-animevideov3"),
    enhancer="gemma-3-270m",
    upscaler="realesr-animevideov3",
    for_gpu=False,
)
STUDIO = ModelSet(
    "studio",
    "Wan 2.1 1.3B, Mistral 7B and Real-ESRGAN x4plus for the GPU host",
    ("mistral-7b", "t2v-1.3B", "vace-1.3B", "realesrgan-x4plus"),
    enhancer="mistral-7b",
    upscaler="realesrgan-x4plus",
)
MODEL_SETS: Mapping[str, ModelSet] = {item.name: item for item in (DEMO, STUDIO)}


def model_of(name: str) -> Model:
    """The model of that name. Raises BriefError, which suggests a name that is like it."""
    if name in MODELS:
        return MODELS[name]
    raise BriefError(f"model {name!r} is unknown{_suggestion(name, MODELS)}")


def set_models(name: str) -> ModelSet:
    """The set of that name, which says its enhancer and its upscaler. Raises BriefError."""
    if name in MODEL_SETS:
        return MODEL_SETS[name]
    raise BriefError(f"model set {name!r} is unknown{_suggestion(name, MODEL_SETS)}")


def models_of(words: Iterable[str]) -> list[Model]:
    """The models that `words` name, each once; a word is a model or a set of them.

    Raises BriefError for a word that is neither.
    """
    names: list[str] = []
    for word in words:
        if word in MODEL_SETS:
            names += MODEL_SETS[word].models
        elif word in MODELS:
            names.append(word)
        else:
            known = (*MODEL_SETS, *MODELS)
            raise BriefError(f"model or set {word!r} is unknown{_suggestion(word, known)}")
    return [MODELS[name] for name in dict.fromkeys(names)]


def _suggestion(word: str, known: Iterable[str]) -> str:
    """Names differ in case (`t2v-A14B`), which is easily typed wrong."""
    by_folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(word.casefold(), by_folded, n=1)
    if near:
        return f"; did you mean {by_folded[near[0]]}?"
    return "; `reelwright models list` shows them"
