"""Where the models of a pipeline are while it works."""

from typing import Any

import torch

from pipelines.backends.wan.memory_plan import Placement


def place(pipeline: Any, device: torch.device, placement: Placement, stored: str) -> None:
    """Put the models of `pipeline` where `placement` says, from wherever they were.

    `stored` is how the transformers are kept, see `Source`.
    """
    pipeline.remove_all_hooks()
    if placement == "resident":
        pipeline.to(device)
    elif placement == "offload":
        # One model at a time, in the pipeline's order: A14B's transformers take turns too.
        pipeline.enable_model_cpu_offload(device=device)
    else:
        pipeline.to("cpu")
        for name in ("transformer", "transformer_2"):
            transformer = getattr(pipeline, name, None)
            if transformer is not None:
                _stream(transformer, device, stored)
        pipeline.vae.to(device)


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
