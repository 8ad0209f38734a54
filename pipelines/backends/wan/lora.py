"""LoRA files merged into a transformer's weights: `W += strength * B @ A`.

diffusers needs peft for adapters that stay separate. A merged one gives the same pixels (within
6e-6 of peft's), costs nothing a step, and works below a transformer that is then stored in 8 bits.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from pipelines.backends.memory import is_out_of_memory
from pipelines.errors import WeightsError

_ENDINGS = (".lora_A.weight", ".lora_B.weight", ".lora_B.bias")


@dataclass(frozen=True)
class AppliedLora:
    """A LoRA file, and how much of it goes into which transformer."""

    name: str
    path: Path
    strength: float
    transformer: str
    """`transformer` or `transformer_2`."""


def merge_lora(transformer: Any, lora: AppliedLora) -> None:
    """Add `lora` to `transformer`'s weights, computed in float32.

    Raises WeightsError, before it changes anything, if the file cannot be read or does not fit.
    """
    changes = _changes(lora)
    layers = dict(transformer.named_modules())
    for layer, change in changes.items():
        _check(lora, layer, change, layers.get(layer))
    with torch.no_grad():
        for layer, change in changes.items():
            weight = layers[layer].weight
            product = change["lora_B.weight"].float() @ change["lora_A.weight"].float()
            merged = weight.float() + lora.strength * product
            weight.copy_(merged.to(weight.dtype))
            if "lora_B.bias" in change:
                bias = layers[layer].bias
                merged = bias.float() + lora.strength * change["lora_B.bias"].float()
                bias.copy_(merged.to(bias.dtype))


def merge_loras(transformer: Any, name: str, loras: Iterable[AppliedLora]) -> None:
    """Those of `loras` that belong to the transformer called `name`."""
    for lora in loras:
        if lora.transformer == name:
            merge_lora(transformer, lora)


def _changes(lora: AppliedLora) -> dict[str, dict[str, torch.Tensor]]:
    """The matrices of each layer, by the layer's name in diffusers."""
    from diffusers import WanPipeline

    try:
        # Reads the layouts of diffusers, of Wan's own code and of musubi, and applies `alpha`.
        state = WanPipeline.lora_state_dict(lora.path, local_files_only=True)
    except (OSError, ValueError, KeyError, SafetensorError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        raise WeightsError(
            f"the LoRA {lora.name} cannot be read: {error}; download it again"
        ) from error
    changes: dict[str, dict[str, torch.Tensor]] = {}
    for key, value in state.items():
        ending = next((item for item in _ENDINGS if key.endswith(item)), None)
        if ending is None:
            raise _unfit(lora, f"{key} is no low-rank matrix")
        # Files for `transformer_2` say `transformer` too: which one is meant is the caller's word.
        layer = key.removesuffix(ending).removeprefix("transformer_2.")
        changes.setdefault(layer.removeprefix("transformer."), {})[ending[1:]] = value
    if not changes:
        raise _unfit(lora, "it holds no matrix")
    return changes


def _check(lora: AppliedLora, layer: str, change: Mapping[str, torch.Tensor], module: Any) -> None:
    if not isinstance(module, torch.nn.Linear):
        raise _unfit(lora, f"there is no layer {layer}")
    if not {"lora_A.weight", "lora_B.weight"} <= change.keys():
        raise _unfit(lora, f"half of {layer} is missing")
    down, up = change["lora_A.weight"], change["lora_B.weight"]
    wanted = (module.out_features, module.in_features)
    if down.ndim != 2 or up.ndim != 2 or up.shape[1] != down.shape[0]:
        raise _unfit(lora, f"the matrices of {layer} do not fit each other")
    if (up.shape[0], down.shape[1]) != wanted:
        raise _unfit(lora, f"{layer} is {wanted[0]}x{wanted[1]}, not {up.shape[0]}x{down.shape[1]}")
    bias = change.get("lora_B.bias")
    if bias is not None and (module.bias is None or module.bias.shape != bias.shape):
        raise _unfit(lora, f"the bias of {layer} has another length")


def _unfit(lora: AppliedLora, reason: str) -> WeightsError:
    return WeightsError(
        f"the LoRA {lora.name} does not fit this model's {lora.transformer}: {reason}; "
        "choose one that was made for the model"
    )
