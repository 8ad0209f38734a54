"""LoRA files for the transformers of `tests.tiny.wan`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import torch

from tests.tiny.parts import seeded
from tests.tiny.wan import transformer_config

RANK = 4
Layout = Literal["diffusers", "original"]


def write_wan_lora(file: Path, seed: int = 0, layout: Layout = "diffusers") -> None:
    """Write one safetensors file; every seed gives other weights, both layouts the same ones.

    `diffusers`: keys `transformer.blocks.N.attn1.to_q.lora_A.weight`, as `save_lora_weights`
    writes them. `original`: keys `diffusion_model.blocks.N.self_attn.q.lora_down.weight` with an
    `alpha` beside, as step-distilled LoRAs of Wan are published; `alpha` is half the rank, so
    that it must be heeded to get the same result as from the other layout.
    Real: lightx2v's step-distilled LoRAs; for A14B one file a transformer, the second one loaded
    with `load_into_transformer_2=True`. Repositories, ranks and licences not verified.

    diffusers 0.42 needs peft >= 0.17 for `load_lora_weights`; without it that raises ValueError.
    `WanPipeline.lora_state_dict(file)` reads both layouts without peft (and applies `alpha`), and
    `weight + strength * lora_B @ lora_A` merges them.
    """
    from safetensors.torch import save_file

    tensors: dict[str, torch.Tensor] = {}
    with seeded(seed):
        for ours, theirs, inputs, outputs in _targets():
            down = torch.randn(RANK, inputs) / inputs**0.5
            up = torch.randn(outputs, RANK) / RANK**0.5
            if layout == "diffusers":
                tensors[f"transformer.{ours}.lora_A.weight"] = down
                tensors[f"transformer.{ours}.lora_B.weight"] = up
            else:
                tensors[f"diffusion_model.{theirs}.lora_down.weight"] = down * 2
                tensors[f"diffusion_model.{theirs}.lora_up.weight"] = up
                tensors[f"diffusion_model.{theirs}.alpha"] = torch.tensor(RANK / 2)
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, file, metadata={"format": "pt"})


def _targets() -> Iterator[tuple[str, str, int, int]]:
    """Name in diffusers, name in Wan's own code, inputs and outputs of each linear layer."""
    config = transformer_config()
    width = config["num_attention_heads"] * config["attention_head_dim"]
    hidden = config["ffn_dim"]
    for number in range(config["num_layers"]):
        block = f"blocks.{number}"
        for ours, theirs in (("attn1", "self_attn"), ("attn2", "cross_attn")):
            for name, short in (("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "o")):
                yield f"{block}.{ours}.{name}", f"{block}.{theirs}.{short}", width, width
        yield f"{block}.ffn.net.0.proj", f"{block}.ffn.0", width, hidden
        yield f"{block}.ffn.net.2", f"{block}.ffn.2", hidden, width
