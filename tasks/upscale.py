"""Upscaling as stages, one segment of the stitched film for each chunk, each kept at once."""

import logging
import time
from pathlib import Path

from prefect import task

from pipelines.errors import CorruptObjectError, MediaError
from pipelines.media.codec import clip_of
from pipelines.progress import Progress
from pipelines.schema.keys import ObjectKey
from pipelines.schema.manifest import SegmentRecord
from pipelines.schema.plan import Plan, PlannedChunk
from tasks import models
from tasks.knobs import STAGE
from tasks.progress import report
from tasks.room import LocalClip, Room

_log = logging.getLogger("reelwright.upscale")


@task(name="upscale", task_run_name="upscale-{chunk.number}", **STAGE)
def make_segment(plan: Plan, chunk: PlannedChunk, film: Path, room: Room) -> LocalClip:
    """The part of `film` that comes from `chunk`, enlarged, here and in the bucket."""
    from pipelines.upscaling.video import SegmentSource, upscale_segment

    assert plan.upscale is not None
    digest = plan.segment_digest(chunk)
    key = ObjectKey.segment(digest)
    path = room.folder / f"segment_{chunk.number:04d}.mp4"
    span = plan.span_of(chunk)
    source = SegmentSource(film, plan.size, span.start, span.frames)

    def after_frame(done: int) -> None:
        detail = f"frame {span.start + done} of {plan.frames}"
        report(Progress("upscale", span.start + done, plan.frames, detail))

    with room.ledger.measure("upscale"):
        start = time.perf_counter()
        stored = room.store.head(key)
        if stored is not None:
            try:
                room.store.get_file(stored, path)
                clip_of(path, frames=span.frames, size=plan.final_size)
            except (CorruptObjectError, MediaError) as error:
                _log.warning("a segment is upscaled again: %s", error)
                room.store.delete(key)
                stored = None
        made, memory = stored is None, "whole"
        if stored is None:
            network = models.upscaler(room)
            upscale_segment(room.tool, network, source, plan.upscale.factor, path, after_frame)
            memory = network.memory
            stored = room.store.put_file(key, path, "video/mp4")
        after_frame(span.frames)
    record = SegmentRecord(
        object=stored,
        digest=digest,
        frames=span.frames,
        made=made,
        seconds=round(time.perf_counter() - start, 3) if made else 0.0,
        memory=memory,
    )
    return LocalClip(path, record)
