"""A still of each shot: one frame of Wan with the shot's own words and seed."""

import logging
from collections.abc import Sequence

from prefect import task

from pipelines.errors import CorruptObjectError
from pipelines.media.still import stack_png
from pipelines.progress import Progress
from pipelines.schema.brief import Brief
from pipelines.schema.draft import Draft, DraftShot
from pipelines.schema.keys import ObjectKey
from pipelines.schema.manifest import StoredObject
from pipelines.schema.plan import Estimate, Plan, PlannedChunk
from pipelines.schema.presets import FPS
from pipelines.schema.storyboard import Storyboard
from pipelines.schema.text import without_control_tokens
from tasks import models
from tasks.chunks import picture_of
from tasks.knobs import STAGE
from tasks.progress import report
from tasks.room import Room

_log = logging.getLogger("reelwright.stills")


@task(name="still", task_run_name="still-{chunk.number}", **STAGE)
def make_still(
    chunk: PlannedChunk, count: int, before: StoredObject | None, room: Room
) -> StoredObject:
    """The still of `chunk` in the bucket; `before`, the one of the chunk that it goes on from."""
    if chunk.spec.conditioning and before:
        return before
    if chunk.spec.conditioning:
        picture = stack_png([picture_of(chunk.spec, room)])
        return room.store.put_bytes(ObjectKey.still(chunk.spec.digest), picture, "image/png")
    spec = chunk.spec.model_copy(update={"frames": 1})
    key = ObjectKey.still(spec.digest)
    report(Progress("chunks", chunk.number - 1, count, f"still {chunk.number} of {count}"))
    found = _whole(key, room)
    if found is None:
        cache = models.embeddings(room, [spec.prompt, spec.negative])
        positive, negative = cache.get(spec.prompt), cache.get(spec.negative)
        assert positive is not None
        assert negative is not None
        rendered = models.wan_model(room).render(spec, positive, negative, lambda *_: None)
        found = room.store.put_bytes(key, stack_png(list(rendered.frames)), "image/png")
    report(Progress("chunks", chunk.number, count, f"still {chunk.number} of {count}"))
    return found


def _whole(key: ObjectKey, room: Room) -> StoredObject | None:
    """The still if it is there with every byte: nobody else looks at it before a person does."""
    found = room.store.head(key)
    if found is None:
        return None
    try:
        room.store.verify(found)
    except CorruptObjectError as error:
        _log.warning("a still is made again: %s", error)
        return None
    return found


@task(name="draft", **STAGE)
def make_draft(
    brief: Brief,
    plan: Plan,
    storyboard: Storyboard,
    stills: Sequence[StoredObject],
    expected: Estimate,
) -> Draft:
    """What a person is asked about."""
    style = f". {without_control_tokens(brief.style)}" if brief.style else ""
    shots = [
        DraftShot(
            number=shot.number,
            prompt=shot.prompt.removesuffix(style),
            seconds=round(chunk.keep / FPS, 2),
            still=still,
        )
        for shot, chunk, still in zip(storyboard.shots, plan.chunks, stills, strict=True)
    ]
    return Draft(shots=tuple(shots), estimate=expected)
