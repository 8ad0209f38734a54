"""What a language model takes on its device, told from the header of its GGUF file.

The size of the file alone is too little: llama.cpp adds the keys and values of every token of the
context, and buffers for the computation. A writer that is let in with room for its file only fails
while it loads, and the template writes the shots.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import WeightsError
from pipelines.prompting.gguf_header import TOKENS, header_of

BATCH = 512
"""llama.cpp's tokens of one pass, for which it reserves its buffers."""
_FLOAT = 4
"""Bytes of a number of the computation."""
_HIDDEN_STATES = 4
"""Tensors of a pass as wide as the model that llama.cpp holds at once."""


@dataclass(frozen=True)
class WriterFootprint:
    """Bytes on the device of a language model."""

    weights: int
    context: int
    """Keys and values of all tokens of the context."""
    compute: int
    """Buffers of one pass."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.context + self.compute


def writer_footprint(
    model: Path, context: int, batch: int = BATCH, cache_bits: float = 16, *, flash: bool = False
) -> WriterFootprint:
    """The footprint of the GGUF `model` with a context of `context` tokens, in `batch` at a time.

    `cache_bits` is the width of a number of the keys and values; with `flash` attention the scores
    of a pass are never held. Calculated from the shapes. In MiB, and in brackets what llama.cpp
    logs on a CPU: keys and values 36 (36) and 1 (1), buffers 517 (514.5) for a vocabulary of
    262,144 words and 8.5 (8.9) for a tiny model. Raises WeightsError if the file is no GGUF file
    or its header lacks a length.
    """
    try:
        values = header_of(model)
        kind = values["general.architecture"]
        layers = _number(values[f"{kind}.block_count"])
        width = _number(values[f"{kind}.embedding_length"])
        heads = _number(values[f"{kind}.attention.head_count"])
        pairs = _number(values.get(f"{kind}.attention.head_count_kv", heads))
        key = _number(values.get(f"{kind}.attention.key_length", width // heads))
        value = _number(values.get(f"{kind}.attention.value_length", width // heads))
        words = _number(values.get(TOKENS, 0))
    except (OSError, ValueError, KeyError, struct.error, ZeroDivisionError) as error:
        raise WeightsError(
            f"the header of {model} cannot be read: {error!r}; download the model again"
        ) from error
    # A score for each head, and the mask.
    attention = context * batch * (1 if flash else heads + 1) * _FLOAT
    hidden = _HIDDEN_STATES * width * batch * _FLOAT
    return WriterFootprint(
        weights=model.stat().st_size,
        context=int(layers * context * pairs * (key + value) * cache_bits / 8),
        compute=max(attention, words * batch * _FLOAT) + hidden,
    )


def _number(value: object) -> int:
    """A length, or the largest of those of all layers."""
    if isinstance(value, list):
        return max(map(_number, value))
    if not isinstance(value, int):
        raise ValueError(f"{value!r} is no length")
    return value
