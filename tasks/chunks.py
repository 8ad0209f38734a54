"""Chunks as stages: found verified in the bucket, or made, checked and stored at once."""

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from prefect import task
from pydantic import ValidationError

from pipelines.errors import BadFramesError, BriefError, CorruptObjectError, MediaError
from pipelines.joining import CHUNK_CRF, CHUNK_SPEED
from pipelines.media.codec import Frame, clip_of, clip_writer, read_frames
from pipelines.media.still import fit_picture, stack_png, unstack_png
from pipelines.progress import Progress
from pipelines.schema.keys import ObjectKey
from pipelines.schema.manifest import ChunkRecord, StoredObject, TakeRecord
from pipelines.schema.plan import ChunkSpec, Plan, PlannedChunk
from pipelines.schema.presets import fade_of
from tasks import models
from tasks.knobs import STAGE
from tasks.progress import report
from tasks.room import LocalClip, Room

if TYPE_CHECKING:
    from pipelines.generation.wan import RenderedChunk

_log = logging.getLogger("reelwright.chunks")


@task(name="encode", **STAGE)
def encode_texts(plan: Plan, room: Room) -> None:
    """Encode the texts of all chunks that must be made, then free the text encoder."""
    with room.ledger.measure("encode"):
        missing = [c.spec for c in plan.chunks if room.store.head(c.spec.key) is None]
        texts = [text for spec in missing for text in (spec.prompt, spec.negative)]
        if texts:
            report(Progress("encode", 0, 1, "encoding the texts"))
            models.embeddings(room, texts)
            report(Progress("encode", 1, 1, "texts encoded"))


@task(name="chunk", task_run_name="chunk-{chunk.number}", **STAGE)
def make_chunk(chunk: PlannedChunk, count: int, before: LocalClip | None, room: Room) -> LocalClip:
    """The chunk on this machine and, verified, in the bucket. `before` is the chunk before it.

    Raises BadFramesError if every take came out black or non-finite; other chunks are kept.
    """
    detail = f"chunk {chunk.number} of {count}"
    with room.ledger.measure("chunks"):
        path = room.folder / f"chunk_{chunk.number:04d}.mp4"
        start = time.perf_counter()
        found = _fetch(chunk.spec, path, room)
        if found:
            report(Progress("chunks", chunk.number, count, f"{detail}: found"))
            return found
        try:
            takes = _render(chunk, count, before, path, room)
        except BadFramesError as error:
            raise BadFramesError(f"{detail}: {error}; the other chunks are kept") from error
        stored = _store(chunk.spec, takes, path, room)
        report(Progress("chunks", chunk.number, count, f"{detail}: made"))
    seconds = round(time.perf_counter() - start, 3)
    return LocalClip(path, _record(chunk.spec, stored, takes, seconds))


def _fetch(spec: ChunkSpec, path: Path, room: Room) -> LocalClip | None:
    """The chunk from the bucket; one that does not hold what it must is removed there.

    The clip is stored last, so what belongs to it is there, or somebody damaged it.
    """
    found = room.store.head(spec.key)
    if found is None:
        return None
    try:
        room.store.get_file(found, path)
        clip_of(path, frames=spec.new_frames, size=spec.size)
        tail = _beside(ObjectKey.tail(spec.digest), path.with_suffix(".png"), room)
        takes = _beside(ObjectKey.takes(spec.digest), path.with_suffix(".json"), room)
        record = TakeRecord.model_validate_json(path.with_suffix(".json").read_bytes())
    except (CorruptObjectError, MediaError, ValidationError) as error:
        _log.warning("a chunk is made again: %s", error)
        room.store.delete(spec.key)
        return None
    return LocalClip(path, _record(spec, Stored(found, tail, takes), record, None))


def _beside(key: ObjectKey, path: Path, room: Room) -> StoredObject:
    found = room.store.head(key)
    if found is None:
        raise MediaError(f"{key} is missing, the chunk is not whole")
    room.store.get_file(found, path)
    return found


class Stored(NamedTuple):
    """The three objects of a chunk."""

    clip: StoredObject
    tail: StoredObject
    takes: StoredObject


def _store(spec: ChunkSpec, takes: TakeRecord, path: Path, room: Room) -> Stored:
    raw = path.with_suffix(".png")
    tail = room.store.put_file(ObjectKey.tail(spec.digest), raw, "image/png")
    data = takes.model_dump_json().encode()
    tried = room.store.put_bytes(ObjectKey.takes(spec.digest), data, "application/json")
    return Stored(room.store.put_file(spec.key, path, "video/mp4"), tail, tried)


def _record(
    spec: ChunkSpec, stored: Stored, takes: TakeRecord, seconds: float | None
) -> ChunkRecord:
    """`seconds` is None for a chunk that was found."""
    return ChunkRecord(
        object=stored.clip,
        beside=(stored.tail, stored.takes),
        digest=spec.digest,
        seed=takes.takes[takes.kept].seed,
        frames=spec.new_frames,
        made=seconds is not None,
        seconds=seconds or 0.0,
        memory=takes.memory,
        join=takes.made,
        takes=takes.takes,
    )


def _render(
    chunk: PlannedChunk, count: int, before: LocalClip | None, path: Path, room: Room
) -> TakeRecord:
    """Write the clip and, beside it, its last raw frames."""
    from pipelines.generation.takes import Earlier, choose_take

    spec = chunk.spec
    cache = models.embeddings(room, [spec.prompt, spec.negative])
    positive, negative = cache.get(spec.prompt), cache.get(spec.negative)
    assert positive is not None
    assert negative is not None
    earlier = None
    if spec.conditioning and before:
        tail = before.path.with_suffix(".png").read_bytes()
        length = before.record.frames
        earlier = Earlier(
            film=list(read_frames(room.tool, before.path, spec.size, frames=length)),
            tail=unstack_png(tail, spec.conditioning.frames),
        )
    elif spec.conditioning:
        earlier = Earlier(film=(), tail=[picture_of(spec, room)])
    take = 0

    def render(attempt: ChunkSpec) -> "RenderedChunk":
        nonlocal take
        take += 1

        def after_step(done: int, total: int) -> None:
            detail = f"chunk {chunk.number} of {count}, step {done} of {total}"
            if take > 1:
                detail += f", take {take}"
            report(Progress("chunks", chunk.number - 1 + done / (total + 1), count, detail))

        raw = earlier.tail if earlier else ()
        return models.wan_model(room).render(attempt, positive, negative, after_step, raw)

    chosen = choose_take(spec, chunk.join, earlier, render)
    _write(spec, chosen.frames, path, room)
    return TakeRecord(takes=chosen.takes, kept=chosen.kept, made=chosen.made, memory=chosen.rung)


def picture_of(spec: ChunkSpec, room: Room) -> Frame:
    """The uploaded picture that a chunk begins with, at the chunk's size. Raises BriefError."""
    assert spec.conditioning is not None
    key = ObjectKey.upload(spec.conditioning.chunk)
    data = room.store.get_bytes(key)
    if data is None:
        raise BriefError(f"{key} is not in the bucket any more; upload the picture again")
    return fit_picture(data, spec.size)


def _write(spec: ChunkSpec, frames: list[Frame], path: Path, room: Room) -> None:
    overlap = room.overlap
    path.with_suffix(".png").write_bytes(stack_png(frames[-overlap:]))
    with clip_writer(
        room.tool,
        path,
        spec.size,
        spec.new_frames,
        crf=CHUNK_CRF,
        speed=CHUNK_SPEED,
        keyframe=fade_of(spec.frames),
    ) as write:
        for frame in frames:
            write(frame)
