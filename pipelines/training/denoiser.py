"""Flow matching on the stock transformer, as the pipelines sample it.

One checkpoint serves text-to-video (every latent frame noisy) and continuation (the first
latent frame clean, with a timestep of its own: 0), which is what `WanImageToVideoPipeline`
does with `expand_timesteps`. Noise levels follow the scheduler's shift of 3.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import WanTransformer3DModel
from diffusers.models.transformers.transformer_wan import WanAttnProcessor
from torch import nn
from torch.nn import functional
from transformers import PreTrainedTokenizerFast, UMT5EncoderModel

from pipelines.backends.wan.text_encoder import MAX_TOKENS
from pipelines.training.loop import remember_rates
from pipelines.training.muon import Muon
from pipelines.training.text import tokens_of

HEAD_DIM = 32
SHIFT = 3.0
_SAMPLE = 24
"""Tokens of a caption that the transformer is shown."""


def new_transformer(
    heads: int, layers: int, feed_forward: int, text: int, channels: int
) -> WanTransformer3DModel:
    """Untrained, its first prediction zero. `text` is the text encoder's width."""
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
