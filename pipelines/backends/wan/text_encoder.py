"""Text embeddings of Wan's UMT5, encoded once for each text and kept on disk.

The UMT5 encoder is 11.4 GB in bf16 and must leave the GPU before the transformer comes; with
every text in the cache it is not loaded at all.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from pipelines.backends.base import ENCODED_ON_CPU, TEXT_ENCODER, BackendHost, ModelFolder
from pipelines.backends.checkpoint import bytes_on_device
from pipelines.backends.checks import loads
from pipelines.backends.memory import free_memory, run_with_less
from pipelines.backends.wan.footprint import ENCODING
from pipelines.backends.wan.loading import LOAD_ERRORS
from pipelines.backends.wan.variants import MAX_TOKENS as MAX_TOKENS
from pipelines.errors import GenerationError, WeightsError
from pipelines.schema.keys import Digest
from pipelines.schema.memory import SMALL
from pipelines.schema.request import ClipRequest


class EmbeddingCache:
    """Embeddings of single texts as files in `folder`, without their padding."""

    def __init__(
        self, folder: Path, text_encoder: Digest, tokenizer: Digest, dtype: torch.dtype
    ) -> None:
        """`text_encoder` and `tokenizer` are the digests of the components that encode."""
        self._folder = folder
        self._encoder = ["umt5/2", text_encoder, tokenizer, str(dtype), MAX_TOKENS]

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
        key = hashlib.sha256(json.dumps([*self._encoder, text]).encode()).hexdigest()
        return self._folder / f"{key}.safetensors"


class TextEncoder:
    """UMT5 as WanPipeline uses it, on `device` until `close`.

    Raises WeightsError if it does not load or its embedding table came untied.
    """

    def __init__(self, model: Path, device: torch.device, dtype: torch.dtype) -> None:
        from diffusers import WanPipeline

        from pipelines.backends.quiet import quiet_libraries

        quiet_libraries()
        try:
            # Through WanPipeline also where the folder is another pipeline's: they all encode
            # alike, and this class takes the tokenizer exactly as it was saved.
            pipeline = WanPipeline.from_pretrained(
                model,
                transformer=None,
                transformer_2=None,
                vae=None,
                dtype=dtype,
                local_files_only=True,
            )
        except LOAD_ERRORS as error:
            raise loads(error, f"the text encoder in {model}") from error
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
        self._pipeline = None
        free_memory()


def encode_texts(host: BackendHost, model: ModelFolder, texts: Iterable[str]) -> EmbeddingCache:
    """A cache that holds all of `texts`; `model`'s encoder is loaded only if one is missing.

    It leaves the device again unless it is small. If the device has too little memory for it, it
    works on the CPU. Raises WeightsError if it does not load.
    """
    dtype = getattr(torch, host.dtype)
    digests = (model.component("text_encoder"), model.component("tokenizer"))
    cache = EmbeddingCache(host.cache_folder / "embeddings", *digests, dtype)
    missing = cache.missing(texts)
    if missing:
        _encode(host, model, missing, cache)
    return cache


def embeddings_of(
    host: BackendHost, model: ModelFolder, request: ClipRequest
) -> tuple[torch.Tensor, torch.Tensor]:
    """The prompt's and the negative words' embeddings, each 1 x MAX_TOKENS x width.

    Raises as `encode_texts`, and GenerationError if one is gone from the cache at once.
    """
    texts = [request.prompt, request.negative]
    cache = encode_texts(host, model, texts)
    positive, negative = (cache.get(text) for text in texts)
    if positive is None or negative is None:
        raise GenerationError("a text embedding vanished from the cache; make the video again")
    return positive, negative


def _encode(host: BackendHost, model: ModelFolder, texts: list[str], cache: EmbeddingCache) -> None:
    weights = encoder_bytes(model, host.dtype)
    devices = list(dict.fromkeys([host.device, "cpu"]))

    def work() -> None:
        device = devices[0]
        key = (model.component("text_encoder"), model.component("tokenizer"), host.dtype, device)
        need = int(ENCODING * weights) if device == host.device else 0
        encoder = host.resident(
            TEXT_ENCODER,
            key,
            lambda: TextEncoder(model.path, torch.device(device), getattr(torch, host.dtype)),
            need,
        )
        # What an attempt that ran out of memory had finished is not encoded again.
        encoder.encode(cache.missing(texts), cache)

    def step_down() -> bool:
        host.release(TEXT_ENCODER)
        devices.pop(0)
        if devices:
            host.stood_in(ENCODED_ON_CPU)
        return bool(devices)

    try:
        run_with_less(work, step_down, "close other programs that use the memory")
    finally:
        if weights >= SMALL * host.free_bytes():
            host.release(TEXT_ENCODER)


def encoder_bytes(model: ModelFolder, dtype: str) -> int:
    """Bytes that `model`'s text encoder takes in `dtype`; on disk it may have twice as many."""
    return bytes_on_device(model.path / "text_encoder", dtype)
