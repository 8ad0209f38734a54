"""Chunks as stages: found verified in the bucket, or made, checked and stored at once."""

import time
from pathlib import Path

from prefect import task

from pipelines.errors import BadFramesError, CorruptObjectError, MediaError
from pipelines.media.codec import clip_of, clip_writer
from pipelines.progress import Progress
from pipelines.schema.manifest import ChunkRecord
from pipelines.schema.plan import ChunkSpec, Plan, PlannedChunk
from tasks import models
from tasks.knobs import STAGE
from tasks.progress import report
from tasks.room import LocalClip, Room

CHUNK_CRF = 12
"""Finer than the final film's: the upscaler sees every artefact that is left here."""
CHUNK_SPEED = "medium"


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
def make_chunk(chunk: PlannedChunk, count: int, room: Room) -> LocalClip:
    """The chunk on this machine and, verified, in the bucket.

    Raises BadFramesError if it came out black or non-finite; other chunks are kept.
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
            memory = _render(chunk, count, path, room)
        except BadFramesError as error:
            raise BadFramesError(f"{detail}: {error}; the other chunks are kept") from error
        stored = room.store.put_file(chunk.spec.key, path, "video/mp4")
        report(Progress("chunks", chunk.number, count, f"{detail}: made"))
    record = ChunkRecord(
        object=stored,
        digest=chunk.spec.digest,
        seed=chunk.spec.seed,
        frames=chunk.spec.frames,
        made=True,
        seconds=round(time.perf_counter() - start, 3),
        memory=memory,
    )
    return LocalClip(path, record)


def _fetch(spec: ChunkSpec, path: Path, room: Room) -> LocalClip | None:
    """The chunk from the bucket; one that does not hold what it must is removed there."""
    found = room.store.head(spec.key)
    if found is None:
        return None
    try:
        room.store.get_file(found, path)
        clip_of(path, frames=spec.frames, size=spec.size)
    except (CorruptObjectError, MediaError):
        room.store.delete(spec.key)
        return None
    record = ChunkRecord(
        object=found,
        digest=spec.digest,
        seed=spec.seed,
        frames=spec.frames,
        made=False,
        seconds=0.0,
        memory="resident",
    )
    return LocalClip(path, record)


def _render(chunk: PlannedChunk, count: int, path: Path, room: Room) -> str:
    spec = chunk.spec
    cache = models.embeddings(room, [spec.prompt, spec.negative])
    positive, negative = cache.get(spec.prompt), cache.get(spec.negative)
    assert positive is not None
    assert negative is not None

    def after_step(done: int, total: int) -> None:
        detail = f"chunk {chunk.number} of {count}, step {done} of {total}"
        report(Progress("chunks", chunk.number - 1 + done / (total + 1), count, detail))

    rendered = models.wan_model(room).render(spec, positive, negative, after_step)
    with clip_writer(
        room.tool, path, spec.size, spec.frames, crf=CHUNK_CRF, speed=CHUNK_SPEED
    ) as write:
        for frame in rendered.frames:
            write(frame)
    return rendered.rung
