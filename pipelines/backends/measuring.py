"""Speed and memory of one clip, measured through the interface that every backend has.

A clip with few steps tells what one with all of its steps takes, because each step of a model
costs the same: see `ClipCost.with_steps`.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np

from pipelines.backends.base import BackendDefinition, BackendSession, Frame, InputMedia
from pipelines.schema.keys import Digest
from pipelines.schema.presets import BackendOptions, Preset
from pipelines.schema.request import (
    ClipInput,
    ClipRequest,
    Continuation,
    FirstFrame,
    InputKind,
    LastFrame,
    ReferenceImage,
    ReferenceVideo,
)
from pipelines.schema.sizes import Size

PROMPT = "a red ball moves to the right over a dark blue background"
_NOTHING = Digest("0" * 64)
"""Stands for an upload that nobody made."""
_GREY = 128


@dataclass(frozen=True)
class ClipCost:
    """What one clip took."""

    seconds: float
    """From the call until the last frame is in the host's memory."""
    denoise: float
    """Seconds until the last step has ended; given frames are encoded in them too."""
    step: float
    """Seconds of a step: the median of all but the first, or the first if there is no other."""
    steps: int
    """Steps that were made."""
    memory_mode: str
    allocated: int = 0
    """Most bytes that torch's tensors held on the GPU at once; 0 on a CPU."""
    reserved: int = 0
    """Most bytes that torch had taken from the GPU at once; 0 on a CPU."""
    compiled: bool = False
    """Whether compiled code made it."""

    @property
    def decode(self) -> float:
        """Seconds from the last step until the last frame is in the host's memory."""
        return self.seconds - self.denoise

    def with_steps(self, steps: int) -> "ClipCost":
        """The same clip with another number of steps, calculated."""
        more = self.step * (steps - self.steps)
        return replace(self, seconds=self.seconds + more, denoise=self.denoise + more, steps=steps)


def measure_clip(
    session: BackendSession,
    request: ClipRequest,
    media: InputMedia,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[ClipCost, list[Frame]]:
    """Make the clip of `request`; what it took, and its frames.

    `session.prepare` comes before. The GPU is waited for after every step, so that a step's end
    is the end of its work. Raises what `session.generate` raises.
    """
    _wait()
    _reset_peak()
    begin = clock()
    marks: list[float] = []

    def on_step(done: int, _: int) -> None:
        _wait()
        if done == 1:
            marks.clear()  # memory had run out and the clip begins again
        marks.append(clock())

    clip = session.generate(request, media, on_step)
    frames = list(clip.frames)
    _wait()
    end = clock()
    last = marks[-1] if marks else end
    lengths = [after - before for before, after in pairwise(marks)]
    step = median(lengths) if lengths else last - begin
    allocated, reserved = _peak()
    compiled = clip.computation is not None and clip.computation.compiled
    times = (end - begin, last - begin, step, len(marks))
    return ClipCost(*times, clip.memory_mode, allocated, reserved, compiled), frames


def trial_request(
    definition: BackendDefinition,
    preset: Preset,
    steps: int = 0,
    inputs: Iterable[InputKind] = (),
) -> ClipRequest:
    """A chunk of `preset` with words of no importance; `steps` 0 means those of the preset.

    It has the inputs that the backend cannot do without, and `inputs` besides. Options without
    steps stay as they are.
    """
    options = preset.options
    if steps and steps_of(options):
        options = options.replaced(steps=min(steps, steps_of(options)))
    kinds = sorted({*definition.capabilities.required, *inputs} - {"text"})
    overlap = definition.capabilities.overlap
    return ClipRequest(
        prompt=PROMPT,
        negative=definition.negative or "blurred",
        size=preset.size,
        fps=definition.capabilities.fps,
        frames=preset.frames,
        seed=7,
        inputs=tuple(item for kind in kinds for item in _inputs(kind, preset.options, overlap)),
        options=options.identity(),
    )


def steps_of(options: BackendOptions) -> int:
    """The number of steps; 0 for a model that has a schedule of its own."""
    return int(getattr(options, "steps", 0))


class GreyMedia:
    """Grey frames of `size` in place of all uploads and of the chunk before."""

    def __init__(self, size: Size) -> None:
        self._frame: Frame = np.full((size.height, size.width, 3), _GREY, np.uint8)

    def picture(
        self,
        digest: Digest,  # noqa: ARG002 (the interface's)
        size: Size,  # noqa: ARG002
        *,
        whole: bool = False,  # noqa: ARG002
    ) -> Frame:
        """One frame."""
        return self._frame

    def overlap(self, given: Continuation) -> Sequence[Frame]:
        """As many frames as are given."""
        return [self._frame] * given.frames

    def video(
        self,
        given: ReferenceVideo,  # noqa: ARG002
        size: Size,
        fps: int,  # noqa: ARG002
        frames: int,
    ) -> Sequence[Frame]:
        """`frames` frames of `size`: a face's differ from those of the clip."""
        return [np.full((size.height, size.width, 3), _GREY, np.uint8)] * frames


def _inputs(kind: InputKind, options: BackendOptions, overlap: int) -> Sequence[ClipInput]:
    """Inputs of a kind. Raises ValueError for one that no local backend takes."""
    match kind:
        case "first_frame":
            return [FirstFrame(picture=_NOTHING)]
        case "last_frame":
            return [LastFrame(picture=_NOTHING)]
        case "reference_image":
            return [ReferenceImage(picture=_NOTHING)]
        case "continuation":
            return [Continuation(chunk=_NOTHING, frames=overlap)]
        case "reference_video":
            roles = options.video_roles
            return [ReferenceVideo(archive=_NOTHING, role=role, start=0) for role in roles]
        case _:
            raise ValueError(f"no trial has an input of the kind {kind!r}; measure without it")


def _wait() -> None:
    """Until the GPU has done what was asked of it."""
    if cuda := _cuda():
        cuda.synchronize()


def _reset_peak() -> None:
    if cuda := _cuda():
        cuda.reset_peak_memory_stats()


def _peak() -> tuple[int, int]:
    """Most bytes allocated and reserved since the reset."""
    cuda = _cuda()
    return (cuda.max_memory_allocated(), cuda.max_memory_reserved()) if cuda else (0, 0)


def _cuda() -> Any:
    """torch.cuda if this process uses it; else None. It is typed in parts only."""
    import torch

    cuda: Any = torch.cuda
    return cuda if cuda.is_initialized() else None
