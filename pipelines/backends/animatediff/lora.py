"""Merging a LoRA into the weights of a UNet, without peft.

The names of a published LoRA are paths of modules, with dots (`unet.mid_block.….lora_A.weight`)
or with underscores (`lora_unet_mid_block_….lora_down.weight`, with an `alpha` beside).
"""

import re
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from pipelines.errors import WeightsError

_DOWN = re.compile(r"(?:lora_unet_|unet\.)(.+?)\.(lora_down|lora_A|lora\.down)\.weight")
_UP = {"lora_down": "lora_up", "lora_A": "lora_B", "lora.down": "lora.up"}


def merge_lora(unet: torch.nn.Module, file: Path, strength: float) -> int:
    """Add `strength` x the LoRA in `file` to `unet`'s weights; returns how many layers changed.

    Raises WeightsError if the file cannot be read, or belongs to a model of another shape.
    """
    try:
        tensors = load_file(file)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"the LoRA {file} cannot be read: {error}") from error
    layers = {name.replace(".", "_"): module for name, module in unet.named_modules()}
    used: set[str] = set()
    for key in tensors:
        found = _DOWN.fullmatch(key)
        if not found:
            continue
        stem, kind = key.removesuffix(f".{found[2]}.weight"), found[2]
        up, alpha = f"{stem}.{_UP[kind]}.weight", f"{stem}.alpha"
        layer = layers.get(found[1].replace(".", "_"))
        weight = getattr(layer, "weight", None)
        if weight is None or up not in tensors:
            raise WeightsError(
                f"the LoRA {file.name} changes {found[1]}, which this model does not have; "
                "install the one that belongs to it"
            )
        _add(weight, tensors[key], tensors[up], tensors.get(alpha), strength)
        used |= {key, up, alpha}
    rest = tensors.keys() - used
    if rest or not used:
        raise WeightsError(
            f"the LoRA {file.name} holds {min(rest) if rest else 'nothing'}, which is no low-rank "
            "weight of a UNet; install the one that belongs to this model"
        )
    return len(used) // 3


@torch.no_grad()
def _add(
    weight: torch.Tensor,
    down: torch.Tensor,
    up: torch.Tensor,
    alpha: torch.Tensor | None,
    strength: float,
) -> None:
    """Linear layers and convolutions alike: a kernel is a matrix of outputs x (inputs x taps)."""
    rank = down.shape[0]
    scale = strength * (float(alpha) / rank if alpha is not None else 1.0)
    # In float32: the product of two half-precision factors loses what the LoRA adds.
    change = up.float().flatten(1) @ down.float().flatten(1)
    if change.numel() != weight.numel():
        raise WeightsError(
            f"a LoRA's layer changes {change.numel()} weights where the model has "
            f"{weight.numel()}; install the one that belongs to it"
        )
    changed = weight.float() + scale * change.view_as(weight).to(weight.device)
    weight.copy_(changed.to(weight.dtype))
