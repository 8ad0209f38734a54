"""A GGUF of Mistral's layer shapes in the number types of Q4_K_M, with random weights.

Which tensor has which type is what llama.cpp's quantisation chooses, and what a public listing of
mistral-7b-instruct-v0.2.Q4_K_M.gguf prints tensor by tensor.
"""

import re
import zlib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

from tests.rehearsal.vocabulary import TEMPLATES, Version, Vocabulary, vocabulary_of

_CONTROL = ("<unk>", "<s>", "</s>", "[INST]", "[/INST]")
_SPACE = "\u2581"
_BLOCK = 256
"""Numbers that share their scales."""
_DEVIATION = 0.02
Q4, Q6, F32 = (
    gguf.GGMLQuantizationType.Q4_K,
    gguf.GGMLQuantizationType.Q6_K,
    gguf.GGMLQuantizationType.F32,
)


def write_mistral(
    path: Path,
    *,
    layers: int,
    width: int,
    hidden: int,
    heads: int,
    heads_kv: int,
    vocabulary: int,
    context: int,
    version: Version | None = None,
) -> None:
    """Write the file tensor by tensor; at most one tensor is in memory.

    `version` gives it Mistral's own vocabulary, whatever `vocabulary` says, and chat template.
    """
    own = vocabulary_of(version) if version else _made_vocabulary(vocabulary)
    vocabulary = len(own.tokens)
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("rehearsal")
    writer.add_context_length(context)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(hidden)
    writer.add_rope_dimension_count(width // heads)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads_kv)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(1_000_000.0)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_K_M)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    _add_vocabulary(writer, own)
    if version:
        writer.add_chat_template(TEMPLATES[version])
    narrow = width // heads * heads_kv
    tensors = list(_tensors(layers, width, hidden, narrow, vocabulary))
    for name, shape, kind in tensors:
        data = _packed_shape(shape, kind)
        dtype = np.dtype(np.float32 if kind == F32 else np.uint8)
        size = int(np.prod(data)) * dtype.itemsize
        writer.add_tensor_info(name, data, dtype, size, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, shape, kind in tensors:
        writer.write_tensor_data(_random(name, shape, kind))
    writer.close()


def _tensors(
    layers: int, width: int, hidden: int, narrow: int, vocabulary: int
) -> Iterator[tuple[str, tuple[int, ...], gguf.GGMLQuantizationType]]:
    yield "token_embd.weight", (vocabulary, width), Q4
    for layer in range(layers):
        better = Q6 if _has_more_bits(layer, layers) else Q4
        block = f"blk.{layer}."
        yield f"{block}attn_q.weight", (width, width), Q4
        yield f"{block}attn_k.weight", (narrow, width), Q4
        yield f"{block}attn_v.weight", (narrow, width), better
        yield f"{block}attn_output.weight", (width, width), Q4
        yield f"{block}ffn_gate.weight", (hidden, width), Q4
        yield f"{block}ffn_up.weight", (hidden, width), Q4
        yield f"{block}ffn_down.weight", (width, hidden), better
        yield f"{block}attn_norm.weight", (width,), F32
        yield f"{block}ffn_norm.weight", (width,), F32
    yield "output_norm.weight", (width,), F32
    yield "output.weight", (vocabulary, width), Q6


def _has_more_bits(layer: int, layers: int) -> bool:
    """llama.cpp's choice: the first and last eighth, and each third layer between them."""
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


def _packed_shape(shape: tuple[int, ...], kind: gguf.GGMLQuantizationType) -> tuple[int, ...]:
    if kind == F32:
        return shape
    return (*shape[:-1], shape[-1] // _BLOCK * gguf.GGML_QUANT_SIZES[kind][1])


def _random(
    name: str, shape: tuple[int, ...], kind: gguf.GGMLQuantizationType
) -> npt.NDArray[np.generic]:
    """Blocks with random numbers and sound scales, of about `_DEVIATION` after unpacking."""
    if kind == F32:
        return np.ones(shape, np.float32)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    blocks = int(np.prod(shape)) // _BLOCK
    size = gguf.GGML_QUANT_SIZES[kind][1]
    data = np.frombuffer(rng.bytes(blocks * size), np.uint8).reshape(blocks, size).copy()
    if kind == Q4:
        # d and dmin, 12 bytes of scales, 128 of numbers. A weight is d * scale * number -
        # dmin * least; scales to 63 and numbers to 15 deviate by about 200.
        scale = _DEVIATION / 200
        data[:, 0:4] = np.array([scale, 7.5 * scale], np.float16).view(np.uint8)
    else:
        # 192 bytes of numbers, 16 of signed scales, d. A weight is d * scale * (number - 32),
        # which deviates by about 1370.
        data[:, 208:210] = np.array([_DEVIATION / 1370], np.float16).view(np.uint8)
    return data.reshape(_packed_shape(shape, kind))


def _add_vocabulary(writer: gguf.GGUFWriter, vocabulary: Vocabulary) -> None:
    writer.add_vocab_size(len(vocabulary.tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_scores(vocabulary.scores)
    writer.add_token_types(vocabulary.kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)


def _made_vocabulary(size: int) -> Vocabulary:
    """Control tokens, bytes, characters, the words of our prompts and all their beginnings.

    The tokenizer merges two neighbours if their sum is a token, so every beginning must be one.
    What is left is filled with tokens that mean nothing.
    """
    tokens: dict[str, gguf.TokenType] = {_CONTROL[0]: gguf.TokenType.UNKNOWN}
    tokens |= dict.fromkeys(_CONTROL[1:], gguf.TokenType.CONTROL)
    tokens |= {f"<0x{code:02X}>": gguf.TokenType.BYTE for code in range(256)}
    for piece in (_SPACE, *map(chr, range(33, 127)), *_pieces()):
        if len(tokens) < size:
            tokens.setdefault(piece, gguf.TokenType.NORMAL)
    for number in range(size - len(tokens)):
        tokens[f"<unused_{number}>"] = gguf.TokenType.NORMAL
    return Vocabulary(
        tokens=tuple(token.encode() for token in tokens),
        scores=tuple(float(len(token)) for token in tokens),  # a longer piece is merged first
        kinds=tuple(tokens.values()),
    )


def _pieces() -> Iterator[str]:
    texts = (
        files("pipelines.prompting") / "prompts" / "instruct.txt",
        files("pipelines.training") / "common_words.txt",
    )
    for text in texts:
        for word in re.findall(r"[A-Za-z]+", text.read_text(encoding="utf-8")):
            for length in range(1, len(word) + 1):
                yield _SPACE + word[:length]
                yield word[:length]
