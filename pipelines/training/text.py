"""A tokenizer and a small UMT5 encoder that know what a caption says.

Linear probes read thing, colour, movement and background off every token's last hidden state ("not
named" is a class of its own). Each token then carries the whole meaning, which the transformer's
cross attention learns to use in minutes. The probes are thrown away.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

from pipelines.backends.wan.negative import NEGATIVE
from pipelines.training.captions import fresh_caption, training_caption
from pipelines.training.loop import descend, generator, remember_rates, set_rate, wait_for
from pipelines.training.places import PLACES
from pipelines.training.setup import Recipe
from pipelines.training.things import THINGS
from pipelines.training.world import COLOURS, MOVEMENTS, SHAPES, Scene, random_scene

VOCABULARY = 2048
BATCH = 64
RATE = 2e-3
CLASSES: tuple[Sequence[str], ...] = (
    ("", *SHAPES, *(thing.names[0] for thing in THINGS)),
    ("", *COLOURS),
    ("", *MOVEMENTS),
    ("", *PLACES),
)
"""Values of each attribute in the order of Scene; the first is "not named"."""
_NOTHING = Scene("", "", "", "")


def labels_of(scene: Scene) -> list[int]:
    """The scene's values as indices into CLASSES."""
    return [values.index(value) for values, value in zip(CLASSES, scene, strict=True)]


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


def new_encoder(width: int) -> UMT5EncoderModel:
    """Untrained: 0.9 million parameters at a width of 128."""
    return UMT5EncoderModel(
        UMT5Config(
            vocab_size=VOCABULARY,
            d_model=width,
            d_kv=16,
            d_ff=3 * width,
            num_layers=3,
            num_heads=max(2, width // 16),
            dropout_rate=0.0,
        )
    )


def tokens_of(
    tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and attention mask, padded to the longest of `texts`."""
    batch = tokenizer(list(texts), padding=True, return_tensors="pt")
    return batch["input_ids"], batch["attention_mask"]


def train_tokenizer(recipe: Recipe) -> PreTrainedTokenizerFast:
    """From the folder if it is there: every later run must cut words the same way."""
    folder = recipe.folder / "tokenizer"
    if not folder.exists():
        rng = generator("illustrated-tokenizer", 0)
        texts = [
            training_caption(random_scene(rng, recipe.things), rng)[0]
            for _ in range(20_000 if recipe.steps is None else 3000)
        ]
        part = folder.with_suffix(".part")
        tokenizer_for(texts, VOCABULARY).save_pretrained(part)
        part.replace(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def train_text(recipe: Recipe) -> None:
    """Train tokenizer and encoder, or finish what the folder holds."""
    tokenizer = train_tokenizer(recipe)
    torch.manual_seed(0)
    encoder = new_encoder(recipe.size.text).to(recipe.device)
    probes = nn.ModuleList(nn.Linear(recipe.size.text, len(values)) for values in CLASSES)
    probes.to(recipe.device)
    parameters = [*encoder.parameters(), *probes.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0.01)
    remember_rates([optimizer])
    training = recipe.training("text", {"encoder": encoder, "probes": probes}, [optimizer])

    def do_step(step: int, rng: np.random.Generator) -> dict[str, Any]:
        set_rate([optimizer], training.rate(step))
        if step % 10 == 0:  # apart, because the long one pads its whole batch
            pairs = [(text, _NOTHING) for text in ("", NEGATIVE)]
        else:
            scenes = [random_scene(rng, recipe.things) for _ in range(BATCH)]
            pairs = [training_caption(scene, rng) for scene in scenes]
        loss = torch.zeros((), device=recipe.device)
        states, tokens = _states(encoder, tokenizer, [text for text, _ in pairs])
        loss = loss + 0.1 * (states.pow(2).mean(-1).sqrt() - 1).pow(2).mean()
        labels = torch.tensor([labels_of(scene) for _, scene in pairs], device=recipe.device)
        for index, probe in enumerate(probes):
            loss = loss + functional.cross_entropy(probe(states), labels[tokens, index])
        descend(loss, parameters, [optimizer])
        return {"loss": loss.detach()}

    def validate() -> dict[str, float]:
        return _accuracy(recipe, encoder, probes, tokenizer)

    training.run(do_step, every=recipe.every, validate=validate)


def trained_text(recipe: Recipe) -> tuple[PreTrainedTokenizerFast, UMT5EncoderModel]:
    """From the folder, the encoder on the device; waits until another process has trained it."""
    state = wait_for(recipe.folder, "text")["encoder"]
    encoder = new_encoder(recipe.size.text)
    encoder.load_state_dict(state)
    encoder.to(recipe.device).eval().requires_grad_(False)
    return PreTrainedTokenizerFast.from_pretrained(recipe.folder / "tokenizer"), encoder


def _states(encoder: Any, tokenizer: Any, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Last hidden state of every real token, and the number of its text."""
    ids, mask = (part.to(encoder.device) for part in tokens_of(tokenizer, texts))
    used = mask.bool()
    states = encoder(ids, attention_mask=mask).last_hidden_state[used]
    return states, torch.arange(len(texts), device=encoder.device)[:, None].expand_as(mask)[used]


@torch.no_grad()
def _accuracy(recipe: Recipe, encoder: Any, probes: Any, tokenizer: Any) -> dict[str, float]:
    """Share of tokens that carry each attribute, on fresh captions in held-out wording."""
    rng = generator("text-validation", 0)
    scenes = [random_scene(rng, recipe.things, held_out=index % 2 == 1) for index in range(200)]
    texts = [fresh_caption(scene, rng, held_out=True) for scene in scenes]
    states, tokens = _states(encoder, tokenizer, texts)
    labels = torch.tensor([labels_of(scene) for scene in scenes], device=recipe.device)
    return {
        f"held_out_{name}": round(
            float((probe(states).argmax(-1) == labels[tokens, index]).float().mean()), 4
        )
        for index, (name, probe) in enumerate(zip(Scene._fields, probes, strict=True))
    }
