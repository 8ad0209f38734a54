"""The contents of a video file, counted frame by frame and sample by sample."""

from pipelines.schema.frozen import Frozen


class AudioInfo(Frozen):
    """The sound of a video file."""

    codec: str
    """Such as `aac`."""
    rate: int
    """Samples a second of each channel."""
    channels: int
    seconds: float
    """Length of the decoded samples. AAC fills up its last packet, so it may be up to 21 ms longer
    than the pictures."""


class Clip(Frozen):
    """The contents of a video file."""

    frames: int
    fps: int
    width: int
    height: int
    duration: float
    """Seconds of the pictures, frames / fps; 0 for a picture."""
    audio: AudioInfo | None = None
    """None for a silent file."""
