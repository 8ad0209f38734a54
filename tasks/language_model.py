"""The language model of a run: how this machine's settings load it, and where it lay."""

import logging

from infra.adapters.settings import LlmSettings
from pipelines.prompting.llama import LlamaEnhancer, LlamaOptions
from pipelines.schema.storyboard import Storyboard

_log = logging.getLogger("reelwright.enhance")


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
    )


def with_placement(storyboard: Storyboard, llama: LlamaEnhancer) -> Storyboard:
    """Log where the language model lay. If it lay on the CPU beside a GPU, the storyboard that is
    returned says so."""
    _log.info("the language model: %s", llama.placement)
    if not llama.notice:
        return storyboard
    _log.warning(llama.notice)
    return storyboard.model_copy(update={"notices": (*storyboard.notices, llama.notice)})
