"""How this machine's settings load the language model."""

from infra.adapters.settings import LlmSettings
from pipelines.prompting.llama import LlamaOptions


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
        answer_timeout=llm.timeout,
    )
