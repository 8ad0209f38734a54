"""Lengths of chunks for clients that ask for a number of frames."""

from pipelines.backends.base import BackendDefinition
from pipelines.schema.presets import Preset


def chunk_frames(
    frames: int, preset: Preset, backend: BackendDefinition, *, continues: bool
) -> int | None:
    """Frames of a chunk for a video of `frames` frames; None for the preset's.

    A video of up to one chunk's length is one chunk: the shortest that the backend can make, of
    which the frames too many are dropped. A longer one has chunks of the preset's length.
    """
    can = backend.capabilities
    longest = preset.frames if backend.stand_in else can.longest
    if frames > longest:
        return None
    least = can.shortest_continued if continues else 1
    return can.lengths_around(max(frames, least))[1]
