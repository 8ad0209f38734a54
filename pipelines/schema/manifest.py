"""The manifest: what was made, from what, at what cost. Its presence means complete."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from pipelines.schema.brief import Brief
from pipelines.schema.keys import Digest, ObjectKey
from pipelines.schema.plan import Estimate, Plan
from pipelines.schema.storyboard import Storyboard


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StoredObject(_Frozen):
    """An object whose bytes the store has confirmed."""

    key: ObjectKey
    size: int
    sha256: Digest
    content_type: str


class Clip(_Frozen):
    """What a video file holds, as counted frame by frame."""

    frames: int
    fps: int
    width: int
    height: int
    duration: float
    """Seconds, frames / fps."""


class ChunkRecord(_Frozen):
    """A chunk that lies verified in the bucket, and how this run came by it."""

    object: StoredObject
    digest: Digest
    seed: int
    frames: int
    made: bool
    """True: this run made it. False: it was found in the bucket and verified."""
    seconds: float
    memory: str
    """Rung of the memory ladder it was made on: `resident`, `tiled-decode`, `offload`."""


class SegmentRecord(_Frozen):
    """An upscaled part of the film in the bucket."""

    object: StoredObject
    digest: Digest
    frames: int
    made: bool
    seconds: float
    memory: str
    """`whole` frame at once, or `tiled` after the memory ran out."""


class StageCost(_Frozen):
    """Wall seconds and peak resident memory of this process after one stage."""

    stage: Literal["enhance", "encode", "chunks", "stitch", "upscale", "upload"]
    seconds: float
    peak_rss_bytes: int
    peak_gpu_bytes: int = 0


class ModelRecord(_Frozen):
    """A model that decided the pixels."""

    role: Literal["writer", "video", "upscaler"]
    name: str
    revision: str
    licence: str


class Film(_Frozen):
    """The finished video in the bucket, before the manifest makes it official."""

    plan: Plan
    storyboard: Storyboard
    clip: Clip
    video: StoredObject
    poster: StoredObject
    chunks: tuple[ChunkRecord, ...]
    segments: tuple[SegmentRecord, ...]
    models: tuple[ModelRecord, ...]
    stages: tuple[StageCost, ...]


class RunSummary(_Frozen):
    """What this run had to make."""

    chunks_made: int
    chunks_reused: int
    segments_made: int
    segments_reused: int
    seconds: float
    already_published: bool = False


class Manifest(_Frozen):
    """Written last, beside the video it describes."""

    manifest_version: Literal[1] = 1
    content_id: Digest
    created: str
    """UTC, ISO 8601."""
    address: str
    """`s3://bucket/key` of the video."""
    brief: Brief
    storyboard: Storyboard
    plan: Plan
    estimate: Estimate
    clip: Clip
    objects: tuple[StoredObject, ...]
    """Every object of this video but the manifest itself."""
    chunks: tuple[ChunkRecord, ...]
    segments: tuple[SegmentRecord, ...]
    models: tuple[ModelRecord, ...]
    stages: tuple[StageCost, ...]
    software: dict[str, str]
    warnings: tuple[str, ...]
    run: RunSummary
