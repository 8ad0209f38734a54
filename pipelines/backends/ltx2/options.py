"""Options of LTX-2's backend."""

from typing import Literal

from pydantic import Field

from pipelines.schema.presets import BackendOptions

MAX_TOKENS = 1024
"""Length to which every text is padded on its left, the pipeline's default. What is longer is
cut."""
STEPS = 8
"""Length of the distilled model's own schedule."""


class Ltx2Options(BackendOptions):
    """Options of the distilled LTX-2.5."""

    guidance: float = Field(default=1.0, ge=1, le=5)
    """1 is what it was distilled for; above 1 each step costs two passes and the negative text
    counts."""
    weights: Literal["full", "fp8"] = "full"
    """`fp8` keeps the transformer's layers in 8 bits (float8_e4m3fn) and computes in 16: half the
    memory, and other pixels."""
