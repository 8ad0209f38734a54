"""Sounds that can be recognised, and ways to listen to finished files."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from pipelines.backends.base import Sound

Samples = npt.NDArray[np.float32]


def tone(
    frequency: float, seconds: float, rate: int = 48_000, channels: int = 2, phase: float = 0
) -> Sound:
    """A sine of amplitude 0.5, on all channels."""
    time = np.arange(round(seconds * rate)) / rate
    wave = 0.5 * np.sin(2 * np.pi * frequency * time + phase)
    return Sound(np.repeat(wave[:, None], channels, axis=1).astype(np.float32), rate)


def silence(seconds: float, rate: int = 48_000) -> Sound:
    return Sound(np.zeros((round(seconds * rate), 2), np.float32), rate)


def pitch(samples: Samples, rate: int = 48_000) -> float:
    """The loudest frequency of a stretch, in Hz."""
    power = np.abs(np.fft.rfft(samples[:, 0] * np.hanning(len(samples))))
    return float(np.argmax(power) * rate / len(samples))


def hear(path: Path) -> tuple[Samples, Fraction]:
    """The decoded sound of a file and when it begins, by PyAV and not by our own code."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
        begin = frames[0].pts * frames[0].time_base
    return np.concatenate([frame.to_ndarray() for frame in frames], axis=1).T, begin


def packets(path: Path, kind: str = "video") -> list[bytes]:
    """The encoded packets of a file."""
    with av.open(str(path)) as container:
        stream = next(one for one in container.streams if one.type == kind)
        return [bytes(packet) for packet in container.demux(stream) if packet.size]
