"""A tiny SigLIP of the real classes, with random weights: text, pictures, tokenizer, processor."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
)

SIDE = 32
WORDS = (
    *("<pad>", "<eos>", "<unk>"),
    *("a", "red", "blue", "ball", "square", "moves", "right", "left", "over", "the"),
)


def write_siglip(folder: Path) -> None:
    """Write the files that a download from the hub would leave."""
    torch.manual_seed(1)
    part = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    config = SiglipConfig(
        text_config=part
        | {
            "vocab_size": len(WORDS),
            "max_position_embeddings": 64,
            "projection_size": 16,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 1,
        },
        vision_config=part | {"image_size": SIDE, "patch_size": 8},
    )
    SiglipModel(config).save_pretrained(folder)
    words = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, "<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    ).save_pretrained(folder)
    SiglipImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
