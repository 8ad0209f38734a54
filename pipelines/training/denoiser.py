"""Third training: the transformer, by flow matching as the pipelines sample it.

One checkpoint serves text-to-video (every latent frame noisy) and continuation (the first
latent frame clean, with a timestep of its own: 0), which is what `WanImageToVideoPipeline`
does with `expand_timesteps`. Noise levels follow the scheduler's shift of 3.
"""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import WanTransformer3DModel
from diffusers.models.transformers.transformer_wan import WanAttnProcessor
from torch import nn
from torch.nn import functional
from transformers import PreTrainedTokenizerFast, UMT5EncoderModel

from pipelines.backends.wan.negative import NEGATIVE
from pipelines.backends.wan.text_encoder import MAX_TOKENS
from pipelines.training.captions import training_caption
from pipelines.training.codec import CHANNELS
from pipelines.training.dataset import Latents
from pipelines.training.loop import Training, generator, remember_rates, schedule, set_rate
from pipelines.training.muon import Muon
from pipelines.training.text import WIDTH, tokens_of

HEADS, HEAD_DIM, LAYERS, FEED_FORWARD = 5, 32, 6, 448
BATCH = 16
SHIFT = 3.0


@dataclass(frozen=True)
class Stage:
    """One training of the transformer."""

    name: str
    steps: int
    rate: float
    """Share of the optimizers' learning rates."""
    continued: float
    """Share of batches whose first latent frame is given."""


STAGES = (
    Stage("transformer", 4200, rate=1.0, continued=0.4),
    # Joins that jump fell from 29 % to 17 % of the first takes (guidance 1.5, 48 joins).
    Stage("continuation", 800, rate=0.4, continued=0.8),
)
_EMPTY = 0.1
_SAMPLE = 24
_AVERAGE = 0.998


def new_transformer(
    heads: int = HEADS,
    layers: int = LAYERS,
    feed_forward: int = FEED_FORWARD,
    text: int = WIDTH,
    *,
    channels: int = CHANNELS,
) -> WanTransformer3DModel:
    """Untrained: 2.3 million parameters by default, its first prediction zero."""
    transformer = WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=heads,
        attention_head_dim=HEAD_DIM,
        in_channels=channels,
        out_channels=channels,
        text_dim=text,
        freq_dim=64,
        ffn_dim=feed_forward,
        num_layers=layers,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        rope_max_seq_len=64,
    )
    nn.init.zeros_(transformer.proj_out.weight)
    nn.init.zeros_(transformer.proj_out.bias)
    return transformer


@dataclass
class Texts:
    """Embeddings of a batch, with one zero token standing for the padding of each."""

    states: torch.Tensor
    """B x (longest + 1) x WIDTH."""
    bias: torch.Tensor
    """B x 1 x 1 x (longest + 1), added to the attention's logits."""


class _PaddedAttention(WanAttnProcessor):  # type: ignore[misc]
    """Wan attends to all MAX_TOKENS positions, padding too. Equal keys of a softmax can be one
    key with the logarithm of their number added, which costs a twentieth."""

    bias: torch.Tensor | None = None

    def __call__(self, attn: Any, x: torch.Tensor, text: Any, _: Any, rotary: Any) -> Any:
        return super().__call__(attn, x, text, self.bias, rotary)


