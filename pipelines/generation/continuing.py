"""Making a chunk go on from the one before: what repeats is dropped, colours are matched."""

from collections.abc import Sequence

import numpy as np

from pipelines.media.codec import Frame
from pipelines.schema.presets import FADE

_GAIN = (0.8, 1.25)
_OFFSET = 24.0
"""Limits of the correction: drift is small, anything larger is the picture itself."""
_FLAT = 2.0
"""Deviation in levels of 255 below which a channel says nothing about contrast."""


def go_on(frames: Sequence[Frame], tail: Sequence[Frame]) -> list[Frame]:
    """The new frames of a chunk that was given `tail`, in the colours of the chunk before.

    The chunk repeats `tail`; how its repetition differs in mean and contrast of each channel
    is how its colours drifted. As every chunk is matched so, all have the first one's colours.
    """
    repeated, new = frames[: len(tail)], frames[len(tail) :]
    table = _correction(np.stack(repeated), np.stack(tail))
    return [_apply(frame, table) for frame in new]


def dissolve(last: Frame, frames: Sequence[Frame]) -> list[Frame]:
    """`frames` rising out of the held `last` one within FADE frames; none is lost or added."""
    count = min(FADE, len(frames))
    mixed = [
        mix(last, frame, (index + 1) / (count + 1)) for index, frame in enumerate(frames[:count])
    ]
    return mixed + list(frames[count:])


def mix(before: Frame, after: Frame, share: float) -> Frame:
    """`share` of `after`, the rest of `before`."""
    mixed = before.astype(np.float32) * (1 - share) + after.astype(np.float32) * share
    return mixed.round().astype(np.uint8)


def _correction(repeated: Frame, tail: Frame) -> Frame:
    """A table 3 x 256: the corrected value of each value of each channel."""
    values = np.arange(256, dtype=np.float32)
    rows = []
    for channel in range(3):
        found, wanted = repeated[..., channel], tail[..., channel]
        gain = 1.0
        if min(found.std(), wanted.std()) > _FLAT:
            gain = float(np.clip(wanted.std() / found.std(), *_GAIN))
        offset = float(np.clip(wanted.mean() - gain * found.mean(), -_OFFSET, _OFFSET))
        rows.append(np.clip(gain * values + offset, 0, 255).round().astype(np.uint8))
    return np.stack(rows)


def _apply(frame: Frame, table: Frame) -> Frame:
    return np.stack([table[channel][frame[..., channel]] for channel in range(3)], axis=-1)
