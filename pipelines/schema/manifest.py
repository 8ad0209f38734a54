"""The manifest: what was made, from what, at what cost. Its presence means complete."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from pipelines.schema.brief import Brief
from pipelines.schema.keys import Digest, ObjectKey
from pipelines.schema.plan import Estimate, Join, Plan
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


Fault = Literal["black", "frozen", "flicker", "non-finite", "seam"]


class Take(_Frozen):
    """One attempt at a chunk, as the quality gate measured it."""

    seed: int
    faults: tuple[Fault, ...]
    """Empty if it passed."""
    black: float
    """Share of black frames."""
    frozen: float
    """Share of frames that repeat the one before."""
    flicker: float
    """Levels of 255 by which the brightness goes to and fro."""
    seam: float | None = None
    """Score of the join it begins with, for a continued chunk."""


class Seam(_Frozen):
    """How much a join jumps: each figure is a ratio to the median step inside the chunks."""

    colour: float
    structure: float
    motion: float
    score: float
    """The largest of the three."""


class JoinRecord(_Frozen):
    """A join of the finished video."""

    number: int
    """Join 1 lies between chunks 1 and 2."""
    frame: int
    """First frame of the video that belongs to the later chunk."""
    asked: Join
    made: Join
    """`crossfade` in place of `continue` if no take went on smoothly."""
    retries: int
    """Further takes of the later chunk."""
    seam: Seam


class TakeRecord(_Frozen):
    """The takes of a chunk, kept beside it in the bucket."""

    takes: tuple[Take, ...]
    kept: int
    """Index of the take that the clip holds."""
    made: Join
    memory: str


class ChunkRecord(_Frozen):
    """A chunk that lies verified in the bucket, and how this run came by it."""

    object: StoredObject
    beside: tuple[StoredObject, ...]
    """Its last raw frames and its takes."""
    digest: Digest
    seed: int
    """Of the take that was kept."""
    frames: int
    made: bool
    """True: this run made it. False: it was found in the bucket and verified."""
    seconds: float
    memory: str
    """Rung of the memory ladder it was made on: `resident`, `tiled-decode`, `offload`."""
    join: Join
    """How it meets the chunk before, as made."""
    takes: tuple[Take, ...]


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

    role: Literal["writer", "video", "extender", "upscaler"]
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
    contact: StoredObject
    """A contact sheet: one frame of every chunk, in order."""
    estimate: Estimate
    """What was expected before the start."""
    chunks: tuple[ChunkRecord, ...]
    joins: tuple[JoinRecord, ...]
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

    manifest_version: Literal[3] = 3
    content_id: Digest
    created: str
    """UTC, ISO 8601."""
    address: str
    """`s3://bucket/key` of the video."""
    brief: Brief
    campaigns: tuple[str, ...] = ()
    """Of all briefs that asked for this video, the first one's first."""
    storyboard: Storyboard
    plan: Plan
    estimate: Estimate
    clip: Clip
    objects: tuple[StoredObject, ...]
    """Every object of this video but the manifest itself."""
    chunks: tuple[ChunkRecord, ...]
    joins: tuple[JoinRecord, ...]
    segments: tuple[SegmentRecord, ...]
    models: tuple[ModelRecord, ...]
    stages: tuple[StageCost, ...]
    software: dict[str, str]
    warnings: tuple[str, ...]
    run: RunSummary
