"""The upscale stage: makes one segment of the film for each chunk, and stores each at once.

The background encodes and stores the frames, while the network makes further ones.

Upscaling begins after the last chunk. It could begin with the first one, because a segment depends
on its chunk and at most on the one before; but on one device it would take turns with the denoising
and need the memory of both.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import task

from pipelines.backends.base import Frame
from pipelines.documents.manifest import SegmentRecord, StoredObject
from pipelines.errors import CorruptObjectError, MediaError
from pipelines.media.codec import clip_of
from pipelines.progress import Progress
from pipelines.schema.keys import ObjectKey
from pipelines.schema.plan import Plan, PlannedChunk
from tasks.background import Inbox
from tasks.context import LocalClip, RunContext
from tasks.options import STAGE
from tasks.progress import report

if TYPE_CHECKING:
    from pipelines.upscaling.video import SegmentSource

_ROOM = 8
"""Upscaled frames that wait to be encoded. One of 5120x2880 pixels has 44 MB."""
_log = logging.getLogger("reelwright.upscale")


class PendingSegment:
    """An upscaled part of the film that is stored or will be soon."""

    def __init__(self, plan: Plan, chunk: PlannedChunk, film: Path, context: RunContext) -> None:
        from pipelines.upscaling.video import SegmentSource

        self.digest, self.span = plan.segment_digest(chunk), plan.span_of(chunk)
        self.key = ObjectKey.segment(self.digest)
        self.path = context.folder / f"segment_{chunk.number:04d}.mp4"
        self.source = SegmentSource(film, plan.size, plan.fps, self.span.start, self.span.frames)
        self.made = False
        """Whether this run upscaled it."""
        self.seconds = 0.0
        """For which the run was occupied with upscaling it."""
        self.memory_mode = "whole"
        self._stored: StoredObject | None = None

    def is_stored(self, stored: StoredObject) -> None:
        """Note that it is in the bucket."""
        self._stored = stored

    def clip(self) -> LocalClip:
        """The clip on this machine. It must be stored."""
        assert self._stored is not None
        record = SegmentRecord(
            object=self._stored,
            digest=self.digest,
            frames=self.span.frames,
            made=self.made,
            seconds=round(self.seconds, 3),
            memory_mode=self.memory_mode,
        )
        return LocalClip(self.path, record)


def make_segment(
    plan: Plan, chunk: PlannedChunk, film: Path, context: RunContext
) -> PendingSegment:
    """Read the upscaled part of `film` that shows `chunk` from the bucket, or upscale it while the
    background encodes and stores it.

    The segment before may still be in the making, but no earlier one. The task run of the segment
    begins here and ends when it is stored.

    Raises UpscaleError if memory runs out even with the smallest tiles, WeightsError if the weights
    do not load; and, for this segment or an earlier one, MediaError if ffmpeg fails, and StoreError
    if the store fails.
    """
    pending, background = PendingSegment(plan, chunk, film, context), context.background
    start = time.perf_counter()

    def keep(inbox: Inbox[StoredObject | Frame]) -> StoredObject:
        return _keep_segment(plan, chunk, pending.source, pending.path, context, inbox)

    with context.costs.measure("upscale"):
        background.wait(left=1)
        with background.job(keep, pending.is_stored, room=_ROOM) as inbox:
            found = _fetch(plan, pending, context)
            if found:
                inbox.put(found)
                _report(plan, pending, pending.span.frames)
            else:
                pending.made = True
                _upscale(plan, pending, inbox, context)
    if pending.made:
        pending.seconds = time.perf_counter() - start
    return pending


def stored_segments(pending: Sequence[PendingSegment], context: RunContext) -> list[LocalClip]:
    """The segments on this machine, as soon as all are stored. Raises what storing raised."""
    with context.costs.measure("upscale"):
        context.background.wait()
    return [segment.clip() for segment in pending]


def _fetch(plan: Plan, pending: PendingSegment, context: RunContext) -> StoredObject | None:
    """Read the segment from the bucket. If it is damaged, delete it there and return None."""
    found = context.store.head(pending.key)
    if found is None:
        return None
    try:
        context.store.get_file(found, pending.path)
        clip_of(pending.path, frames=pending.span.frames, size=plan.final_size, fps=plan.fps)
    except (CorruptObjectError, MediaError) as error:
        _log.warning("a segment is upscaled again: %s", error)
        context.store.delete(pending.key)
        return None
    return found


def _upscale(
    plan: Plan, pending: PendingSegment, inbox: Inbox[StoredObject | Frame], context: RunContext
) -> None:
    """Put the frames of the segment into `inbox`."""
    from pipelines.upscaling.video import upscaled_frames

    assert plan.upscale is not None
    network = context.upscaler()
    made = upscaled_frames(context.tool, network, pending.source, plan.upscale.factor)
    with closing(made) as frames:
        for done, frame in enumerate(frames, start=1):
            inbox.put(frame)
            context.background.check()
            _report(plan, pending, done)
    pending.memory_mode = network.memory


def _report(plan: Plan, pending: PendingSegment, done: int) -> None:
    frame = pending.span.start + done
    report(Progress("upscale", frame, plan.frames, f"frame {frame} of {plan.frames}"))


@task(name="upscale", task_run_name="upscale-{chunk.number}", **STAGE)
def _keep_segment(
    plan: Plan,
    chunk: PlannedChunk,
    source: "SegmentSource",
    path: Path,
    context: RunContext,
    inbox: Inbox[StoredObject | Frame],
) -> StoredObject:
    """The job of the background: encode the frames of the segment as they come, and store it.

    A segment that was found is stored already.
    """
    from pipelines.upscaling.video import write_segment

    assert plan.upscale is not None
    first = next(inbox)
    if isinstance(first, StoredObject):
        return first
    go_on = context.background.go_on
    frames = _frames(first, inbox, go_on)
    write_segment(context.tool, frames, source, plan.upscale.factor, path)
    go_on()
    return context.store.put_file(ObjectKey.segment(plan.segment_digest(chunk)), path, "video/mp4")


def _frames(
    first: Frame, rest: Inbox[StoredObject | Frame], go_on: Callable[[], None]
) -> Iterator[Frame]:
    yield first
    for frame in rest:
        assert not isinstance(frame, StoredObject)
        go_on()
        yield frame
