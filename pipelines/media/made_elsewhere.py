"""Reads and checks the clip that a service made."""

import logging
from pathlib import Path

import numpy as np

from pipelines.backends.base import GeneratedClip, Sound
from pipelines.errors import GenerationError
from pipelines.media.ffmpeg import Ffmpeg
from pipelines.media.foreign import VideoFacts, describe_video, read_video, split_sound
from pipelines.media.sound import RATE, part_of
from pipelines.schema.request import ClipRequest

_log = logging.getLogger("reelwright.remote")
_RATE_TOLERANCE = 0.02
"""Share by which the rate may differ: 23.976 for 24."""


def read_clip(
    tool: Ffmpeg, path: Path, request: ClipRequest, title: str, *, sound: bool
) -> GeneratedClip:
    """The frames of the video at `path`, decoded to its end, and its sound if that is wanted.

    `title` names the backend in errors. A clip may be up to a second longer than asked for; the
    rest is cut off. Raises MediaError if it cannot be read to its end, and GenerationError if it
    has another size or rate, or is shorter or more than a second longer than was asked for.
    """
    facts = describe_video(path)
    _check(facts, request, title)
    # Decoded now and not while the frames are drawn: a fault must be known before the clip counts.
    frames = list(read_video(tool, path, request.size, request.fps, 0, request.frames))
    heard = _sound(tool, path, request) if sound else None
    return GeneratedClip(iter(frames), "", heard)


def _check(facts: VideoFacts, request: ClipRequest, title: str) -> None:
    got = f"{facts.frames_at(request.fps)} frames of {facts.size} at {facts.fps:.3g} a second"
    asked = f"{request.frames} frames of {request.size} at {request.fps} a second"
    frames = facts.frames_at(request.fps)
    fits = request.frames <= frames <= request.frames + request.fps
    same_rate = abs(facts.fps / request.fps - 1) <= _RATE_TOLERANCE
    if facts.size != request.size or not fits or not same_rate:
        raise GenerationError(
            f"{title} made {got}, but {asked} were asked for: its entry in the backends file and "
            "its model do not fit each other; correct the entry, then run again"
        )


def _sound(tool: Ffmpeg, path: Path, request: ClipRequest) -> Sound:
    """The sound of the frames; silence if the service made none this time."""
    pictures = path.with_suffix(".pictures.mp4")
    try:
        sound = split_sound(tool, path, pictures)
    finally:
        pictures.unlink(missing_ok=True)
    if sound is None:
        _log.warning("a clip came without sound; it stays silent")
        sound = Sound(np.zeros((0, 2), np.float32), RATE)
    return part_of(sound, request.fps, 0, request.frames)
