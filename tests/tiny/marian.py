"""A tiny MarianMT of the real classes and the hub's layout. Its weights are random, or know the
sentences that it was taught."""

import io
import json
from collections.abc import Mapping
from pathlib import Path

import sentencepiece
import torch
from transformers import MarianConfig, MarianMTModel, MarianTokenizer

PAIRS = {
    "ลูกบอลสีแดงเคลื่อนที่ไปทางขวา": "a red ball moves right",
    "สี่เหลี่ยมสีน้ำเงินตกลงมา": "a blue square falls down",
    "แสงอุ่น": "warm light",
}
"""Thai sentences of the demo's world, and what they mean."""
_STEPS = 150


def write_marian(folder: Path, *, pickled: bool = True, taught: bool = False) -> None:
    """Write the files that a download from the hub would leave.

    The hub has most of these models as `pytorch_model.bin` only; without `pickled` it is
    `model.safetensors`. If it is `taught`, it translates PAIRS, and nothing else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    size = _write_vocabulary(folder)
    torch.manual_seed(1)
    model = MarianMTModel(_config(size))
    if taught:
        _teach(model, MarianTokenizer.from_pretrained(folder), PAIRS)
    model.save_pretrained(folder)
    if pickled:
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()


def _write_vocabulary(folder: Path) -> int:
    vocabulary = {"</s>": 0, "<unk>": 1}
    for name, texts in (("source.spm", [*PAIRS]), ("target.spm", [*PAIRS.values()])):
        trained = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts * 8),
            model_writer=trained,
            vocab_size=96,
            hard_vocab_limit=False,
            minloglevel=2,
        )
        (folder / name).write_bytes(trained.getvalue())
        pieces = sentencepiece.SentencePieceProcessor(model_proto=trained.getvalue())
        for number in range(pieces.get_piece_size()):
            vocabulary.setdefault(pieces.id_to_piece(number), len(vocabulary))
    vocabulary.setdefault("<pad>", len(vocabulary))
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False))
    languages = {"source_lang": "th", "target_lang": "en"}
    (folder / "tokenizer_config.json").write_text(json.dumps(languages))
    return len(vocabulary)


def _config(size: int) -> MarianConfig:
    return MarianConfig(
        vocab_size=size,
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        dropout=0.0,
        max_position_embeddings=64,
        pad_token_id=size - 1,
        eos_token_id=0,
        decoder_start_token_id=size - 1,
        forced_eos_token_id=0,
    )


def _teach(model: MarianMTModel, tokenizer: MarianTokenizer, pairs: Mapping[str, str]) -> None:
    given = tokenizer([*pairs], text_target=[*pairs.values()], return_tensors="pt", padding=True)
    labels = given.pop("labels")
    labels[labels == tokenizer.pad_token_id] = -100
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    model.train()
    for _ in range(_STEPS):
        loss = model(**given, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
