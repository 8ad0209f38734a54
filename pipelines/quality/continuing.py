"""Makes a chunk continue the previous one: repeated frames are removed, colours are matched."""

from collections.abc import Sequence

import numpy as np

from pipelines.backends.base import Frame
from pipelines.media.frame import mix
from pipelines.quality.features import Floats
from pipelines.schema.presets import FADE_SECONDS

_GAIN = (0.8, 1.25)
_OFFSET = 24.0
"""Limits of the colour correction. Drift is small; a larger difference belongs to the picture."""
_FLAT = 2.0
"""Standard deviation, in levels of 255, below which a channel gives no reliable contrast."""
_ALIKE = 0.75
"""Share of the pixels that show the same in the repetition, whatever was drawn differently."""


def go_on(frames: Sequence[Frame], overlap: Sequence[Frame]) -> list[Frame]:
    """The new frames of a chunk that was given `overlap`, in the colours of the previous chunk.

    The chunk repeats `overlap`. The difference of mean and contrast in each channel between the
    repetition and `overlap` is the drift of its colours. Because every chunk is corrected, all
    chunks have the colours of the first one.
    """
    repeated, new = frames[: len(overlap)], frames[len(overlap) :]
    table = _correction(np.stack(repeated), np.stack(overlap))
    return [_apply(frame, table) for frame in new]


def dissolve(last: Frame, frames: Sequence[Frame], fps: int) -> list[Frame]:
    """`frames` blended in from the still frame `last` in FADE_SECONDS. Their number stays the
    same."""
    count = min(round(FADE_SECONDS * fps), len(frames))
    mixed = [
        mix(last, frame, (index + 1) / (count + 1)) for index, frame in enumerate(frames[:count])
    ]
    return mixed + list(frames[count:])


def _correction(repeated: Frame, overlap: Frame) -> Frame:
    """A table of 3 x 256 values: the corrected value for each value of each channel.

    The fit is made twice. The second time the pixels that the first one explains worst are left
    out: where the repetition shows something else, as around a thing that moved, its colours say
    nothing about the drift.
    """
    values = np.arange(256, dtype=np.float32)
    rows = []
    for channel in range(3):
        found, wanted = (part[..., channel].astype(np.float32) for part in (repeated, overlap))
        gain, offset = _drift(found, wanted)
        wrong = abs(gain * found + offset - wanted)
        kept = wrong <= np.quantile(wrong, _ALIKE)
        gain, offset = _drift(found[kept], wanted[kept])
        rows.append(np.clip(gain * values + offset, 0, 255).round().astype(np.uint8))
    return np.stack(rows)


def _drift(found: Floats, wanted: Floats) -> tuple[float, float]:
    """Gain and offset that give `found` the mean and the contrast of `wanted`."""
    gain = 1.0
    if min(found.std(), wanted.std()) > _FLAT:
        gain = float(np.clip(wanted.std() / found.std(), *_GAIN))
    return gain, float(np.clip(wanted.mean() - gain * found.mean(), -_OFFSET, _OFFSET))


def _apply(frame: Frame, table: Frame) -> Frame:
    return np.stack([table[channel][frame[..., channel]] for channel in range(3)], axis=-1)
