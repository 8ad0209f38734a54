"""The language model of a run: how this machine's settings load it, and where it lay."""

import logging
import math
from typing import Literal

from infra.adapters.settings import LlmSettings
from infra.adapters.weights.catalog import MODELS
from infra.adapters.weights.model import EnhancerSettings
from infra.adapters.weights.own_writer import NAME as OWN_WRITER
from pipelines.backends.base import ModelFolder
from pipelines.prompting.gguf_header import has_chat_template
from pipelines.prompting.llama import LlamaEnhancer, LlamaOptions
from pipelines.schema.storyboard import Storyboard

OWN_CONTEXT = 4096
"""Tokens of a model of the operator's own, as for Mistral 7B."""
WantedKind = Literal["auto", "completion", "instruct"]
_log = logging.getLogger("reelwright.enhance")


def writer_settings(folder: ModelFolder, kind: WantedKind) -> EnhancerSettings:
    """How the model is asked: as `kind` says; with `auto`, as the catalog says, or, of one's own,
    whether it has a chat template. Raises WeightsError if its file is no GGUF file."""
    if folder.name != OWN_WRITER:
        known = MODELS[folder.name].enhancer
        assert known is not None
        return known if kind == "auto" else EnhancerSettings(kind, known.context)
    if kind == "auto":
        kind = "instruct" if has_chat_template(folder.path) else "completion"
    return EnhancerSettings(kind, OWN_CONTEXT)


def llama_options(llm: LlmSettings, context: int, device: str) -> LlamaOptions:
    """Options for a model on `device` (`cpu` or `cuda`), whose entry in the catalog gives it a
    context of `context` tokens."""
    return LlamaOptions(
        context=llm.context or context,
        batch=llm.batch,
        threads=llm.threads,
        prompt_threads=llm.prompt_threads,
        gpu_layers=llm.gpu_layers if device == "cuda" else 0,
        flash_attention=llm.flash_attention,
        kv_cache=llm.kv_cache,
        temperature=None if llm.temperature < 0 else llm.temperature,
        prompt_cache=llm.prompt_cache,
        strategy=llm.strategy,
        answer_timeout=llm.timeout,
        storyboard_timeout=llm.storyboard_timeout or math.inf,
    )


def with_placement(storyboard: Storyboard, llama: LlamaEnhancer) -> Storyboard:
    """Log where the language model lay. If it lay on the CPU beside a GPU, the storyboard that is
    returned says so."""
    _log.info("the language model: %s", llama.placement)
    if not llama.notice:
        return storyboard
    _log.warning(llama.notice)
    return storyboard.model_copy(update={"notices": (*storyboard.notices, llama.notice)})
