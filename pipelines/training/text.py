"""First training: a tokenizer and a small UMT5 encoder that know what a caption says.

Linear probes read shape, colour, direction and background off every token's last hidden
state ("not named" is a class of its own). Each token then carries the whole meaning, which
the transformer's cross attention learns to use in minutes. The probes are thrown away.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

from pipelines.backends.wan.negative import NEGATIVE
from pipelines.training.captions import fresh_caption, training_caption
from pipelines.training.loop import Training, generator, remember_rates, schedule, set_rate
from pipelines.training.world import BACKGROUNDS, COLOURS, DIRECTIONS, SHAPES, Scene, random_scene

VOCABULARY = 1536
WIDTH = 96
STEPS = 1200
BATCH = 64
RATE = 3e-3
CLASSES: tuple[Sequence[str], ...] = (
    ("", *SHAPES),
    ("", *COLOURS),
    ("", *DIRECTIONS),
    ("", *BACKGROUNDS),
)
"""Values of each attribute in the order of Scene; the first is "not named"."""
_NOTHING = Scene("", "", "", "")


def train_tokenizer(captions: int = 20_000) -> PreTrainedTokenizerFast:
    """A tokenizer of VOCABULARY tokens for this world's captions."""
    rng = generator("tokenizer", 0)
    texts = [training_caption(random_scene(rng), rng)[0] for _ in range(captions)]
    return tokenizer_for(texts, VOCABULARY)


def tokenizer_for(texts: Sequence[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE learned from `texts`, lower-cased, ended by `</s>` as UMT5's texts are."""
    from tokenizers import (
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
        trainers,
    )

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<pad>", "</s>", "<unk>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    end = tokenizer.token_to_id("</s>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", end)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def new_encoder() -> UMT5EncoderModel:
    """Untrained: 0.5 million parameters."""
    return UMT5EncoderModel(
        UMT5Config(
            vocab_size=VOCABULARY,
            d_model=WIDTH,
            d_kv=16,
            d_ff=256,
            num_layers=3,
            num_heads=6,
            dropout_rate=0.0,
        )
    )


class Probes(nn.Module):
    """One linear classifier an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(WIDTH, len(values)) for values in CLASSES)

    def forward(self, states: torch.Tensor) -> list[torch.Tensor]:
        return [head(states) for head in self.heads]


def tokens_of(
    tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and attention mask, padded to the longest of `texts`."""
    batch = tokenizer(list(texts), padding=True, return_tensors="pt")
    return batch["input_ids"], batch["attention_mask"]


def train_text(folder: Path) -> tuple[PreTrainedTokenizerFast, UMT5EncoderModel]:
    """Train both, or finish or load what `folder` holds."""
    tokenizer = train_tokenizer()
    torch.manual_seed(0)
    encoder, probes = new_encoder(), Probes()
    parameters = [*encoder.parameters(), *probes.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0.01)
    remember_rates([optimizer])
    empty = ["", NEGATIVE]

    def do_step(step: int, rng: np.random.Generator) -> dict[str, float]:
        set_rate([optimizer], schedule(step, STEPS))
        if step % 10 == 0:  # apart, because the long one pads its whole batch
            pairs = [(text, _NOTHING) for text in empty]
        else:
            pairs = [training_caption(random_scene(rng), rng) for _ in range(BATCH)]
        loss = _loss(encoder, probes, tokenizer, pairs)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        return {"loss": loss.item()}

    state = {"encoder": encoder, "probes": probes, "optimizer": optimizer}
    training = Training("text", folder, STEPS, state)
    training.run(do_step, every=200, validate=lambda: _accuracy(encoder, probes, tokenizer))
    return tokenizer, encoder.eval().requires_grad_(False)


def _loss(
    encoder: UMT5EncoderModel,
    probes: Probes,
    tokenizer: PreTrainedTokenizerFast,
    pairs: Sequence[tuple[str, Scene]],
) -> torch.Tensor:
    ids, mask = tokens_of(tokenizer, [text for text, _ in pairs])
    states = encoder(ids, attention_mask=mask).last_hidden_state
    used = mask.bool()
    labels = torch.tensor([_labels(scene) for _, scene in pairs])
    loss = 0.1 * (states[used].pow(2).mean(-1).sqrt() - 1).pow(2).mean()
    for index, logits in enumerate(probes(states[used])):
        wanted = labels[:, index, None].expand_as(mask)[used]
        loss = loss + functional.cross_entropy(logits, wanted)
    return loss


def _labels(scene: Scene) -> list[int]:
    return [values.index(value) for values, value in zip(CLASSES, scene, strict=True)]


@torch.no_grad()
def _accuracy(
    encoder: UMT5EncoderModel, probes: Probes, tokenizer: PreTrainedTokenizerFast
) -> dict[str, float]:
    """Share of tokens that carry each attribute, on fresh captions in held-out wording."""
    rng = generator("text-validation", 0)
    scenes = [random_scene(rng) for _ in range(200)]
    texts = [fresh_caption(scene, rng, held_out=True) for scene in scenes]
    ids, mask = tokens_of(tokenizer, texts)
    used = mask.bool()
    states = encoder(ids, attention_mask=mask).last_hidden_state[used]
    labels = torch.tensor([_labels(scene) for scene in scenes])
    return {
        f"held_out_{name}": round(
            float((logits.argmax(-1) == labels[:, i, None].expand_as(mask)[used]).float().mean()),
            4,
        )
        for i, (name, logits) in enumerate(zip(Scene._fields, probes(states), strict=True))
    }
