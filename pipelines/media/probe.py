"""What a video file really holds, counted packet by packet with PyAV."""

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from pipelines.errors import MediaError
from pipelines.schema.manifest import Clip
from pipelines.schema.presets import Size


@dataclass(frozen=True)
class Signature:
    """What must be equal before two clips may be joined without re-encoding."""

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
class Probe:
    """A video file's signature and its timeline in frames."""

    signature: Signature
    frames: int
    exact_timestamps: bool
    """Every frame starts exactly one frame duration after the one before, the first at 0."""
    duration: Fraction
    """Seconds that the container states."""
    keyframes: tuple[int, ...]
    """Numbers of the frames at which decoding, and copying, can begin."""

    def clip(self) -> Clip:
        rate = self.signature.rate
        return Clip(
            frames=self.frames,
            fps=int(rate),
            width=self.signature.width,
            height=self.signature.height,
            duration=float(self.frames / rate),
        )


def probe(path: Path) -> Probe:
    """Demux the whole file. Raises MediaError if it is not a video or breaks off."""
    try:
        with av.open(str(path), format="mov") as container:
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
            duration = Fraction(container.duration or 0, av.time_base)
            return Probe(_signature(stream), len(stamps), exact, duration, keyframes)
    except (av.FFmpegError, IndexError, OSError) as error:
        raise MediaError(f"{path.name} is not a readable MP4 video: {error}") from error


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
        with av.open(str(path), format="mov") as container:
            return sum(1 for _ in container.decode(video=0))
    except (av.FFmpegError, IndexError, OSError) as error:
        raise MediaError(f"{path.name} does not decode to its end: {error}") from error


def verify_clip(path: Path, *, frames: int, size: Size, fps: int, decode: bool) -> Clip:
    """Check frame count, size, rate, timestamps and duration; with `decode`, every frame.

    Raises MediaError naming what differs.
    """
    found = probe(path)
    signature = found.signature
    wanted = {
        "frames": (found.frames, frames),
        "size": (f"{signature.width}*{signature.height}", str(size)),
        "frames a second": (signature.rate, Fraction(fps)),
    }
    for what, (have, want) in wanted.items():
        if have != want:
            raise MediaError(f"{path.name} has {what} {have}, planned were {want}")
    if not found.exact_timestamps:
        raise MediaError(f"{path.name} has frames that are not 1/{fps} s apart")
    if abs(found.duration - Fraction(frames, fps)) > Fraction(1, 1000):
        raise MediaError(
            f"{path.name} states {float(found.duration):.4f} s, planned were {frames / fps:.4f} s"
        )
    if decode and (count := decoded_frames(path)) != frames:
        raise MediaError(f"{path.name} decodes to {count} frames, planned were {frames}")
    return found.clip()
