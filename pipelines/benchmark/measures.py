"""Automatic measures of a finished video, each with the name of its scorer.

None of them decides a verdict: they say what people need not look for. A video is read once, frame
by frame; only reduced frames and the few that a model looks at are kept.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from PIL import Image

from pipelines.backends.base import Frame
from pipelines.benchmark.samples import Measure
from pipelines.documents.manifest import TransitionRecord
from pipelines.quality.features import measure
from pipelines.quality.gate import FROZEN, flicker_of
from pipelines.training.asked import scene_in
from pipelines.training.places import SIDE
from pipelines.training.sight import see
from pipelines.training.world import Scene

EXACT = "demo world, exact"
"""Shape, colour, way and background of a coloured shape that crosses a plain background, read from
the pixels."""
PIXELS = "Reelwright, pixels"
"""Brightness and its changes."""
SEAMS = "Reelwright, seam score"
LOOKED_AT = 8
"""Frames of a video that a model looks at, evenly spread."""


class PromptScorer(Protocol):
    """Says how well pictures show what a text says."""

    @property
    def name(self) -> str:
        """The model, for people."""

    def score(self, prompt: str, frames: Sequence[Frame]) -> float:
        """Mean over the frames; more is better."""


@dataclass
class _Kept:
    """What is kept of a video while it is read."""

    small: list[Frame] = field(default_factory=list)
    """SIDE x SIDE pixels."""
    chosen: list[Frame] = field(default_factory=list)


def measures_of(
    prompt: str,
    frames: Iterable[Frame],
    count: int,
    transitions: Sequence[TransitionRecord],
    scorer: PromptScorer | None,
) -> tuple[Measure, ...]:
    """All measures of a video of `count` frames.

    `scorer` is the model that compares pictures with the prompt; None if none is installed.
    """
    kept, asked = _Kept(), scene_in(prompt)
    wanted = set(np.linspace(0, count - 1, min(LOOKED_AT, count)).round().astype(int).tolist())
    read = _watched(frames, kept, wanted if scorer else set(), small=asked is not None)
    brightness, steps = measure(read)
    found = [
        Measure(name="flicker, levels of 255", value=flicker_of(brightness.mean), scorer=PIXELS)
    ]
    if len(steps.structure):
        usual = float(np.median(steps.structure))
        frozen = float((steps.structure < FROZEN).mean())
        found.append(Measure(name="motion, levels of 255 a frame", value=usual, scorer=PIXELS))
        found.append(Measure(name="frozen frames, share", value=frozen, scorer=PIXELS))
    if transitions:
        worst = max(item.seam.score for item in transitions)
        found.append(Measure(name="worst seam, times the usual step", value=worst, scorer=SEAMS))
    if asked is not None:
        found.append(Measure(name="prompt, share right", value=_right(asked, kept), scorer=EXACT))
    if scorer is not None:
        value = scorer.score(prompt, kept.chosen)
        found.append(Measure(name="prompt match, cosine", value=value, scorer=scorer.name))
    return tuple(item.model_copy(update={"value": round(item.value, 4)}) for item in found)


def _right(asked: Scene, kept: _Kept) -> float:
    """Share of the attributes asked for that the video shows."""
    seen = see(np.stack(kept.small)).scene
    wanted = [(name, value) for name, value in asked._asdict().items() if value]
    right = [name for name, value in wanted if getattr(seen, name) == value]
    return len(right) / len(wanted)


def _watched(
    frames: Iterable[Frame], kept: _Kept, chosen: set[int], *, small: bool
) -> Iterator[Frame]:
    for index, frame in enumerate(frames):
        if small:
            kept.small.append(_reduced(frame))
        if index in chosen:
            kept.chosen.append(frame)
        yield frame


def _reduced(frame: Frame) -> Frame:
    """SIDE x SIDE pixels, averaged. Another shape than a square is stretched: colours, directions
    and what covers what stay."""
    if frame.shape[:2] == (SIDE, SIDE):
        return frame
    picture = Image.fromarray(frame).resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(picture, np.uint8)
