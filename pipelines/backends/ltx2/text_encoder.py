"""Gemma, which reads the texts of LTX-2 and leaves the device before the transformer comes."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError

from pipelines.backends.checks import loads
from pipelines.backends.ltx2.options import MAX_TOKENS as MAX_TOKENS
from pipelines.backends.memory import free_memory
from pipelines.backends.quiet import quiet_libraries

LOAD_ERRORS = (
    OSError,
    ValueError,
    KeyError,
    RuntimeError,
    TypeError,
    SafetensorError,
    MemoryError,
)


@dataclass(frozen=True)
class EncodedText:
    """The hidden states of all layers for one text, without their padding, on the CPU.

    With its padding each text of the real encoder takes 385 MB (1024 tokens x 3840 x 49 layers in
    bfloat16); a text of 100 tokens without it takes 38 MB.
    """

    tokens: torch.Tensor
    """1 x tokens x (width x layers)."""

    def padded(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings (1 x MAX_TOKENS x width) and mask as the pipeline takes them. What stands in
        the padding does not count: the connectors put learned registers there."""
        count, width = self.tokens.shape[1:]
        tokens = self.tokens.new_zeros(1, MAX_TOKENS, width)
        mask = torch.zeros(1, MAX_TOKENS, dtype=torch.int64)
        tokens[:, MAX_TOKENS - count :] = self.tokens
        mask[:, MAX_TOKENS - count :] = 1
        return tokens.to(device), mask.to(device)

    @classmethod
    def of(cls, tokens: torch.Tensor, mask: torch.Tensor) -> Self:
        """`tokens` (1 x MAX_TOKENS x width) without the padding that `mask` shows."""
        return cls(tokens[:, MAX_TOKENS - int(mask.sum()) :].cpu())


class TextEncoder:
    """Text encoder and tokenizer on `device` until `close`."""

    def __init__(
        self, folder: Path, device: torch.device, dtype: torch.dtype, streamed: bool
    ) -> None:
        """With `streamed`, each layer is on the device only while it works.

        Raises WeightsError if the folder does not hold it, and GenerationError if the host's
        memory runs out; without memory on the device, what torch raises.
        """
        quiet_libraries()
        try:
            self._pipeline: Any = _load(folder, dtype)
        except LOAD_ERRORS as error:
            raise loads(error, f"the text encoder in {folder}") from error
        self._device = device
        if streamed:
            from diffusers.hooks import apply_group_offloading

            apply_group_offloading(
                self._pipeline.text_encoder,
                onload_device=device,
                offload_type="leaf_level",
                use_stream=device.type == "cuda",
            )
        else:
            self._pipeline.text_encoder.to(device)

    def encode(self, texts: Iterable[str]) -> dict[str, EncodedText]:
        """Each of `texts`, encoded; beyond MAX_TOKENS a text is cut."""
        encoded = {}
        with torch.inference_mode():
            for text in texts:
                tokens, mask, _, _ = self._pipeline.encode_prompt(
                    text,
                    do_classifier_free_guidance=False,
                    max_sequence_length=MAX_TOKENS,
                    device=self._device,
                )
                encoded[text] = EncodedText.of(tokens, mask)
        return encoded

    def close(self) -> None:
        """Free its memory."""
        del self._pipeline
        free_memory()


def _load(folder: Path, dtype: torch.dtype) -> Any:
    from diffusers import LTX2Pipeline

    absent = ("transformer", "connectors", "vae", "audio_vae", "vocoder", "scheduler")
    optional = ("duration_head", "processor", "prompt_enhancer")
    return LTX2Pipeline.from_pretrained(
        folder,
        **dict.fromkeys((*absent, *optional)),
        dtype={"text_encoder": dtype, "default": dtype},
        local_files_only=True,
    )
