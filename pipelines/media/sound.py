"""The sound of chunks, and the film's sound made from it.

A chunk's sound lies beside its silent clip as FLAC. The film's sound is computed from samples and
encoded once: joining encoded AAC would leave a gap of up to 21 ms at every join, because AAC
stores whole packets of 1024 samples. All positions are computed from frame numbers, so that
rounding errors do not add up.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import ffmpeg
import numpy as np
import numpy.typing as npt
from av.audio.resampler import AudioResampler

from pipelines.backends.base import Sound
from pipelines.errors import MediaError
from pipelines.media.codec import mp4_options
from pipelines.media.ffmpeg import Ffmpeg, forced_input
from pipelines.media.probe import probe, verify_clip
from pipelines.schema.clip import Clip
from pipelines.schema.sizes import Size

RATE = 48_000
"""Samples a second of every film."""
CUT_FADE = RATE // 100
"""Samples (10 ms) in which a sound fades in or out at a cut. A sudden step is heard as a click."""
_LAYOUTS = {1: "mono", 2: "stereo"}
_FULL = 1 << 23
"""Full scale of 24 bits, which FLAC holds. The last 8 of 32 bits are empty."""
_BIT_RATE = "192k"


@dataclass(frozen=True)
class ChunkSound:
    """The sound of a chunk and its place in the film, in frames."""

    sound: Sound | None
    """Sound of the chunk's clip, from its first frame on; None is silence."""
    blend: int
    """First frames in which the sound fades in while the previous chunk fades out; 0 at a cut."""
    frame_count: int
    """Frames by which it makes the film longer."""


def samples_of(frames: int, fps: int, rate: int = RATE) -> int:
    """Number of samples that last as long as `frames` frames, rounded half up."""
    return (2 * frames * rate + fps) // (2 * fps)


def part_of(sound: Sound, fps: int, start: int, frames: int) -> Sound:
    """The sound of `frames` frames from frame `start` on, padded with silence."""
    begin = samples_of(start, fps, sound.rate)
    length = samples_of(start + frames, fps, sound.rate) - begin
    return _fitted(replace(sound, samples=sound.samples[begin:]), length)


def _fitted(sound: Sound, length: int) -> Sound:
    """Exactly `length` samples: cut, or padded with silence."""
    missing = max(0, length - len(sound.samples))
    samples = np.pad(sound.samples[:length], ((0, missing), (0, 0)))
    return replace(sound, samples=samples)


