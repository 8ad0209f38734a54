"""Counts the contents of a video file, packet by packet, with PyAV."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from pipelines.errors import MediaError
from pipelines.schema.clip import AudioInfo, Clip
from pipelines.schema.sizes import Size

_AAC_PACKET = 1024
"""Samples of one packet. The encoder fills up the last packet and adds one before the first sample.
Players drop that one; some decoders do not."""


@dataclass(frozen=True)
class Signature:
    """The properties that must be equal in two clips before they can be joined without encoding."""

    codec: str
    profile: str
    width: int
    height: int
    pixel_format: str
    time_base: Fraction
    rate: Fraction
    has_b_frames: bool
    colour: tuple[int, ...]
    """Range, matrix, primaries, transfer as the numbers of ISO/IEC 23091."""
    extradata: str


@dataclass(frozen=True)
class AudioTrack:
    """The sound of a video file, decoded to its end."""

    codec: str
    rate: int
    channels: int
    samples: int
    start: Fraction
    """Seconds from the file's time 0 to the first sample that is heard."""

    @property
    def seconds(self) -> Fraction:
        return Fraction(self.samples, self.rate)


@dataclass(frozen=True)
class Probe:
    """A video file's signature and its timeline in frames."""

    signature: Signature
    frames: int
    exact_timestamps: bool
    """Every frame starts exactly one frame duration after the one before, the first at 0."""
    duration: Fraction
    """Seconds of the video stream. The file may be longer, because of its sound."""
    keyframes: tuple[int, ...]
    """Numbers of the frames at which decoding and copying can begin."""
    audio: AudioTrack | None

    def clip(self) -> Clip:
        """The description for the manifest."""
        rate = self.signature.rate
        audio = None
        if (found := self.audio) is not None:
            audio = AudioInfo(
                codec=found.codec,
                rate=found.rate,
                channels=found.channels,
                seconds=float(found.seconds),
            )
        return Clip(
            frames=self.frames,
            fps=int(rate),
            width=self.signature.width,
            height=self.signature.height,
            duration=float(self.frames / rate),
            audio=audio,
        )


@contextmanager
def _opened(path: Path) -> Iterator[av.container.InputContainer]:
    """Open the file as MP4 only: other formats may name other files or addresses."""
    options = {"protocol_whitelist": "file"}
    with av.open(str(path.resolve()), format="mov", options=options) as container:
        yield container


def probe(path: Path) -> Probe:
    """Read all packets of the file and decode its sound.

    Raises MediaError if it is no readable MP4 video, has more than one sound, or is truncated.
    """
    try:
        audio = _audio_track(path)
        with _opened(path) as container:
            stream = container.streams.video[0]
            if stream.time_base is None or stream.average_rate is None:
                raise MediaError(f"{path.name} does not say how fast its frames follow")
            packets = sorted(
                (packet.pts, packet.is_keyframe)
                for packet in container.demux(stream)
                if packet.pts is not None and packet.size
            )
            stamps = [stamp for stamp, _ in packets]
            keyframes = tuple(number for number, (_, key) in enumerate(packets) if key)
            step = 1 / (stream.average_rate * stream.time_base)
            exact = all(stamp == step * index for index, stamp in enumerate(stamps))
            duration = (stream.duration or 0) * stream.time_base
            return Probe(_signature(stream), len(stamps), exact, duration, keyframes, audio)
    except (av.FFmpegError, IndexError, OSError) as error:
        raise MediaError(f"{path.name} is not a readable MP4 video: {error}") from error


def _audio_track(path: Path) -> AudioTrack | None:
    with _opened(path) as container:
        streams = container.streams.audio
        if not streams:
            return None
        if len(streams) > 1:
            raise MediaError(f"{path.name} holds {len(streams)} sounds; there may be one")
        stream, samples, start = streams[0], 0, None
        for frame in container.decode(stream):
            if start is None:
                start = (frame.pts or 0) * (frame.time_base or Fraction(0))
            samples += frame.samples
        context = stream.codec_context
        channels = context.layout.nb_channels
        start = start or Fraction(0)
        return AudioTrack(context.name, context.sample_rate, channels, samples, start)


def _signature(stream: av.VideoStream) -> Signature:
    context = stream.codec_context
    assert stream.time_base is not None
    assert stream.average_rate is not None
    return Signature(
        codec=context.name,
        profile=str(context.profile),
        width=context.width,
        height=context.height,
        pixel_format=str(context.pix_fmt),
        time_base=stream.time_base,
        rate=stream.average_rate,
        has_b_frames=bool(context.has_b_frames),
        colour=(
            int(context.color_range),
            int(context.colorspace),
            int(context.color_primaries),
            int(context.color_trc),
        ),
        extradata=hashlib.sha256(context.extradata or b"").hexdigest(),
    )


def decoded_frames(path: Path) -> int:
    """Decode every frame and count them. Raises MediaError if one cannot be decoded."""
    try:
        with _opened(path) as container:
            return sum(1 for _ in container.decode(video=0))
    except (av.FFmpegError, IndexError, OSError) as error:
        raise MediaError(f"{path.name} does not decode to its end: {error}") from error


def verify_clip(
    path: Path, *, frames: int, size: Size, fps: int, decode: bool, sound: bool = False
) -> Clip:
    """Check frame count, size, rate, timestamps and duration; with `decode`, decode every frame.

    The file must have a sound if `sound` is true, else none. Raises MediaError, which names what
    differs.
    """
    found = probe(path)
    signature = found.signature
    wanted = {
        "frames": (found.frames, frames),
        "size": (f"{signature.width}*{signature.height}", str(size)),
        "frames a second": (signature.rate, Fraction(fps)),
        "sound": (found.audio is not None, sound),
    }
    for what, (have, want) in wanted.items():
        if have != want:
            raise MediaError(f"{path.name} has {what} {have}, planned were {want}")
    seconds = Fraction(frames, fps)
    if not found.exact_timestamps:
        raise MediaError(f"{path.name} has frames that are not 1/{fps} s apart")
    if found.duration != seconds:
        raise MediaError(
            f"{path.name} states {float(found.duration):.4f} s, planned were {float(seconds):.4f} s"
        )
    if found.audio:
        _check_sound(path, found.audio, seconds, Fraction(1, fps))
    if decode and (count := decoded_frames(path)) != frames:
        raise MediaError(f"{path.name} decodes to {count} frames, planned were {frames}")
    return found.clip()


def _check_sound(path: Path, track: AudioTrack, seconds: Fraction, frame: Fraction) -> None:
    if abs(track.seconds - seconds) > Fraction(2 * _AAC_PACKET, track.rate):
        raise MediaError(
            f"{path.name} has {float(track.seconds):.4f} s of sound, planned were "
            f"{float(seconds):.4f} s"
        )
    if abs(track.start) > frame:
        raise MediaError(
            f"the sound of {path.name} begins at {float(track.start):.4f} s; it must begin within "
            f"{float(frame):.4f} s of the first frame"
        )
