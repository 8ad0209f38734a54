"""The manifest: what was made, from what, at what cost. A video that has one is complete."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import model_validator

from pipelines.costs.summary import VideoCosts
from pipelines.documents import manifest_v3
from pipelines.documents.people import Act
from pipelines.documents.route import Route
from pipelines.documents.stored_brief import StoredBrief
from pipelines.schema.clip import Clip as Clip
from pipelines.schema.computation import Computation
from pipelines.schema.frozen import Frozen
from pipelines.schema.keys import Digest, ObjectKey
from pipelines.schema.plan import Estimate, Kind, Plan, Transition
from pipelines.schema.stages import Stage
from pipelines.schema.storyboard import Storyboard

READ_VERSIONS = frozenset({3, 4})
"""Versions of a manifest that this version reads; it writes the last one."""


class StoredObject(Frozen):
    """An object whose bytes the store has confirmed."""

    key: ObjectKey
    size: int
    sha256: Digest
    content_type: str


Fault = Literal["black", "frozen", "flicker", "non-finite", "seam"]


class Take(Frozen):
    """One attempt at a chunk, with the measurements of the quality gate."""

    seed: int
    faults: tuple[Fault, ...]
    """Empty if it passed."""
    black: float
    """Share of black frames."""
    frozen: float
    """Share of frames that repeat the one before."""
    flicker: float
    """Levels of 255 by which the brightness alternates from frame to frame."""
    seam: float | None = None
    """Score of the transition at its beginning, for a continued chunk."""


class Seam(Frozen):
    """How much a transition jumps. Each figure is a ratio to the median step inside the chunks."""

    colour: float
    structure: float
    motion: float
    score: float
    """The largest of the three."""


class TransitionRecord(Frozen):
    """A transition of the finished video, as it was made."""

    number: int
    """Transition 1 lies between chunks 1 and 2."""
    frame: int
    """First frame of the video that belongs to the later chunk."""
    asked: Transition
    made: Transition
    """`crossfade` in place of `continue` if no take continued smoothly."""
    retries: int
    """How often the later chunk was made again."""
    seam: Seam


class TakeRecord(Frozen):
    """The takes of a chunk. The record is stored beside the chunk in the bucket."""

    takes: tuple[Take, ...]
    kept: int
    """Index of the take that the clip holds."""
    made: Transition
    memory_mode: str
    computation: Computation | None = None
    """Of the take that was kept; None if a version up to 0.3.0 made it."""


class ChunkRecord(Frozen):
    """A chunk that was verified in the bucket, and whether this run made it."""

    object: StoredObject
    beside: tuple[StoredObject, ...]
    """Its last raw frames, its takes and, if it has one, its sound."""
    digest: Digest
    seed: int
    """Of the take that was kept."""
    frames: int
    made: bool
    """True: this run made it. False: it was found in the bucket and verified."""
    seconds: float
    memory_mode: str
    """How the backend used the memory, such as `resident` or `tiled-decode`; empty if remote."""
    transition: Transition
    """How it follows the previous chunk, as made."""
    takes: tuple[Take, ...]
    computation: Computation | None = None
    """How the device computed it; None if its backend does not say, or if a version up to 0.3.0
    made it."""


class SegmentRecord(Frozen):
    """An upscaled part of the film in the bucket."""

    object: StoredObject
    digest: Digest
    frames: int
    made: bool
    seconds: float
    memory_mode: str
    """`whole` for whole frames, or `tiled` after the memory ran out. Frames that were not finite in
    16 bits follow, with the numbers in which they were made again: `whole, 4 frames in bfloat16`.
    """


class StageCost(Frozen):
    """Wall seconds and peak memory of one stage."""

    stage: Stage
    seconds: float
    peak_rss_bytes: int
    """Of this process, from its start to the end of the stage."""
    peak_gpu_bytes: int = 0
    """Most that this process and its children had on the GPU during the stage: torch's reserve,
    the language model, and CUDA contexts. Versions up to 0.3.0 wrote torch's reserve alone, from
    the start of the process."""


class DeviceRecord(Frozen):
    """The device that made the video."""

    kind: Literal["cuda", "cpu", "remote"]
    name: str = ""
    """Of the GPU."""
    reason: str = ""
    """Why it is the CPU."""
    for_gpu: bool = False
    """Whether the models of the video are made for a GPU."""
    notices: tuple[str, ...] = ()
    """What stood in for a part of it, such as the CPU for the texts."""


class ModelRecord(Frozen):
    """A model that decided the words or the pixels."""

    role: Literal["enhancer", "video", "upscaler"]
    name: str
    revision: str
    """Digest of all its components; in a manifest of version 3, where its files came from."""
    licence: str
    components: Mapping[str, str] = {}
    """Identity of each component that was used, such as `transformer` or `vae`, by its bytes."""


class Film(Frozen):
    """The finished video in the bucket, before the manifest makes it official."""

    plan: Plan
    storyboard: Storyboard
    clip: Clip
    video: StoredObject
    """The MP4; of a picture, its PNG."""
    poster: StoredObject
    contact: StoredObject
    """A contact sheet: one frame of every chunk, in order."""
    webp: StoredObject | None = None
    """Of a picture: the same, smaller and lossy."""
    estimate: Estimate
    """The estimate before the start."""
    chunks: tuple[ChunkRecord, ...]
    transitions: tuple[TransitionRecord, ...]
    segments: tuple[SegmentRecord, ...]
    models: tuple[ModelRecord, ...]
    stages: tuple[StageCost, ...]
    device: DeviceRecord | None = None
    """None if a version up to 0.3.0 made it."""

    @property
    def published(self) -> tuple[StoredObject, ...]:
        """The files that people see."""
        files = (self.video, self.poster, self.contact)
        return (*files, self.webp) if self.webp else files

    @model_validator(mode="before")
    @classmethod
    def _upgraded(cls, values: Any) -> Any:
        is_old = isinstance(values, dict) and manifest_v3.is_old_film(values)
        return manifest_v3.upgraded_film(values) if is_old else values


def main_key(content_id: Digest, kind: Kind) -> ObjectKey:
    """The key of the video, or of the picture's PNG."""
    return ObjectKey.image(content_id) if kind == "image" else ObjectKey.video(content_id)


