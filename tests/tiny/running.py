"""Loading a tiny checkpoint through diffusers and making a film with it."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

SIDE = 32
"""Width and height in pixels, legal for every model."""

SD = {"width": 16, "height": 16, "num_inference_steps": 1, "max_sequence_length": None}
"""Size and steps for AnimateDiff, which knows no `max_sequence_length`."""

LTX2 = {
    "frame_rate": 24.0,
    "guidance_scale": 1.0,
    "stg_scale": 0.0,
    "modality_scale": 1.0,
    "guidance_rescale": 0.0,
    "audio_guidance_scale": 1.0,
    "audio_stg_scale": 0.0,
    "audio_modality_scale": 1.0,
    "audio_guidance_rescale": 0.0,
}
"""What the distilled model is called with."""


def load(class_name: str, folder: Path, **options: Any) -> Any:
    import diffusers

    settings = {"dtype": torch.bfloat16, "local_files_only": True, **options}
    pipeline = getattr(diffusers, class_name).from_pretrained(folder, **settings)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def call(pipeline: Any, seed: int = 0, **inputs: Any) -> Any:
    settings = {
        "prompt": "A red circle",
        "width": SIDE,
        "height": SIDE,
        "num_inference_steps": 2,
        "max_sequence_length": 16,
        "output_type": "np",
        "generator": torch.Generator().manual_seed(seed),
        **inputs,
    }
    return pipeline(**{name: value for name, value in settings.items() if value is not None})


def film(pipeline: Any, seed: int = 0, **inputs: Any) -> np.ndarray:
    """Frames x height x width x 3, all of them finite."""
    frames: np.ndarray = call(pipeline, seed, **inputs).frames[0]
    assert np.isfinite(frames).all()
    return frames


def film_twice(pipeline: Any, **inputs: Any) -> np.ndarray:
    """As `film`; the same seed has given the same frames again."""
    frames = film(pipeline, **inputs)
    assert np.array_equal(frames, film(pipeline, **inputs))
    return frames


def picture(seed: int = 0, side: int = SIDE) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Image.fromarray(values)


def pictures(count: int, seed: int = 0, side: int = SIDE) -> list[Image.Image]:
    return [picture(seed + number, side) for number in range(count)]


def masks(*levels: int) -> list[Image.Image]:
    return [Image.new("L", (SIDE, SIDE), level) for level in levels]


def animatediff(folder: Path) -> Any:
    from diffusers import DDIMScheduler, MotionAdapter

    adapter = MotionAdapter.from_pretrained(folder / "adapter", dtype=torch.bfloat16)
    pipeline = load("AnimateDiffPipeline", folder / "base", motion_adapter=adapter)
    pipeline.scheduler = DDIMScheduler.from_config(
        pipeline.scheduler.config,
        beta_schedule="linear",
        clip_sample=False,
        timestep_spacing="linspace",
    )
    return pipeline
