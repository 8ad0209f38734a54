"""Arithmetic on single frames."""

import numpy as np

from pipelines.backends.base import Frame


def mix(before: Frame, after: Frame, share: float) -> Frame:
    """Blend two frames of one size: `share` (0 to 1) of `after`, the rest of `before`."""
    mixed = before.astype(np.float32) * (1 - share) + after.astype(np.float32) * share
    return mixed.round().astype(np.uint8)
