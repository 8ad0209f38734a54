"""Translation models: MarianMT of the University of Helsinki, into English, on the CPU.

They read one sentence at a time and are at their best with short, plain ones. `translator-<code>`
is for one language, `translator-mul` for about 120 others, less well.
"""

from infra.adapters.weights.model import HubSource, Model

_FILES = (
    "config.json",
    "generation_config.json",
    "pytorch_model.bin",  # the only weights on the main branch; nothing but tensors is read of it
    "source.spm",
    "target.spm",
    "tokenizer_config.json",
    "vocab.json",
)


def _marian(code: str, languages: str, size: int) -> Model:
    return Model(
        f"translator-{code}",
        "translator",
        f"OPUS-MT, {languages} to English",
        "Apache-2.0",  # the repositories' pages
        HubSource(f"Helsinki-NLP/opus-mt-{code}-en", _FILES),
        size=size,
        memory="none on the GPU; a process of 1 GB that ends when it has translated",
    )


TRANSLATORS: tuple[Model, ...] = (
    _marian("th", "Thai", 304_000_000),  # as transformers' documents say of all of them
    _marian("ja", "Japanese", 307_000_000),  # the repository's page
    _marian("mul", "120 languages", 312_000_000),  # as the first
)
