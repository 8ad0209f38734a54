"""What the tiny checkpoints share: seeded weights, UMT5, its tokenizer, schedulers, files.

Every builder writes the folder that the hub's repository has: the same folders, file names,
classes and config keys. Only sizes (widths, layers, vocabulary) are smaller, and the weights are
random. `model_index.json` names the classes as the hub does, not as the saving library would.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

SHARDS = 3
"""Least number of files that a part stored in shards is split into, roughly."""


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Weights made in here depend on `seed` alone; the caller's random state stays as it is."""
    from pipelines.backends.quiet import quiet_libraries

    quiet_libraries()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def save_whole(part: Any, folder: Path) -> None:
    """Write `part` as one file of weights, as the hub has VAEs."""
    part.save_pretrained(folder)


def save_sharded(part: torch.nn.Module, folder: Path) -> None:
    """Write `part` as two shards or more with their index, as the hub has transformers."""
    size = sum(value.numel() * value.element_size() for value in part.state_dict().values())
    part.save_pretrained(folder, max_shard_size=size // SHARDS)


def write_index(
    folder: Path, class_name: str, parts: Mapping[str, tuple[Any, Any]], **options: Any
) -> None:
    """Write `model_index.json`; a part that the pipeline may lack is `(None, None)`."""
    from diffusers import __version__

    index = {"_class_name": class_name, "_diffusers_version": __version__, **options}
    index |= {name: list(where) for name, where in sorted(parts.items())}
    write_json(folder / "model_index.json", index)


def write_json(path: Path, values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=2) + "\n")


UMT5_WIDTH = 32
_PIECES = [chr(code) for code in range(33, 127)]
_VOCABULARY = ["<pad>", "</s>", "<unk>", "▁", *_PIECES]


def save_umt5(folder: Path) -> None:
    """Write `text_encoder/` (bfloat16, in shards) and `tokenizer/` of every Wan model.

    Real: google/umt5-xxl's encoder, 5.68 billion parameters, 11.36 GB in bfloat16 (three shards
    in Wan2.2-T2V-A14B-Diffusers; some repositories have it in float32, twice as large).
    """
    from transformers import UMT5Config, UMT5EncoderModel

    config = UMT5Config(
        vocab_size=len(_VOCABULARY),
        d_model=UMT5_WIDTH,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        dropout_rate=0.1,
        feed_forward_proj="gated-gelu",
        relative_attention_num_buckets=32,
        relative_attention_max_distance=128,
        tie_word_embeddings=False,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
    )
    save_sharded(UMT5EncoderModel(config).to(torch.bfloat16), folder / "text_encoder")
    save_t5_tokenizer(folder / "tokenizer")


def save_t5_tokenizer(folder: Path) -> None:
    """One token a printable ASCII character, ended by `</s>`; everything else is `<unk>`."""
    from transformers import T5TokenizerFast

    scores = [(piece, 0.0 if piece.startswith("<") else -2.0) for piece in _VOCABULARY]
    tokenizer = T5TokenizerFast(vocab=scores, extra_ids=0, model_max_length=512)
    tokenizer.save_pretrained(folder)
    (folder / "spiece.model").write_bytes(_sentencepiece(scores))


def _sentencepiece(scores: list[tuple[str, float]]) -> bytes:
    """The same vocabulary in sentencepiece's format (a protobuf), as the hub has it beside."""
    import struct

    model = b""
    for piece, score in scores:
        text = piece.encode()
        kind = {"<unk>": 2, "<pad>": 3, "</s>": 3}.get(piece, 1)
        entry = b"\x0a" + bytes([len(text)]) + text + b"\x15" + struct.pack("<f", score)
        entry += b"\x18" + bytes([kind])
        model += b"\x0a" + bytes([len(entry)]) + entry
    trainer = b"\x18\x01"  # model_type = UNIGRAM
    return model + b"\x12" + bytes([len(trainer)]) + trainer


def save_unipc(folder: Path, flow_shift: float) -> None:
    """Write `scheduler/`, UniPC on flow sigmas, the scheduler of every Wan model."""
    from diffusers import UniPCMultistepScheduler

    UniPCMultistepScheduler(
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        num_train_timesteps=1000,
        flow_shift=flow_shift,
    ).save_pretrained(folder / "scheduler")


WAN_PARTS: Mapping[str, tuple[str, str]] = {
    "scheduler": ("diffusers", "UniPCMultistepScheduler"),
    "text_encoder": ("transformers", "UMT5EncoderModel"),
    "tokenizer": ("transformers", "T5TokenizerFast"),
    "vae": ("diffusers", "AutoencoderKLWan"),
}
ABSENT = (None, None)
