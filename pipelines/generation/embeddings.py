"""Text embeddings, encoded once for each text and kept on disk.

The UMT5 encoder of Wan 2.1 is 11.4 GB in bf16 and must leave the GPU before the transformer
comes; with every text in the cache it is not loaded at all.
"""

import gc
import os
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from pipelines.errors import WeightsError
from pipelines.schema.keys import Digest
from pipelines.schema.plan import digest_of

MAX_TOKENS = 512
"""`WanPipeline.__call__`'s length; `encode_prompt` alone would default to 226 and differ."""


class EmbeddingCache:
    """Embeddings of single texts as files in `folder`, without their padding."""

    def __init__(self, folder: Path, revision: Digest, dtype: torch.dtype) -> None:
        self._folder = folder
        self._revision = revision
        self._dtype = dtype

    def get(self, text: str) -> torch.Tensor | None:
        """1 x MAX_TOKENS x width, zero-padded; None if absent or unreadable."""
        try:
            tokens = load_file(self._path(text))["tokens"]
        except (FileNotFoundError, SafetensorError, KeyError):
            return None
        padded = tokens.new_zeros(1, MAX_TOKENS, tokens.shape[-1])
        padded[0, : tokens.shape[0]] = tokens
        return padded

    def missing(self, texts: Iterable[str]) -> list[str]:
        """Those of `texts` that it lacks, each once."""
        return [text for text in dict.fromkeys(texts) if self.get(text) is None]

    def put(self, text: str, embedding: torch.Tensor) -> None:
        """Keep `embedding` (MAX_TOKENS x width) up to its last token that is not zero."""
        used = embedding.abs().sum(dim=-1).nonzero()
        length = int(used.max()) + 1 if len(used) else 0
        path = self._path(text)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        save_file({"tokens": embedding[:length].cpu().contiguous()}, part)
        part.replace(path)

    def _path(self, text: str) -> Path:
        key = digest_of(["umt5/1", text, self._revision, str(self._dtype), MAX_TOKENS])
        return self._folder / f"{key}.safetensors"


class TextEncoder:
    """UMT5 as WanPipeline uses it, on `device` until `close`.

    Raises WeightsError if it does not load or its embedding table came untied.
    """

    def __init__(self, model: Path, device: torch.device, dtype: torch.dtype) -> None:
        from diffusers import WanPipeline

        from pipelines.generation.quiet import quiet_libraries

        quiet_libraries()
        try:
            pipeline = WanPipeline.from_pretrained(
                model, transformer=None, vae=None, dtype=dtype, local_files_only=True
            )
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise WeightsError(f"the text encoder in {model} does not load: {error}") from error
        encoder = pipeline.text_encoder
        if encoder.shared.weight.data_ptr() != encoder.encoder.embed_tokens.weight.data_ptr():
            raise WeightsError(
                "UMT5's embedding table came untied and every video would be noise; "
                "install the transformers version that constraints.txt pins"
            )
        self._pipeline = pipeline.to(device)

    def encode(self, texts: Iterable[str], cache: EmbeddingCache) -> None:
        """Put the embeddings of `texts` into `cache`."""
        with torch.inference_mode():
            for text in texts:
                embedding, _ = self._pipeline.encode_prompt(
                    text, do_classifier_free_guidance=False, max_sequence_length=MAX_TOKENS
                )
                cache.put(text, embedding[0])

    def close(self) -> None:
        """Free its memory."""
        del self._pipeline
        free_memory()


def free_memory() -> None:
    """Give freed tensors back to the device (and what Python still holds in cycles)."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