class Denoiser:
    """The stock transformer's forward pass, with cheap padding and cheap per-token timesteps."""

    def __init__(self, transformer: Any, *, compiled: bool = True) -> None:
        self.transformer = transformer
        self._attention = _PaddedAttention()
        for block in transformer.blocks:
            if compiled:
                block.compile()
            block.attn2.set_processor(self._attention)

    def __call__(
        self, latents: torch.Tensor, timestep: torch.Tensor, clean: int, texts: Texts
    ) -> torch.Tensor:
        """Predicted velocity for B x C x F x h x w, whose first `clean` frames are noiseless."""
        self._attention.bias = texts.bias
        model = self.transformer
        rotary = model.rope(latents)
        x = model.patch_embedding(latents).float()  # sums of the blocks, also in mixed precision
        frames, area = x.shape[2], x.shape[3] * x.shape[4]
        x = x.flatten(2).transpose(1, 2).contiguous()
        times = timestep if not clean else torch.cat([torch.zeros_like(timestep), timestep])
        time, modulation, text, _ = model.condition_embedder(times, texts.states, None)
        modulation = modulation.unflatten(1, (6, -1))
        if clean:
            counts = torch.tensor([clean * area, (frames - clean) * area], device=x.device)
            time, modulation = (
                part.unflatten(0, (2, -1)).transpose(0, 1).repeat_interleave(counts, dim=1)
                for part in (time, modulation)
            )
        else:
            time = time[:, None]
        for block in model.blocks:
            x = block(x, text, modulation, rotary)
        shift, scale = (model.scale_shift_table[None] + time[:, :, None]).unbind(2)
        x = model.proj_out(model.norm_out(x) * (1 + scale) + shift)
        side = latents.shape[3] // 2
        x = x.unflatten(1, (frames, side, side)).unflatten(-1, (2, 2, -1))
        return x.permute(0, 6, 1, 2, 4, 3, 5).flatten(5, 6).flatten(3, 4)


