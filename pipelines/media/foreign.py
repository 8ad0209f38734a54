"""Videos from outside: uploads, and videos that other servers made.

They may have any codec, size, rotation and frame rate, even a variable one, and may be malicious.
"""

from collections.abc import Generator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition

from pipelines.backends.base import Frame, Sound
from pipelines.errors import MediaError
from pipelines.media.ffmpeg import FOREIGN_FORMATS, Ffmpeg, foreign_input
from pipelines.media.sound import RATE
from pipelines.schema.sizes import Size

MAX_SIDE = 4096
"""Pixels."""
MAX_SECONDS = 600
_BT709_ROWS = 720
"""A video that does not state its colour matrix is decoded as BT.709 from this height on."""
_EARLY = 600
"""Microseconds that are subtracted from each frame's time. Matroska rounds times to 1000 of them,
and a frame that is rounded up must not come one frame too late."""
_BYTES = 2 * 4
"""Bytes of a stereo sample of 32 bits."""


@dataclass(frozen=True)
class VideoFacts:
    """The properties of a video from outside."""

    seconds: float
    """From the start of its first frame to the end of its last one."""
    fps: float
    """Frames a second on average."""
    size: Size
    """As it is displayed: after its rotation, with square pixels."""
    matrix: str
    """Colour matrix for decoding, as ffmpeg's `scale` names it; `auto` if the file states it."""
    has_sound: bool

    def frames_at(self, fps: int) -> int:
        """Number of frames at another rate, at least one."""
        return max(1, round(self.seconds * fps))


def describe_video(path: Path) -> VideoFacts:
    """Read every packet and decode one frame.

    Raises MediaError if the file is no readable video, if a side has more than MAX_SIDE pixels, or
    if the video lasts longer than MAX_SECONDS.
    """
    try:
        return _described(path)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise MediaError(
            f"{path.name} is no video that can be read ({error}); send an MP4, MOV, WebM, MKV or "
            "AVI file"
        ) from error


def _described(path: Path) -> VideoFacts:
    options = {"format_whitelist": FOREIGN_FORMATS, "protocol_whitelist": "file"}
    with av.open(str(path.resolve()), options=options) as container:
        stream = _pictures_of(container, path)
        _check_size(path, stream.codec_context.width, stream.codec_context.height)
        step = 1 / (stream.average_rate or stream.guessed_rate or Fraction(25))
        first: av.VideoFrame | None = None
        first_time: Fraction | None = None
        end, count = Fraction(0), 0
        for packet in container.demux(stream):
            if first is None:
                first = next(iter(packet.decode()), None)
            stamp = packet.dts if packet.pts is None else packet.pts
            if stamp is None or packet.is_discard or not packet.size:
                continue
            at = stamp * packet.time_base
            length = (packet.duration or 0) * packet.time_base
            first_time = min(at, first_time if first_time is not None else at)
            end = max(at + (length if length > 0 else step), end if count else at)
            count += 1
            _check_seconds(path, end - first_time)
        if first is None or first_time is None:
            raise MediaError(f"{path.name} holds no picture that can be decoded; send a video")
        seconds = end - first_time
        size = _seen_size(first, stream.sample_aspect_ratio or Fraction(1))
        _check_size(path, *size)
        return VideoFacts(
            seconds=float(seconds),
            fps=float(count / seconds),
            size=size,
            matrix=_matrix_of(first),
            has_sound=bool(container.streams.audio),
        )


