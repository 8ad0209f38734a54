"""The chunk stage.

A chunk is read from the bucket if it is there and whole; otherwise it is generated, checked and
stored. Its files are written and stored in the background, while the next chunk is generated.
"""

import logging
import time
from collections.abc import Sequence
from typing import NamedTuple

from prefect import task

from pipelines.backends.base import Frame, GeneratedClip, Sound
from pipelines.chunks.files import ChunkFiles
from pipelines.chunks.inputs import ChunkInputs
from pipelines.documents.manifest import ChunkRecord, StoredObject, TakeRecord
from pipelines.errors import BadFramesError, CorruptObjectError, GenerationError, MediaError
from pipelines.progress import Progress
from pipelines.quality.gate import MAX_RETRIES
from pipelines.quality.takes import choose_take
from pipelines.schema.plan import ChunkSpec, Plan, PlannedChunk
from pipelines.schema.request import ClipRequest
from tasks.artifacts import show_stand_ins
from tasks.background import Inbox
from tasks.context import LocalClip, RunContext
from tasks.options import STAGE
from tasks.progress import report

_log = logging.getLogger("reelwright.chunks")
_TYPES = {".png": "image/png", ".json": "application/json", ".flac": "audio/flac"}


class _Stored(NamedTuple):
    """The objects of a chunk in the bucket, and the record of its takes."""

    clip: StoredObject
    beside: tuple[StoredObject, ...]
    takes: TakeRecord


class _Fresh(NamedTuple):
    """A chunk in memory: frames and sound of the best take, and the record of all takes."""

    frames: list[Frame]
    sound: Sound | None
    takes: TakeRecord


class PendingChunk:
    """A chunk that was generated or found, and is stored or will be soon.

    The next chunk may go on from it before it is stored: its last raw frames are in memory.
    """

    def __init__(self, chunk: PlannedChunk, count: int, context: RunContext) -> None:
        self.chunk, self.count = chunk, count
        self.files = ChunkFiles(context.folder / f"chunk_{chunk.number:04d}.mp4")
        self.made = False
        """Whether this run generated it."""
        self.seconds = 0.0
        """For which the run was occupied with generating it."""
        self.last: Sequence[Frame] = ()
        """Its last raw frames, until the next chunk is generated; empty if it was found."""
        self._context = context
        self._stored: _Stored | None = None

    def last_frames(self, count: int) -> Sequence[Frame]:
        """As `PreviousChunk`."""
        return self.last if len(self.last) == count else self.files.last_frames(count)

    def clip_frames(self, request: ClipRequest) -> list[Frame]:
        """As `PreviousChunk`. Raises what storing the chunk raised."""
        self._context.background.wait(left=1)  # the one that is left is the job of the next chunk
        return self.files.frames(self._context.tool, request, self.chunk.request.new_frames)

    def is_stored(self, stored: _Stored) -> None:
        """Note that it is in the bucket, and report it."""
        self._stored = stored
        number, how = self.chunk.number, "made" if self.made else "found"
        report(Progress("chunks", number, self.count, f"chunk {number} of {self.count}: {how}"))

    def clip(self) -> LocalClip:
        """The clip on this machine. It must be stored."""
        assert self._stored is not None
        takes = self._stored.takes
        record = ChunkRecord(
            object=self._stored.clip,
            beside=self._stored.beside,
            digest=self.chunk.digest,
            seed=takes.takes[takes.kept].seed,
            frames=self.chunk.request.new_frames,
            made=self.made,
            seconds=round(self.seconds, 3),
            memory_mode=takes.memory_mode,
            transition=takes.made,
            takes=takes.takes,
            computation=takes.computation,
        )
        return LocalClip(self.files.clip, record)


@task(name="encode", **STAGE)
def prepare_backend(plan: Plan, context: RunContext) -> None:
    """Do once the work that all missing chunks need, such as encoding their texts.

    Raises StoreError if the store fails, and what the backend raises, such as WeightsError.
    """
    with context.costs.measure("encode"):
        missing = [item.request for item in plan.chunks if context.store.head(item.key) is None]
        if missing:
            report(Progress("encode", 0, 1, "encoding the texts"))
            context.session.prepare(missing)
            show_stand_ins(context.device_record.notices)
            report(Progress("encode", 1, 1, "texts encoded"))


def make_chunk(
    chunk: PlannedChunk, count: int, before: PendingChunk | None, context: RunContext
) -> PendingChunk:
    """Read the chunk from the bucket, or generate it and give it to the background to be stored.

    `before` is the previous chunk. It is stored before this one is given away: so the frames of one
    chunk wait in memory, while the next one is generated. The task run of the chunk begins here and
    ends when it is stored.

    Raises BadFramesError if every take is black or non-finite, GenerationError if memory runs out
    or the backend makes another length or size, BriefError if an upload is gone; and, for this
    chunk or the previous one, MediaError if ffmpeg fails, and StoreError if the store fails. Chunks
    that are already stored stay.
    """
    pending, background = PendingChunk(chunk, count, context), context.background
    start = time.perf_counter()

    def keep(inbox: Inbox[_Stored | _Fresh]) -> _Stored:
        return _keep_chunk(chunk, pending.files, context, inbox)

    with context.costs.measure("chunks"):
        background.check()
        with background.job(keep, pending.is_stored) as inbox:
            found = _fetch(chunk, pending.files, context)
            if found:
                inbox.put(found)
            else:
                fresh = _generate(chunk, count, before, context)
                background.wait(left=1)  # the one that is left is the job of this chunk
                pending.made, pending.last = True, fresh.frames[-_overlap(context) :]
                inbox.put(fresh)
        if before:
            before.last = ()
    if pending.made:
        pending.seconds = time.perf_counter() - start
    return pending


