"""The upscale stage: makes one segment of the film for each chunk, and stores each at once."""

import logging
import time
from pathlib import Path

from prefect import task

from pipelines.documents.manifest import SegmentRecord
from pipelines.errors import CorruptObjectError, MediaError
from pipelines.media.codec import clip_of
from pipelines.progress import Progress
from pipelines.schema.keys import ObjectKey
from pipelines.schema.plan import Plan, PlannedChunk
from tasks.context import LocalClip, RunContext
from tasks.options import STAGE
from tasks.progress import report

_log = logging.getLogger("reelwright.upscale")


@task(name="upscale", task_run_name="upscale-{chunk.number}", **STAGE)
def make_segment(plan: Plan, chunk: PlannedChunk, film: Path, context: RunContext) -> LocalClip:
    """Read the upscaled part of `film` that shows `chunk` from the bucket, or make and store it.

    Raises UpscaleError if memory runs out even with the smallest tiles, WeightsError if the weights
    do not load, MediaError if ffmpeg fails, and StoreError if the store fails.
    """
    from pipelines.upscaling.video import SegmentSource, upscale_segment

    assert plan.upscale is not None
    digest = plan.segment_digest(chunk)
    key = ObjectKey.segment(digest)
    path = context.folder / f"segment_{chunk.number:04d}.mp4"
    span = plan.span_of(chunk)
    source = SegmentSource(film, plan.size, plan.fps, span.start, span.frames)

    def after_frame(done: int) -> None:
        detail = f"frame {span.start + done} of {plan.frames}"
        report(Progress("upscale", span.start + done, plan.frames, detail))

    with context.costs.measure("upscale"):
        start = time.perf_counter()
        stored = context.store.head(key)
        if stored is not None:
            try:
                context.store.get_file(stored, path)
                clip_of(path, frames=span.frames, size=plan.final_size, fps=plan.fps)
            except (CorruptObjectError, MediaError) as error:
                _log.warning("a segment is upscaled again: %s", error)
                context.store.delete(key)
                stored = None
        made, memory_mode = stored is None, "whole"
        if stored is None:
            network = context.upscaler()
            upscale_segment(context.tool, network, source, plan.upscale.factor, path, after_frame)
            memory_mode = network.memory
            stored = context.store.put_file(key, path, "video/mp4")
        after_frame(span.frames)
    record = SegmentRecord(
        object=stored,
        digest=digest,
        frames=span.frames,
        made=made,
        seconds=round(time.perf_counter() - start, 3) if made else 0.0,
        memory_mode=memory_mode,
    )
    return LocalClip(path, record)
