"""A random language model of 200 kB in GGUF: llama.cpp loads it, its answers are gibberish.

`doctor` loads it where no real one is installed, and the tests do.
"""

from collections.abc import Sequence
from pathlib import Path

LAYERS, WIDTH, HIDDEN, HEADS, CONTEXT = 2, 64, 128, 1, 2048
"""One head of 64 numbers: a quantised context needs multiples of 32, CUDA's flash attention 64."""
_CONTROL = ("<unk>", "<s>", "</s>", "[INST]", "[/INST]")
_SPACE = "\u2581"
"""What a SentencePiece vocabulary writes for a space."""


def write_tiny_mistral(
    path: Path,
    seed: int = 0,
    words: Sequence[str] = (),
    *,
    instruct_tokens: bool = True,
    template: str = "",
) -> None:
    """Write a model of architecture `llama` with a SentencePiece vocabulary of bytes and letters.

    `words` become pieces, as do all their beginnings, because pieces are made by merging two
    others; a space in them is a leading one. `instruct_tokens` makes control tokens of `[INST]` and
    `[/INST]`, as Mistral has them from v0.3 on; with a chat `template` it is an instruct model.
    Raises OSError if the file cannot be written.
    """
    import gguf
    import numpy as np

    rng = np.random.default_rng(seed)
    control = _CONTROL if instruct_tokens else _CONTROL[:3]
    letters = [_SPACE, *(chr(code) for code in range(33, 127))]
    pieces = _pieces(words, known=letters)
    tokens = [*control, *(f"<0x{byte:02X}>" for byte in range(256)), *letters, *pieces]
    kinds = [gguf.TokenType.UNKNOWN] + [gguf.TokenType.CONTROL] * (len(control) - 1)
    kinds += [gguf.TokenType.BYTE] * 256 + [gguf.TokenType.NORMAL] * (len(letters) + len(pieces))
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list([token.encode() for token in tokens])
    first = len(tokens) - len(pieces)
    writer.add_token_scores([-float(max(0, index - first)) for index in range(len(tokens))])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    if template:
        writer.add_chat_template(template)
    for name, shape in _shapes(len(tokens)).items():
        values = rng.normal(0, 0.5, shape) if len(shape) > 1 else np.ones(shape)
        writer.add_tensor(name, values.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _pieces(words: Sequence[str], known: Sequence[str]) -> list[str]:
    """All beginnings of `words`, longer ones first: the first ones are merged first."""
    found = {
        word.replace(" ", _SPACE)[:end] for word in words for end in range(2, len(word) + 1)
    } - set(known)
    return sorted(found, key=lambda piece: (-len(piece), piece))


def _shapes(vocabulary: int) -> dict[str, tuple[int, ...]]:
    """Tensors by name, in the order of the file; a vector is a norm and consists of ones."""
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (vocabulary, WIDTH),
        "output_norm.weight": (WIDTH,),
    }
    for layer in range(LAYERS):
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            shapes[f"blk.{layer}.{part}.weight"] = (WIDTH, WIDTH)
        shapes[f"blk.{layer}.ffn_gate.weight"] = (HIDDEN, WIDTH)
        shapes[f"blk.{layer}.ffn_up.weight"] = (HIDDEN, WIDTH)
        shapes[f"blk.{layer}.ffn_down.weight"] = (WIDTH, HIDDEN)
        shapes[f"blk.{layer}.attn_norm.weight"] = (WIDTH,)
        shapes[f"blk.{layer}.ffn_norm.weight"] = (WIDTH,)
    return shapes
