"""The stages of a run, in order. Costs, progress and pages use this list."""

from typing import Literal, get_args

Stage = Literal["enhance", "encode", "chunks", "stitch", "upscale", "upload"]
STAGES: tuple[Stage, ...] = get_args(Stage)
SHARES: dict[str, int] = dict(zip(STAGES, (5, 5, 65, 2, 20, 3), strict=True))
"""Approximate share of a run that each stage takes, in per cent. Only the progress bar uses it."""
