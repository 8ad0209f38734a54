"""Where the models of a pipeline are while it works."""

from typing import Any

import torch

from pipelines.backends.wan.memory_plan import Placement

_STREAMING = ("group_offloading", "layer_execution_tracker", "lazy_prefetch_group_offloading")
"""Names of diffusers' hooks that bring the blocks of a model to the device and take them back."""


def place(pipeline: Any, device: torch.device, placement: Placement, stored: str) -> None:
    """Put the models of `pipeline` where `placement` says, from wherever they were.

    `stored` is how the transformers are kept, see `Source`.
    """
    take_off(pipeline)
    if placement == "resident":
        pipeline.to(device)
    elif placement == "offload":
        # One model at a time, in the pipeline's order: A14B's transformers take turns too.
        pipeline.enable_model_cpu_offload(device=device)
    else:
        pipeline.to("cpu")
        for transformer in transformers_of(pipeline):
            _stream(transformer, device, stored)
        pipeline.vae.to(device)


def transformers_of(pipeline: Any) -> list[Any]:
    """The transformer of `pipeline`, or both."""
    found = [getattr(pipeline, name, None) for name in ("transformer", "transformer_2")]
    return [item for item in found if item is not None]


def take_off(pipeline: Any) -> None:
    """Undo what moves the models of `pipeline` while they work. They stay where they are now."""
    from diffusers.hooks import HookRegistry

    pipeline.remove_all_hooks()
    for transformer in transformers_of(pipeline):
        # diffusers' pipeline removes accelerate's hooks and leaves its own: with these, `to`
        # would move nothing.
        registry = HookRegistry.check_if_exists_or_initialize(transformer)
        for name in _STREAMING:
            registry.remove_hook(name, recurse=True)


def _stream(transformer: Any, device: torch.device, stored: str) -> None:
    """Keep `transformer` on the CPU and bring each block to `device` just before it works."""
    transformer.enable_group_offload(
        onload_device=device,
        offload_device=torch.device("cpu"),
        offload_type="block_level",
        num_blocks_per_group=1,
        # The next block comes while this one computes. Not with layers stored in 8 bits: their
        # casts and a second stream together gave NaN in diffusers.
        use_stream=device.type == "cuda" and stored != "fp8",
        low_cpu_mem_usage=True,
    )