def embed(
    encoder: UMT5EncoderModel, tokenizer: PreTrainedTokenizerFast, captions: list[str]
) -> Texts:
    """Of texts longer than _SAMPLE tokens, only that many tokens, each for several: every token
    carries the whole meaning, and one long text would make the batch's attention dear."""
    device = encoder.device
    ids, mask = (part.to(device) for part in tokens_of(tokenizer, captions))
    with torch.no_grad():
        states = encoder(ids, attention_mask=mask).last_hidden_state * mask[..., None]
    length = mask.sum(1, keepdim=True)
    padding = MAX_TOKENS - length
    width = min(mask.shape[1], _SAMPLE)
    places = torch.arange(width, device=device).expand(len(captions), -1)
    picks = torch.where(length > width, places * (length - 1) // (width - 1), places)
    states = states.gather(1, picks[..., None].expand(-1, -1, states.shape[-1]))
    share = (length / length.clamp(max=width)).log()
    bias = torch.where(places < length, share, -torch.inf)
    bias = torch.cat([bias, padding.log()], dim=1)[:, None, None]
    return Texts(functional.pad(states, (0, 0, 0, 1)), bias)


@dataclass
class Batch:
    """Clips of one length, of which the first `clean` latent frames are given."""

    latents: torch.Tensor
    texts: Texts
    clean: int
    given: torch.Tensor | None = None
    """What is given of the first frames, where it is not exactly what they are."""


class Sampler:
    """Draws batches: most of them 33 or 17 frames, with and without a clean first frame."""

    def __init__(
        self, latents: Latents, tokenizer: PreTrainedTokenizerFast, encoder: UMT5EncoderModel
    ) -> None:
        self._latents = latents
        self._tokenizer = tokenizer
        self._encoder = encoder

    def draw(self, rng: np.random.Generator, continued: float) -> Batch:
        """A batch; with probability `continued` its first latent frame is given."""
        kind = rng.random()
        clean = 1 if kind < continued else 0
        if kind > 0.97:
            chosen, frames, count = self._latents.stills, 1, 4 * BATCH
        else:
            chosen = self._latents.clips
            frames, count = (5, 3 * BATCH // 2) if rng.random() < 0.45 else (9, BATCH)
        if not clean and frames > 1:
            picks = self._latents.centred[rng.integers(len(self._latents.centred), size=count)]
        else:
            picks = rng.integers(len(chosen), size=count)
        latents = chosen.values[picks, :, :frames].float()
        captions = [self._caption(chosen.scenes[pick], rng) for pick in picks]
        return Batch(latents, embed(self._encoder, self._tokenizer, captions), clean)

    def _caption(self, scene: Any, rng: np.random.Generator) -> str:
        kind = rng.random()
        if kind < _EMPTY / 2:
            return ""
        if kind < _EMPTY:
            return NEGATIVE
        return training_caption(scene, rng)[0]


def loss_of(denoiser: Denoiser, batch: Batch, sigma: torch.Tensor) -> torch.Tensor:
    """Mean squared error of the velocity on the frames that are not given."""
    latents, clean = batch.latents, batch.clean
    noise = torch.randn_like(latents)
    level = sigma.view(-1, 1, 1, 1, 1)
    noisy = (1 - level) * latents + level * noise
    if clean:
        # A continued frame was decoded and encoded again: a little wrong, never perfect.
        given = latents[:, :, :clean] if batch.given is None else batch.given
        first = given + 0.05 * torch.randn_like(given)
        noisy = torch.cat([first, noisy[:, :, clean:]], dim=2)
    velocity = denoiser(noisy, 1000 * sigma, clean, batch.texts)
    return functional.mse_loss(velocity[:, :, clean:].float(), (noise - latents)[:, :, clean:])


def noise_levels(count: int, rng: np.random.Generator) -> torch.Tensor:
    """Stratified over the scheduler's own distribution."""
    u = (rng.permutation(count) + rng.random(count)) / count
    return torch.tensor(SHIFT * u / (1 + (SHIFT - 1) * u), dtype=torch.float32)


def optimizers_for(model: nn.Module) -> list[torch.optim.Optimizer]:
    """Muon for the blocks' matrices (it needs about half of Adam's steps here), AdamW for the
    rest."""
    matrices = [
        p for name, p in model.named_parameters() if p.ndim == 2 and name.startswith("blocks.")
    ]
    chosen = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in chosen]
    optimizers: list[torch.optim.Optimizer] = [
        Muon(matrices, lr=2e-3, weight_decay=0.01),
        torch.optim.AdamW(others, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.01),
    ]
    remember_rates(optimizers)
    return optimizers


def train_transformer(folder: Path, sampler: Sampler, validation: Sampler) -> WanTransformer3DModel:
    """Train it, or finish or load what `folder` holds. Returns the averaged weights."""
    torch.manual_seed(2)
    held = [validation.draw(generator("transformer-validation", i), 0.4) for i in range(12)]
    model = new_transformer()
    for stage in STAGES:
        model = _train_stage(stage, model, folder, sampler, held)
    return model.eval()


def _train_stage(
    stage: Stage, model: Any, folder: Path, sampler: Sampler, held: list[Batch]
) -> Any:
    """Train `model` through one stage; returns the averaged weights, as a new model."""
    average = copy.deepcopy(model).requires_grad_(False)
    optimizers = optimizers_for(model)
    denoiser = Denoiser(model)

    def do_step(step: int, rng: np.random.Generator) -> dict[str, float]:
        set_rate(optimizers, stage.rate * schedule(step, stage.steps))
        batch = sampler.draw(rng, stage.continued)
        loss = loss_of(denoiser, batch, noise_levels(len(batch.latents), rng))
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        weight = 1 - min(_AVERAGE, (step + 1) / (step + 10))
        for mean, now in zip(average.parameters(), model.parameters(), strict=True):
            mean.lerp_(now, weight)
        kind = "continue" if batch.clean else "text"
        return {"loss": loss.item(), f"loss_{kind}_{batch.latents.shape[2]}": loss.item()}

    state = {"model": model, "average": average}
    state |= {f"optimizer_{i}": optimizer for i, optimizer in enumerate(optimizers)}
    Training(stage.name, folder, stage.steps, state).run(
        do_step, every=200, validate=lambda: _validate(Denoiser(average, compiled=False), held)
    )
    return copy.deepcopy(average).requires_grad_(True)


@torch.no_grad()
def _validate(denoiser: Denoiser, held: list[Batch]) -> dict[str, float]:
    """The loss on clips and noise that are the same each time and never trained on."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        rng = generator("transformer-noise", 0)
        losses = [
            float(loss_of(denoiser, batch, noise_levels(len(batch.latents), rng))) for batch in held
        ]
    return {"validation": round(float(np.mean(losses)), 5)}
