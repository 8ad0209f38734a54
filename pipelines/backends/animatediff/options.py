"""Options of AnimateDiff's backends."""

from typing import Literal

from pydantic import Field

from pipelines.schema.presets import BackendOptions

CONTEXT = 16
"""Frames the adapter was trained on; longer clips are made in windows of it by FreeNoise."""


class AnimateDiffOptions(BackendOptions):
    """Options of AnimateDiff's pipeline."""

    scheduler: Literal["ddim", "euler"] = "ddim"
    """DDIM, or Euler's method on the same noise schedule."""
    steps: int = Field(default=25, ge=1, le=100)
    """Denoising steps."""
    guidance: float = Field(default=7.5, ge=1, le=20)
    """How closely the text is followed; above 1 each step costs two passes."""


class AnimateLcmOptions(BackendOptions):
    """Options of the distilled one, which always uses the LCM scheduler."""

    scheduler: Literal["lcm"] = "lcm"
    steps: int = Field(default=6, ge=1, le=12)
    guidance: float = Field(default=2.0, ge=1, le=4)
    lora_strength: float = Field(default=0.8, ge=0, le=1)
    """Share of the LoRA that belongs to the adapter."""


Options = AnimateDiffOptions | AnimateLcmOptions