def _pictures_of(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:  # a cover is no video
            return stream
    raise MediaError(f"{path.name} holds no video; send a file with moving pictures")


def _check_size(path: Path, width: int, height: int) -> None:
    if max(width, height) > MAX_SIDE:
        raise MediaError(
            f"{path.name} has {width}x{height} pixels; a side may have {MAX_SIDE}: make it smaller"
        )


def _check_seconds(path: Path, seconds: Fraction) -> None:
    if seconds > MAX_SECONDS:
        raise MediaError(
            f"{path.name} lasts longer than {MAX_SECONDS} s, the longest that is allowed: cut it "
            "shorter"
        )


def _seen_size(frame: av.VideoFrame, pixel_shape: Fraction) -> Size:
    width, height = max(1, round(frame.width * pixel_shape)), frame.height
    return Size(height, width) if frame.rotation % 180 else Size(width, height)


def _matrix_of(frame: av.VideoFrame) -> str:
    if frame.colorspace not in (2, 0):  # ISO/IEC 23091-2: 2 is unspecified, 0 is RGB
        return "auto"
    return "bt709" if frame.height >= _BT709_ROWS else "bt601"


def read_video(
    tool: Ffmpeg, path: Path, size: Size, fps: int, start: int, frames: int
) -> Generator[Frame, None, None]:
    """Yield exactly `frames` frames from frame `start` on, counted at `fps` frames a second.

    Each is the frame that is displayed at its time, cropped around the centre to the shape of
    `size`, and scaled. Everything before `start` is decoded too, because ffmpeg cannot seek exactly
    in a video of variable frame rate. Close the generator as that of `read_frames`. Raises
    MediaError as `describe_video` does, and at once if the video is too short; then, while it is
    read, as `Ffmpeg.run`.
    """
    facts = describe_video(path)
    available = facts.frames_at(fps)
    if start + frames > available:
        raise MediaError(
            f"{path.name} gives {available} frames at {fps} a second, frames {start + 1} to "
            f"{start + frames} are needed: send one of {(start + frames) / fps:.2f} s or more, or "
            "ask for a shorter video"
        )
    return _read(tool, path, size, fps, start, frames, facts.matrix)


def _read(
    tool: Ffmpeg, path: Path, size: Size, fps: int, start: int, frames: int, matrix: str
) -> Generator[Frame, None, None]:
    shape = f"{size.width}/{size.height}"
    filters = (
        # The first frame gets time 0. With `round=up`, each output frame is the one that is
        # displayed at its time; with `near` it could be a later one. Times are in microseconds,
        # because setpts drops fractions. Rounding may lose the last frame, so tpad repeats it.
        f"settb=AVTB,setpts='max(0,PTS-STARTPTS-{_EARLY})',fps={fps}:start_time=0:round=up,"
        "tpad=stop=1:stop_mode=clone,"
        f"trim=start_frame={start}:end_frame={start + frames},"
        f"crop='min(iw,ih*{shape}/sar)':'min(ih,iw*sar*{size.height}/{size.width})':exact=1,"
        f"scale={size.width}:{size.height}:in_color_matrix={matrix}:out_range=pc"
        ":flags=lanczos+accurate_rnd+full_chroma_int+full_chroma_inp,format=rgb24"
    )
    source = foreign_input(path, max_pixels=MAX_SIDE**2)
    node = source["V:0"].output("pipe:", f="rawvideo", vf=filters, fps_mode="passthrough")
    length = size.width * size.height * 3
    with tool.reading(node) as pipe:
        for index in range(frames):
            data = pipe.read(length)
            if len(data) != length:
                raise MediaError(
                    f"{path.name} breaks off at frame {start + index + 1} of {start + frames}; "
                    "send a whole video"
                )
            yield np.frombuffer(data, np.uint8).reshape(size.height, size.width, 3)


def split_sound(tool: Ffmpeg, path: Path, video_path: Path) -> Sound | None:
    """Copy the pictures of `path` to `video_path` as a silent MP4, and return the sound, if any.

    The sound is stereo at 48 kHz and exactly as long as the pictures; if it starts late, silence
    comes first. Raises MediaError as `describe_video` does, or if MP4 cannot hold the codec; and as
    `Ffmpeg.run`.
    """
    facts = describe_video(path)
    source = foreign_input(path)
    options = {"c": "copy", "movflags": "+faststart", "fflags": "+bitexact", "map_metadata": -1}
    tool.run(source["V:0"].output(str(video_path.resolve()), f="mp4", **options))
    if not facts.has_sound:
        return None
    length = round(facts.seconds * RATE)
    skipped = round(_start_of_pictures(path) * RATE)
    # aresample fills gaps between packets, and before the first one, with silence.
    node = source["a:0"].output(
        "pipe:",
        f="f32le",
        ac=2,
        ar=RATE,
        af=f"aresample={RATE}:async=1:first_pts=0,atrim=start_sample={skipped}"
        f":end_sample={skipped + length},asetpts=PTS-STARTPTS",
    )
    with tool.reading(node) as pipe:
        data = pipe.read(length * _BYTES)
    samples = np.zeros((length, 2), np.float32)
    heard = np.frombuffer(data[: len(data) // _BYTES * _BYTES], "<f4").reshape(-1, 2)
    samples[: len(heard)] = heard
    return Sound(samples, RATE)


def _start_of_pictures(path: Path) -> Fraction:
    """Seconds from the start of the first stream, which is ffmpeg's time 0, to the first frame."""
    options = {"format_whitelist": FOREIGN_FORMATS, "protocol_whitelist": "file"}
    with av.open(str(path.resolve()), options=options) as container:
        stream = _pictures_of(container, path)
        begin = Fraction(container.start_time or 0, av.time_base)
        return max(Fraction(0), (stream.start_time or 0) * (stream.time_base or 0) - begin)
