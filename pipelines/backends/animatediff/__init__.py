"""AnimateDiff: Stable Diffusion 1.5 with a motion adapter, 8 frames a second, silent."""
