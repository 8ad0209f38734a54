"""The last stages of a single picture: upscale it on wish, and upload it as PNG and WebP.

A picture is made from the raw frame beside its chunk. The clip of the chunk is H.264, which would
cost it colours and detail.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prefect import task

from pipelines.backends.base import Frame
from pipelines.chunks.files import ChunkFiles
from pipelines.documents.manifest import ChunkRecord, Film, SegmentRecord, StoredObject
from pipelines.errors import CorruptObjectError, MediaError
from pipelines.media.still import read_picture, write_picture, write_picture_copies
from pipelines.progress import Progress
from pipelines.schema.clip import Clip
from pipelines.schema.keys import ObjectKey
from pipelines.schema.plan import Estimate, Plan
from pipelines.schema.storyboard import Storyboard
from tasks.context import LocalClip, RunContext
from tasks.options import STAGE
from tasks.progress import report

_log = logging.getLogger("reelwright.picture")


@dataclass(frozen=True)
class MadePicture:
    """The finished picture as a PNG in this run's scratch folder."""

    path: Path
    chunk: ChunkRecord
    segments: tuple[SegmentRecord, ...]
    """How it was upscaled; empty without upscaling."""


@task(name="picture", **STAGE)
def finish_picture(plan: Plan, chunks: Sequence[LocalClip], context: RunContext) -> MadePicture:
    """The picture of the single chunk, enlarged if the plan says so.

    An enlarged one is stored, so that a rerun finds it. Raises MediaError if the raw frame cannot
    be read or has another size, UpscaleError if memory runs out even with the smallest tiles,
    WeightsError if the weights do not load, and StoreError if the store fails.
    """
    (chunk,) = chunks
    assert isinstance(chunk.record, ChunkRecord)
    path = context.folder / "picture.png"
    frame = read_picture(ChunkFiles(chunk.path).overlap, plan.size)
    if plan.upscale is None:
        write_picture(frame, path)
        return MadePicture(path, chunk.record, ())
    with context.costs.measure("upscale"):
        report(Progress("upscale", 0, 1, "upscaling the picture"))
        segment = _enlarge(plan, frame, path, context)
        report(Progress("upscale", 1, 1, "picture upscaled"))
    return MadePicture(path, chunk.record, (segment,))


def _enlarge(plan: Plan, frame: Frame, path: Path, context: RunContext) -> SegmentRecord:
    """Write the enlarged picture to `path`: the one in the bucket, or a new one."""
    assert plan.upscale is not None
    digest, start = plan.segment_digest(plan.chunks[0]), time.perf_counter()
    key, memory_mode = ObjectKey.picture_segment(digest), "whole"
    found = _fetch(key, plan, path, context)
    stored = found
    if stored is None:
        network = context.upscaler()
        (large,) = network.upscale([frame], plan.upscale.factor)
        memory_mode = network.memory
        write_picture(large, path)
        stored = context.store.put_file(key, path, "image/png")
    return SegmentRecord(
        object=stored,
        digest=digest,
        frames=1,
        made=found is None,
        seconds=0.0 if found else round(time.perf_counter() - start, 3),
        memory_mode=memory_mode,
    )


def _fetch(key: ObjectKey, plan: Plan, path: Path, context: RunContext) -> StoredObject | None:
    """Read the enlarged picture from the bucket. A damaged one is deleted there."""
    found = context.store.head(key)
    if found is None:
        return None
    try:
        context.store.get_file(found, path)
        read_picture(path, plan.final_size)
    except (CorruptObjectError, MediaError) as error:
        _log.warning("a picture is upscaled again: %s", error)
        context.store.delete(key)
        return None
    return found


@task(name="upload", **STAGE)
def upload_picture(
    plan: Plan,
    storyboard: Storyboard,
    expected: Estimate,
    picture: MadePicture,
    context: RunContext,
) -> Film:
    """Upload the picture as PNG and WebP, its poster and its contact sheet. The store confirms each
    by its SHA-256.

    Raises MediaError if it is not as planned or too large for a WebP, and StoreError if the store
    fails.
    """
    cid, store, size = plan.content_id, context.store, plan.final_size
    with context.costs.measure("upload"):
        report(Progress("upload", 0, 1, "uploading the picture"))
        read_picture(picture.path, size)
        webp, poster, contact = (
            context.folder / name for name in ("picture.webp", "poster.jpg", "contact.jpg")
        )
        write_picture_copies(picture.path, webp, poster, contact)
        stored = store.put_file(ObjectKey.image(cid), picture.path, "image/png")
        stored_webp = store.put_file(ObjectKey.image_webp(cid), webp, "image/webp")
        stored_poster = store.put_file(ObjectKey.poster(cid), poster, "image/jpeg")
        stored_contact = store.put_file(ObjectKey.contact(cid), contact, "image/jpeg")
        report(Progress("upload", 1, 1, "uploaded"))
    return Film(
        plan=plan,
        storyboard=storyboard,
        clip=Clip(frames=1, fps=plan.fps, width=size.width, height=size.height, duration=0.0),
        video=stored,
        poster=stored_poster,
        contact=stored_contact,
        webp=stored_webp,
        estimate=expected,
        chunks=(picture.chunk,),
        transitions=(),
        segments=picture.segments,
        models=context.model_records(enhanced=storyboard.enhancer != "none"),
        stages=context.costs.costs,
        device=context.device_record,
    )