def stored_chunks(pending: Sequence[PendingChunk], context: RunContext) -> list[LocalClip]:
    """The chunks' clips on this machine, as soon as all are stored. Raises what storing raised."""
    with context.costs.measure("chunks"):
        context.background.wait()
        for chunk in pending:
            chunk.last = ()
    return [chunk.clip() for chunk in pending]


def inputs_of(before: PendingChunk | None, context: RunContext) -> ChunkInputs:
    """The pixels of a chunk's inputs. `before` is the previous chunk, which the chunk may
    continue."""
    return ChunkInputs(
        tool=context.tool,
        fetch=context.store.get_bytes,
        folder=context.folder,
        motions=context.motions,
        before=before,
    )


def _fetch(chunk: PlannedChunk, files: ChunkFiles, context: RunContext) -> _Stored | None:
    """Read the chunk from the bucket. If it is damaged or incomplete, delete it there and return
    None.

    The clip is stored last. So if the clip is there, the files beside it were there too.
    """
    found = context.store.head(chunk.key)
    if found is None:
        return None
    sound = _has_sound(context)
    try:
        context.store.get_file(found, files.clip)
        beside = []
        for key, path in files.beside(chunk.digest, sound=sound).items():
            item = context.store.head(key)
            if item is None:
                raise MediaError(f"{key} is missing, the chunk is not whole")
            context.store.get_file(item, path)
            beside.append(item)
        takes = files.check(chunk.request, sound=sound)
    except (CorruptObjectError, MediaError) as error:
        _log.warning("a chunk is made again: %s", error)
        context.store.delete(chunk.key)
        return None
    return _Stored(found, tuple(beside), takes)


@task(name="chunk", task_run_name="chunk-{chunk.number}", **STAGE)
def _keep_chunk(
    chunk: PlannedChunk, files: ChunkFiles, context: RunContext, inbox: Inbox[_Stored | _Fresh]
) -> _Stored:
    """The job of the background: wait for the chunk, write its files and store them.

    A chunk that was found is stored already.
    """
    given = next(inbox)
    if isinstance(given, _Stored):
        return given
    go_on, store = context.background.go_on, context.store
    files.write(
        context.tool, chunk, given.frames, given.sound, given.takes, _overlap(context), go_on
    )
    beside = []
    for key, path in files.beside(chunk.digest, sound=_has_sound(context)).items():
        go_on()
        beside.append(store.put_file(key, path, _TYPES[path.suffix]))
    go_on()
    return _Stored(store.put_file(chunk.key, files.clip, "video/mp4"), tuple(beside), given.takes)


def _generate(
    chunk: PlannedChunk, count: int, before: PendingChunk | None, context: RunContext
) -> _Fresh:
    """Generate takes until one has no fault, and return the best one."""
    take, inputs = 0, inputs_of(before, context)

    def generate(attempt: ChunkSpec) -> GeneratedClip:
        nonlocal take
        take += 1

        def after_step(done: int, total: int) -> None:
            context.background.check()
            detail = f"chunk {chunk.number} of {count}, step {done} of {total}"
            if take > 1:
                detail += f", take {take}"
            # While the previous chunk is not stored, the progress rests where that one ended.
            late = context.background.unfinished > 1
            part = -1 / (total + 1) if late else done / (total + 1)
            report(Progress("chunks", chunk.number - 1 + part, count, detail))

        return context.session.generate(attempt.request, inputs, after_step)

    try:
        start = inputs.start(chunk.request)
        retries = MAX_RETRIES if context.backend.definition.capabilities.retakes else 0
        chosen = choose_take(chunk.spec, chunk.transition, start, generate, retries)
    except BadFramesError as error:
        detail = f"chunk {chunk.number} of {count}"
        raise BadFramesError(f"{detail}: {error}; the other chunks are kept") from error
    if _has_sound(context) and chosen.sound is None:
        raise GenerationError(
            f"the backend {chunk.spec.backend} makes sound, but its clip has none; report this "
            "with the brief, or choose another preset"
        )
    takes = TakeRecord(
        takes=chosen.takes,
        kept=chosen.kept,
        made=chosen.made,
        memory_mode=chosen.memory_mode,
        computation=chosen.computation,
    )
    return _Fresh(chosen.frames, chosen.sound, takes)


def _overlap(context: RunContext) -> int:
    """Raw frames that are kept of a chunk's end; one at least."""
    return max(context.backend.definition.capabilities.overlap, 1)


def _has_sound(context: RunContext) -> bool:
    return context.backend.definition.capabilities.audio