def write_sound(path: Path, sound: Sound, seconds: Fraction | float) -> None:
    """Write the first `seconds` of `sound` as FLAC of 24 bits; a shorter sound is padded with
    silence.

    The same sound gives the same bytes. The file appears only when it is complete and verified.
    Raises MediaError if the sound does not have 1 or 2 channels, if a sample is not finite, or if
    the file does not hold the samples; and av.FFmpegError if the file cannot be written.
    """
    _check(sound)
    length = math.floor(Fraction(seconds) * sound.rate + Fraction(1, 2))  # as `samples_of` rounds
    fitted = _fitted(sound, length)
    part = path.with_suffix(".part")
    levels = _levels(fitted.samples)
    try:
        _encode_flac(part, levels, sound.rate)
        if not np.array_equal(_levels(read_sound(part).samples), levels):
            raise MediaError(f"{path.name} does not hold the samples that were written to it")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _levels(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
    """Samples as integers of 24 bits. Samples beyond -1 to 1 are clipped."""
    scaled = (samples.astype(np.float64) * _FULL).round()
    return scaled.clip(-_FULL, _FULL - 1).astype(np.int32)


def _encode_flac(path: Path, levels: npt.NDArray[np.int32], rate: int) -> None:
    layout = _LAYOUTS[levels.shape[1]]
    options = {"fflags": "+bitexact"}
    with av.open(str(path.resolve()), "w", format="flac", container_options=options) as container:
        stream = container.add_stream(
            "flac", rate=rate, layout=layout, format="s32", options={"flags": "+bitexact"}
        )
        if len(levels):
            packed = np.ascontiguousarray(levels << 8).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(packed, format="s32", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def read_sound(path: Path) -> Sound:
    """The sound of a FLAC file of 24 bits.

    Raises MediaError if the file is missing, damaged or of another kind.
    """
    options = {"protocol_whitelist": "file"}
    try:
        with av.open(str(path.resolve()), format="flac", options=options) as container:
            stream = container.streams.audio[0]
            channels = stream.codec_context.layout.nb_channels
            blocks = [frame.to_ndarray() for frame in container.decode(stream)]
            planned = stream.duration or 0
            rate = stream.codec_context.sample_rate
    except (av.FFmpegError, IndexError, OSError) as error:
        raise MediaError(f"{path.name} is not a readable FLAC sound: {error}") from error
    if any(block.dtype != np.int32 for block in blocks):
        raise MediaError(f"{path.name} has not 24 bits a sample; write it again with write_sound")
    packed = np.concatenate(blocks, axis=1) if blocks else np.zeros((1, 0), np.int32)
    samples = packed.reshape(-1, max(channels, 1)).astype(np.float32) / np.float32(1 << 31)
    if len(samples) != planned or not rate:
        raise MediaError(f"{path.name} breaks off after {len(samples)} of {planned} samples")
    return Sound(samples, rate)


def resample(sound: Sound, rate: int = RATE) -> Sound:
    """`sound` in stereo at `rate` samples a second, with its length kept to the nearest sample.

    Mono is copied to both channels. Raises MediaError if the sound does not have 1 or 2 channels,
    or if a sample is not finite.
    """
    _check(sound)
    samples = sound.samples
    if samples.shape[1] == 1:
        samples = np.repeat(samples, 2, axis=1)
    if sound.rate == rate or not len(samples):
        return Sound(samples, rate)
    resampler = AudioResampler(format="fltp", layout="stereo", rate=rate)
    planes = np.ascontiguousarray(samples.T)
    frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout="stereo")
    frame.sample_rate, frame.pts, frame.time_base = sound.rate, 0, Fraction(1, sound.rate)
    made = [*resampler.resample(frame), *resampler.resample(None)]
    joined = np.concatenate([block.to_ndarray() for block in made], axis=1).T
    return _fitted(Sound(joined, rate), round(Fraction(len(samples) * rate, sound.rate)))


def _check(sound: Sound) -> None:
    shape = sound.samples.shape
    if len(shape) != 2 or shape[1] not in _LAYOUTS or sound.rate < 1:
        raise MediaError(
            f"a sound of shape {shape} at {sound.rate} samples a second cannot be used; it must be "
            "samples x channels with 1 or 2 channels: mix it down"
        )
    if not np.isfinite(sound.samples).all():
        raise MediaError("the sound holds samples that are no finite numbers; make it again")


def film_sound(chunks: Sequence[ChunkSound], fps: int) -> Sound:
    """The film's sound: stereo, RATE samples a second, exactly as long as its frames.

    In a crossfade the sounds fade with constant power. At every cut, and at the beginning and the
    end of the film, they fade in CUT_FADE samples. The whole film is held in memory: 0.4 MB a
    second. Raises MediaError if a sound is shorter than its chunk, and as `resample`.
    """
    film = np.zeros((samples_of(sum(chunk.frame_count for chunk in chunks), fps), 2), np.float32)
    following = [chunk.blend for chunk in chunks[1:]] + [0]
    end = 0
    for number, (chunk, ahead) in enumerate(zip(chunks, following, strict=True), start=1):
        start, end = end - chunk.blend, end + chunk.frame_count
        if chunk.sound is None:
            continue
        positions = (start, start + chunk.blend, end - ahead, end)
        begin, full, falling, stop = (samples_of(frame, fps) for frame in positions)
        samples = _heard(chunk.sound, stop - begin, number)
        _rise(samples, full - begin)
        _rise(samples[::-1], stop - falling)
        film[begin:stop] += samples
    return Sound(film, RATE)


def _heard(sound: Sound, length: int, number: int) -> npt.NDArray[np.float32]:
    """A copy of the first `length` samples. Because of rounding, two samples may be missing at the
    end."""
    samples = resample(sound).samples
    if len(samples) < length - 2:
        raise MediaError(
            f"the sound of chunk {number} lasts {len(samples) / RATE:.3f} s, it is heard for "
            f"{length / RATE:.3f} s; make the chunk again"
        )
    return _fitted(Sound(samples, RATE), length).samples


def _rise(samples: npt.NDArray[np.float32], crossfade: int) -> None:
    """Fade in the beginning: over `crossfade` samples, or over CUT_FADE at a cut, where it is 0.

    A sine keeps the power of two different sounds constant. At a cut only one sound is heard; there
    the square of the sine begins and ends smoothly.
    """
    count = crossfade or min(CUT_FADE, len(samples) // 2)
    curve = np.sin((np.arange(count) + 0.5) / max(count, 1) * (np.pi / 2))
    samples[:count] *= (curve if crossfade else curve**2).astype(np.float32)[:, None]


def add_sound(tool: Ffmpeg, film: Path, sound: Sound, path: Path) -> Clip:
    """Write `film`, a silent MP4, with `sound` to `path`: pictures are copied, sound is coded as
    AAC.

    The same film and sound give the same bytes. Raises MediaError if the length of the sound
    differs from the film's by a sample, or if the result is not as planned; and as `Ffmpeg.run`.
    Then there is no file.
    """
    found = probe(film)
    frames, fps = found.frames, int(found.signature.rate)
    heard = resample(sound)
    if len(heard.samples) != samples_of(frames, fps):
        raise MediaError(
            f"a sound of {len(heard.samples)} samples for {frames} frames at {fps} a second; it "
            f"must have {samples_of(frames, fps)}: make it with film_sound"
        )
    part = path.with_suffix(".part")
    coded = ffmpeg.input("pipe:", f="f32le", ar=RATE, ac=2)
    options = {"c:v": "copy", "c:a": "aac", "b:a": _BIT_RATE, "flags:a": "+bitexact"}
    node = ffmpeg.output(
        forced_input(film)["v:0"], coded["a:0"], str(part.resolve()), **options, **mp4_options(fps)
    )
    try:
        with tool.feeding(node) as pipe:
            pipe.write(heard.samples.clip(-1, 1).astype("<f4").tobytes())
        size = Size(found.signature.width, found.signature.height)
        clip = verify_clip(part, frames=frames, size=size, fps=fps, decode=False, sound=True)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return clip
