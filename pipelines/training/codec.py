"""The VAE as batches of 2D convolutions on the weights of the real class.

Every causal 3D convolution uses only its last temporal tap (the earlier ones are zero and
stay zero); only the two temporal downsamplers look one frame back. So every latent frame
depends on its own four frames alone, nothing drifts at any length, and a training step needs
neither the chunk loop nor the feature cache of the stock forward pass. `encode` and `decode`
here equal the stock methods; a test holds them to it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from torch import nn
from torch.nn import functional

from pipelines.training.layout import GROUP

_PATCH = 2


def new_vae(
    encoder: int, decoder: int, *, channels: int, widths: Sequence[int], blocks: int
) -> AutoencoderKLWan:
    """Untrained, of so many channels at full size, and `channels` of latents.

    8x in space and 4x in time as Wan's own; the unshuffle of 2 stands for its third level.
    `widths` are factors on the channels of the three levels. Each level has `blocks` residual
    blocks, in the decoder one more. With 0 blocks all factors must be 1.
    """
    vae = AutoencoderKLWan(
        base_dim=encoder,
        decoder_base_dim=decoder,
        z_dim=channels,
        dim_mult=list(widths),
        num_res_blocks=blocks,
        temperal_downsample=[True, True],
        patch_size=_PATCH,
        in_channels=3 * _PATCH**2,
        out_channels=3 * _PATCH**2,
        latents_mean=[0.0] * channels,
        latents_std=[1.0] * channels,
    )
    with torch.no_grad():
        for name, module in vae.named_modules():
            if isinstance(module, nn.Conv3d) and module.kernel_size[0] == 3:
                kept = 2 if "down_blocks" in name and name.endswith("time_conv") else 1
                module.weight[:, :, :-kept] = 0
                module.weight *= (3 / kept) ** 0.5
        # Noise of deviation 1 would drown the start.
        vae.quant_conv.bias[channels:] = -5
    return vae


def encode(vae: Any, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and log-variance (N x channels x h x w) of groups: N x (1 or 4) x 3 x H x W."""
    group = frames.shape[1]
    x = functional.pixel_unshuffle(frames.flatten(0, 1), _PATCH)
    # diffusers' patchify orders channels as (colour, across, down), torch's as (c, down, across).
    x = x.unflatten(1, (3, _PATCH, _PATCH)).transpose(2, 3).flatten(1, 3)
    x = _conv(vae.encoder.conv_in, x.contiguous(memory_format=torch.channels_last))
    for block in vae.encoder.down_blocks:
        if hasattr(block, "conv1"):
            x = _residual(block, x)
            continue
        x = block.resample(x)
        if group > 1 and hasattr(block, "time_conv"):
            pairs = x.unflatten(0, (-1, 2))
            taps = block.time_conv.weight[:, :, :, 0, 0]
            x = torch.einsum("npchw,ocp->nohw", pairs, taps[:, :, 1:])
            x = x + block.time_conv.bias[:, None, None]
    x = _middle(vae.encoder.mid_block, x)
    x = _conv(vae.encoder.conv_out, functional.silu(_norm(vae.encoder.norm_out, x)))
    mean, spread = _conv(vae.quant_conv, x).chunk(2, dim=1)
    return mean, spread.clamp(-30, 20)


def decode(
    vae: Any,
    latents: torch.Tensor,
    group: int,
    cut: Callable[[torch.Tensor], torch.Tensor] = lambda cells: cells,
) -> torch.Tensor:
    """Groups of 1 or 4 frames, unclamped: N x group x 3 x H x W.

    `cut` may take a part of the cells before they are enlarged, where nearly all of the work is.
    """
    x = cut(first_level(vae, latents))
    for number in range(1, len(vae.decoder.up_blocks)):
        if group > 1:
            x = split(vae, number - 1, x).flatten(0, 1)
        x = next_level(vae, number, x)
    x = _conv(vae.decoder.conv_out, functional.silu(_norm(vae.decoder.norm_out, x)))
    x = x.unflatten(1, (3, _PATCH, _PATCH)).transpose(2, 3).flatten(1, 3)
    return functional.pixel_shuffle(x, _PATCH).unflatten(0, (-1, group))


def first_level(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """What the decoder knows of each cell before anything is enlarged."""
    x = latents.contiguous(memory_format=torch.channels_last)
    x = _conv(vae.decoder.conv_in, _conv(vae.post_quant_conv, x))
    x = _middle(vae.decoder.mid_block, x)
    for layer in vae.decoder.up_blocks[0].resnets:
        x = _residual(layer, x)
    return x


def split(vae: Any, number: int, x: torch.Tensor) -> torch.Tensor:
    """The level `number` at twice as many times: N x 2 x channels x h x w."""
    return _conv(vae.decoder.up_blocks[number].upsamplers[0].time_conv, x).unflatten(1, (2, -1))


def next_level(vae: Any, number: int, x: torch.Tensor) -> torch.Tensor:
    """The level `number`, twice as large as the one before, of what was split in time."""
    x = vae.decoder.up_blocks[number - 1].upsamplers[0].resample(x)
    for layer in vae.decoder.up_blocks[number].resnets:
        x = _residual(layer, x)
    return x


def _conv(layer: nn.Conv3d, x: torch.Tensor) -> torch.Tensor:
    return functional.conv2d(
        x, layer.weight[:, :, -1], layer.bias, padding=layer.kernel_size[1] // 2
    )


def _norm(layer: Any, x: torch.Tensor) -> torch.Tensor:
    return functional.normalize(x, dim=1) * layer.scale * layer.gamma.view(1, -1, 1, 1)


def _residual(layer: Any, x: torch.Tensor) -> torch.Tensor:
    short = x if isinstance(layer.conv_shortcut, nn.Identity) else _conv(layer.conv_shortcut, x)
    x = _conv(layer.conv1, functional.silu(_norm(layer.norm1, x)))
    return _conv(layer.conv2, functional.silu(_norm(layer.norm2, x))) + short


def _middle(block: Any, x: torch.Tensor) -> torch.Tensor:
    x = _residual(block.resnets[0], x)
    for attention, layer in zip(block.attentions, block.resnets[1:], strict=True):
        x = _residual(layer, attention(x[:, :, None])[:, :, 0])
    return x


def to_tensor(frames: np.ndarray[Any, np.dtype[np.uint8]]) -> torch.Tensor:
    """F x H x W x 3 in 0…255 to F x 3 x H x W in -1…1."""
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1


def encode_clip(vae: Any, frames: torch.Tensor) -> torch.Tensor:
    """Unscaled latents of 4k+1 frames: channels x (k+1) x h x w."""
    first, _ = encode(vae, frames[None, :1])
    if len(frames) == 1:
        return first.transpose(0, 1)
    rest, _ = encode(vae, frames[1:].unflatten(0, (-1, GROUP)))
    return torch.cat([first, rest]).transpose(0, 1)
