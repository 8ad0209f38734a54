"""The trained parts as one folder that `WanPipeline.from_pretrained` loads."""

from pathlib import Path
from typing import Any

import torch
from diffusers import UniPCMultistepScheduler, WanPipeline


def save_checkpoint(folder: Path, tokenizer: Any, encoder: Any, vae: Any, transformer: Any) -> None:
    """Write everything in fp16 to `folder`; the weights passed in are rounded to it too."""
    scheduler = UniPCMultistepScheduler(
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        flow_shift=3.0,
        num_train_timesteps=1000,
        solver_order=2,
    )
    pipeline = WanPipeline(
        tokenizer=tokenizer,
        text_encoder=encoder.to(torch.float16),
        transformer=transformer.to(torch.float16),
        vae=vae.to(torch.float16),
        scheduler=scheduler,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