class RunSummary(Frozen):
    """How much this run made, and how much it found in the bucket."""

    chunks_made: int
    chunks_reused: int
    segments_made: int
    segments_reused: int
    seconds: float
    already_published: bool = False


class Manifest(Frozen):
    """Written last, beside the video that it describes. A manifest of version 3 is read as one of
    version 4; its digests stay as they are."""

    manifest_version: Literal[4] = 4
    kind: Kind = "video"
    """Versions up to 0.5.0 published a still as a video of one frame."""
    content_id: Digest
    created: str
    """UTC, ISO 8601."""
    address: str
    """`s3://bucket/key` of the video, or of the picture's PNG."""
    brief: StoredBrief
    campaigns: tuple[str, ...] = ()
    """Campaigns of all briefs that asked for this video, in the order of the requests."""
    storyboard: Storyboard
    plan: Plan
    estimate: Estimate
    clip: Clip
    objects: tuple[StoredObject, ...]
    """Every object of this video except the manifest itself."""
    chunks: tuple[ChunkRecord, ...]
    transitions: tuple[TransitionRecord, ...]
    segments: tuple[SegmentRecord, ...]
    models: tuple[ModelRecord, ...]
    stages: tuple[StageCost, ...]
    software: dict[str, str]
    warnings: tuple[str, ...]
    run: RunSummary
    device: DeviceRecord | None = None
    """None if a version up to 0.3.0 made it."""
    costs: VideoCosts | None = None
    """What all runs spent for this video until it was published; None if the ledger has nothing of
    it."""
    route: Route | None = None
    """Why this preset made it. None if a version up to 0.4.0 made it, or no flow did."""
    people: tuple[Act, ...] = ()
    """Who asked for it and who approved it, each name once. Empty if a version up to 0.5.0 made it,
    or a command outside a studio did. Who deletes a video stands in the gateway's audit log."""

    @model_validator(mode="before")
    @classmethod
    def _upgraded(cls, values: Any) -> Any:
        is_old = isinstance(values, dict) and values.get("manifest_version") == 3
        return manifest_v3.upgraded(values) if is_old else values
