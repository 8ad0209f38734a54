"""Files made of the inputs of a request, for ComfyUI's folder of inputs.

A file is named by its bytes: the same picture is uploaded under the same name again, also after a
crash, and never replaces another one.
"""

import hashlib
import io
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import av
import numpy as np
from PIL import Image

from pipelines.backends.base import Frame, InputMedia, Sound
from pipelines.backends.remote.comfyui.mapping import Target, WorkflowMapping
from pipelines.errors import BriefError
from pipelines.schema.request import (
    AudioTrack,
    ClipRequest,
    FirstFrame,
    LastFrame,
    ReferenceImage,
    ReferenceVideo,
)


@runtime_checkable
class SoundMedia(Protocol):
    """Media that have the samples behind an `AudioTrack`, too."""

    def sound(self, given: AudioTrack, fps: int, frames: int) -> Sound:
        """The sound of `frames` frames at `fps` from `given.start` on, with silence after its end.

        Raises BriefError if the sound is gone.
        """


@dataclass(frozen=True)
class InputFile:
    """A file to upload, and where its name goes."""

    name: str
    data: bytes
    media_type: str
    targets: tuple[Target, ...]


def input_files(
    mapping: WorkflowMapping, request: ClipRequest, media: InputMedia
) -> Iterator[InputFile]:
    """The files of a request, one after the other. Raises BriefError if an upload is gone."""
    size, fps, frames = request.size, request.fps, request.frames
    pictures = iter(mapping.references.to if mapping.references else ())
    whole = mapping.references is not None and mapping.references.whole
    for item in request.inputs:
        match item:
            case FirstFrame(picture=digest) if mapping.first_frame:
                yield _picture(media.picture(digest, size), mapping.first_frame.to)
            case LastFrame(picture=digest) if mapping.last_frame:
                yield _picture(media.picture(digest, size), mapping.last_frame.to)
            case ReferenceImage(picture=digest) if (target := next(pictures, None)) is not None:
                yield _picture(media.picture(digest, size, whole=whole), (target,))
            case ReferenceVideo(role=role) if role in mapping.videos:
                found = media.video(item, size, fps, frames)
                yield _video(found, fps, mapping.videos[role].to)
            case AudioTrack() if mapping.audio:
                yield _sound(_heard(media, item, fps, frames), mapping.audio.to)
    if request.continuation and mapping.continuation:
        before = media.overlap(request.continuation)
        if mapping.continuation.picture:
            yield _picture(before[0], mapping.continuation.picture)
        if mapping.continuation.video:
            yield _video(before, fps, mapping.continuation.video)


def _heard(media: InputMedia, given: AudioTrack, fps: int, frames: int) -> Sound:
    if not isinstance(media, SoundMedia):
        raise BriefError(
            "this workflow needs a sound, and briefs cannot carry one yet; choose a preset "
            "without sound as input"
        )
    return media.sound(given, fps, frames)


def _named(data: bytes, suffix: str, media_type: str, targets: tuple[Target, ...]) -> InputFile:
    return InputFile(f"{hashlib.sha256(data).hexdigest()}{suffix}", data, media_type, targets)


def _picture(frame: Frame, targets: tuple[Target, ...]) -> InputFile:
    target = io.BytesIO()
    Image.fromarray(frame).save(target, format="png")
    return _named(target.getvalue(), ".png", "image/png", targets)


def _video(frames: Sequence[Frame], fps: int, targets: tuple[Target, ...]) -> InputFile:
    """H.264 without loss and with whole colours, so that what guides a clip is what we have, but
    for the rounding of colours by one. Players need not show it: the server decodes it with
    FFmpeg's libraries."""
    target = io.BytesIO()
    height, width = frames[0].shape[:2]
    with av.open(target, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv444p"
        stream.codec_context.thread_count = 1  # the same frames give the same bytes
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return _named(target.getvalue(), ".mp4", "video/mp4", targets)


def _sound(sound: Sound, targets: tuple[Target, ...]) -> InputFile:
    """WAV of 16 bits, which every audio node reads."""
    target = io.BytesIO()
    levels = np.round(np.clip(sound.samples, -1, 1) * 32767).astype("<i2")
    with wave.open(target, "wb") as file:
        file.setnchannels(levels.shape[1])
        file.setsampwidth(2)
        file.setframerate(sound.rate)
        file.writeframes(levels.tobytes())
    return _named(target.getvalue(), ".wav", "audio/wav", targets)
