"""The chunk stage.

A chunk is read from the bucket if it is there and whole; otherwise it is generated, checked and
stored.
"""

import logging
import time
from typing import NamedTuple

from prefect import task

from pipelines.backends.base import GeneratedClip
from pipelines.chunks.files import ChunkFiles
from pipelines.chunks.inputs import ChunkInputs
from pipelines.documents.manifest import ChunkRecord, StoredObject, TakeRecord
from pipelines.errors import BadFramesError, CorruptObjectError, GenerationError, MediaError
from pipelines.progress import Progress
from pipelines.quality.takes import choose_take
from pipelines.schema.plan import ChunkSpec, Plan, PlannedChunk
from tasks.context import LocalClip, RunContext
from tasks.options import STAGE
from tasks.progress import report

_log = logging.getLogger("reelwright.chunks")


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
            report(Progress("encode", 1, 1, "texts encoded"))


@task(name="chunk", task_run_name="chunk-{chunk.number}", **STAGE)
def make_chunk(
    chunk: PlannedChunk, count: int, before: LocalClip | None, context: RunContext
) -> LocalClip:
    """Read the chunk from the bucket, or generate and store it. `before` is the previous chunk.

    Returns the clip on this machine. Raises BadFramesError if every take is black or non-finite,
    GenerationError if memory runs out or the backend makes another length or size, BriefError if an
    upload is gone, MediaError if ffmpeg fails, and StoreError if the store fails. Chunks that are
    already stored stay.
    """
    detail = f"chunk {chunk.number} of {count}"
    with context.costs.measure("chunks"):
        files = ChunkFiles(context.folder / f"chunk_{chunk.number:04d}.mp4")
        start = time.perf_counter()
        found = _fetch(chunk, files, context)
        if found:
            report(Progress("chunks", chunk.number, count, f"{detail}: found"))
            return found
        try:
            takes = _generate(chunk, count, inputs_of(before, context), files, context)
        except BadFramesError as error:
            raise BadFramesError(f"{detail}: {error}; the other chunks are kept") from error
        stored = _store(chunk, files, context)
        report(Progress("chunks", chunk.number, count, f"{detail}: made"))
    seconds = round(time.perf_counter() - start, 3)
    return LocalClip(files.clip, _record(chunk, stored, takes, seconds))


def inputs_of(before: LocalClip | None, context: RunContext) -> ChunkInputs:
    """The pixels of a chunk's inputs. `before` is the previous chunk, which the chunk may
    continue."""
    return ChunkInputs(
        tool=context.tool,
        fetch=context.store.get_bytes,
        folder=context.folder,
        motions=context.motions,
        before=ChunkFiles(before.path) if before else None,
        before_frames=before.record.frames if before else 0,
    )


def _fetch(chunk: PlannedChunk, files: ChunkFiles, context: RunContext) -> LocalClip | None:
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
    return LocalClip(files.clip, _record(chunk, _Stored(found, tuple(beside)), takes, None))


class _Stored(NamedTuple):
    """The objects of a chunk in the bucket."""

    clip: StoredObject
    beside: tuple[StoredObject, ...]


_TYPES = {".png": "image/png", ".json": "application/json", ".flac": "audio/flac"}


def _store(chunk: PlannedChunk, files: ChunkFiles, context: RunContext) -> _Stored:
    beside = files.beside(chunk.digest, sound=_has_sound(context))
    stored = tuple(
        context.store.put_file(key, path, _TYPES[path.suffix]) for key, path in beside.items()
    )
    return _Stored(context.store.put_file(chunk.key, files.clip, "video/mp4"), stored)


def _record(
    chunk: PlannedChunk, stored: _Stored, takes: TakeRecord, seconds: float | None
) -> ChunkRecord:
    """The record of a chunk. `seconds` is None for a chunk that was found in the bucket."""
    return ChunkRecord(
        object=stored.clip,
        beside=stored.beside,
        digest=chunk.digest,
        seed=takes.takes[takes.kept].seed,
        frames=chunk.request.new_frames,
        made=seconds is not None,
        seconds=seconds or 0.0,
        memory_mode=takes.memory_mode,
        transition=takes.made,
        takes=takes.takes,
    )


def _generate(
    chunk: PlannedChunk, count: int, inputs: ChunkInputs, files: ChunkFiles, context: RunContext
) -> TakeRecord:
    """Generate takes until one has no fault, and write the files of the best take."""
    take = 0

    def generate(attempt: ChunkSpec) -> GeneratedClip:
        nonlocal take
        take += 1

        def after_step(done: int, total: int) -> None:
            detail = f"chunk {chunk.number} of {count}, step {done} of {total}"
            if take > 1:
                detail += f", take {take}"
            report(Progress("chunks", chunk.number - 1 + done / (total + 1), count, detail))

        return context.session.generate(attempt.request, inputs, after_step)

    chosen = choose_take(chunk.spec, chunk.transition, inputs.start(chunk.request), generate)
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
    )
    overlap = context.backend.definition.capabilities.overlap
    files.write(context.tool, chunk, chosen.frames, chosen.sound, takes, overlap)
    return takes


def _has_sound(context: RunContext) -> bool:
    return context.backend.definition.capabilities.audio
