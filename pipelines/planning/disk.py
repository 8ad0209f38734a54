"""What a run takes on the disks of one machine that has the object store as well."""

from collections.abc import Sequence

from pipelines.documents.brief import Brief
from pipelines.planning.plan import Slot
from pipelines.schema.stages import Stage

_CHUNK_BYTES, _FINAL_BYTES = 0.5, 0.25
"""Bytes of H.264 for each pixel at our rate factors, measured with noise, which is the worst
case."""
_RAW_BYTES = 3
"""Bytes of a raw pixel, which a PNG of noise takes too."""
_COPY_BYTES = 2.0
"""Bytes of WebP and of the JPEGs for each pixel of a published picture, measured with noise: 0.85
and 0.98."""
_SOUND_BYTES, _CODED_BYTES = 48_000 * 2 * 3, 192_000 // 8
"""Bytes a second of sound: stereo of 24 bits, which FLAC of noise takes too, and the film's AAC."""
_COPIES = 3
"""A stored file is in the scratch folder, in the store and, during its upload, on the way between
them."""
_ARCHIVE_COPIES = 2
"""An archive is in the store already; in the scratch folder it is for a moment, and its videos are
until the end. Videos do not get smaller when they are packed."""


def disk_of(brief: Brief, slots: Sequence[Slot], archive: int) -> dict[Stage, int]:
    """Bytes that each stage of `brief` adds. `archive` is the size of its uploaded archive."""
    preset, can = brief.resolved_preset(), brief.backend.capabilities
    pixels = preset.size.width * preset.size.height
    frames = sum(slot.frame_count for slot in slots)
    sound = frames / can.fps if can.audio else 0.0
    film = pixels * frames * _CHUNK_BYTES
    enlarged = pixels * brief.upscale**2 * frames if brief.upscale > 1 else 0
    segments = enlarged * (_RAW_BYTES if preset.is_still else _FINAL_BYTES)
    finished = (segments or film) + sound * _CODED_BYTES
    if preset.is_still:
        finished = (enlarged or pixels) * (_RAW_BYTES + _COPY_BYTES)
    chunks = _COPIES * sum(_chunk(pixels, slot, brief) for slot in slots)
    # The joined film, and before it what is cut for crossfades; with sound the film once more.
    faded = film if any(slot.blend for slot in slots) else 0.0
    stitched = film + faded + (finished if sound else 0.0)
    values: dict[Stage, float] = {
        "enhance": 0,
        "encode": _ARCHIVE_COPIES * archive,
        "chunks": chunks,
        "stitch": stitched,
        "upscale": (_COPIES + 1) * segments,  # and the joined segments
        "upload": (_COPIES - 1) * finished,
    }
    return {stage: int(value) for stage, value in values.items()}


def _chunk(pixels: int, slot: Slot, brief: Brief) -> float:
    """Bytes of a chunk's files: its clip, its last raw frames and its sound."""
    can = brief.backend.capabilities
    frames = slot.frames - slot.overlap
    sound = _SOUND_BYTES * frames / can.fps if can.audio else 0.0
    return pixels * (frames * _CHUNK_BYTES + max(can.overlap, 1) * _RAW_BYTES) + sound
