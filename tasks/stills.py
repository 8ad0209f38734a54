"""The still stage: makes one frame of each shot, with the shot's own words and seed."""

import logging
from collections.abc import Sequence

from prefect import task

from pipelines.documents.brief import Brief
from pipelines.documents.draft import Draft
from pipelines.documents.manifest import StoredObject
from pipelines.documents.stand_ins import stand_ins
from pipelines.documents.stored_brief import StoredBrief
from pipelines.errors import CorruptObjectError
from pipelines.language.brief_texts import as_translated
from pipelines.media.still import stack_png
from pipelines.planning.drafting import chunk_seconds, draft_shots
from pipelines.progress import Progress
from pipelines.schema.keys import ObjectKey
from pipelines.schema.plan import ChunkSpec, Estimate, Plan, PlannedChunk
from pipelines.schema.request import LastFrame
from pipelines.schema.storyboard import Storyboard
from tasks.artifacts import show_stand_ins
from tasks.chunks import inputs_of
from tasks.context import RunContext
from tasks.options import STAGE
from tasks.progress import report

_log = logging.getLogger("reelwright.stills")


@task(name="encode", **STAGE)
def prepare_stills(plan: Plan, context: RunContext) -> None:
    """Do once what all stills that must be made need: each model is loaded once, not per shot."""
    chunks = [chunk for chunk in plan.chunks if _is_made(chunk)]
    specs = [_still_of(chunk, context) for chunk in chunks if not _is_paid(chunk, context)]
    missing = [
        spec.request for spec in specs if context.store.head(ObjectKey.still(spec.digest)) is None
    ]
    if missing:
        context.session.prepare(missing)
        show_stand_ins(context.device_record.notices)


def _still_of(chunk: PlannedChunk, context: RunContext) -> ChunkSpec:
    """The shortest clip of a chunk, whose first frame is its still."""
    can = context.backend.definition.capabilities
    # How the shot begins: a single frame cannot be the picture that the clip ends with as well.
    left = tuple(item for item in chunk.request.inputs if not isinstance(item, LastFrame))
    update = {"frames": can.lengths_around(1)[1], "inputs": left}
    return chunk.spec.model_copy(update={"request": chunk.request.model_copy(update=update)})


def _is_made(chunk: PlannedChunk) -> bool:
    """Whether its still is a new picture: not that of the chunk before, and no upload."""
    return not (chunk.request.continuation or chunk.request.first_frame)


def _is_paid(chunk: PlannedChunk, context: RunContext) -> bool:
    """Whether a new still costs money. It is not made then: nobody has agreed to the brief yet, and
    the clip that it belongs to would be paid for once more."""
    price = context.backend.effort([_still_of(chunk, context).request]).price
    return price is not None and bool(price.amount)


@task(name="still", task_run_name="still-{chunk.number}", **STAGE)
def make_still(
    chunk: PlannedChunk, count: int, before: StoredObject | None, context: RunContext
) -> StoredObject | None:
    """The still of `chunk`, read from the bucket or made; None if it would have to be paid for.
    `before` is the still of the previous chunk.

    A chunk that continues the previous one has the same still. Raises BriefError if an upload is
    gone, BadFramesError if the frame is non-finite, GenerationError if memory runs out, and
    StoreError if the store fails.
    """
    request = chunk.request
    if request.continuation:
        return before
    inputs = inputs_of(None, context)
    if request.first_frame:
        picture = stack_png([inputs.picture(request.first_frame.picture, request.size)])
        return context.store.put_bytes(ObjectKey.still(chunk.digest), picture, "image/png")
    if _is_paid(chunk, context):
        return None
    spec = _still_of(chunk, context)
    key = ObjectKey.still(spec.digest)
    report(Progress("chunks", chunk.number - 1, count, f"still {chunk.number} of {count}"))
    found = _whole(key, context)
    if found is None:
        clip = context.session.generate(spec.request, inputs, lambda *_: None)
        data = stack_png([next(clip.frames)])
        found = context.store.put_bytes(key, data, "image/png")
    report(Progress("chunks", chunk.number, count, f"still {chunk.number} of {count}"))
    return found


def _whole(key: ObjectKey, context: RunContext) -> StoredObject | None:
    """The still, if it is in the bucket and undamaged. A person looks at it next, and no program
    does."""
    found = context.store.head(key)
    if found is None:
        return None
    try:
        context.store.verify(found)
    except CorruptObjectError as error:
        _log.warning("a still is made again: %s", error)
        return None
    return found


@task(name="draft", **STAGE)
def make_draft(
    brief: Brief,
    plan: Plan,
    storyboard: Storyboard,
    stills: Sequence[StoredObject | None],
    expected: Estimate,
    context: RunContext,
) -> Draft:
    """The draft that a person is asked to approve."""
    english = as_translated(brief, storyboard.translation)
    shots = tuple(draft_shots(english, plan, storyboard, stills))
    show_stand_ins(stand_ins(None, storyboard))
    warnings = stand_ins(context.device_record, storyboard)
    left_out = "" if all(stills) else _without(context.backend.definition.title)
    return Draft(
        shots=shots,
        estimate=expected,
        warnings=warnings,
        without_stills=left_out,
        brief=StoredBrief.of(brief),
        sheet=storyboard.sheet,
        translation=storyboard.translation,
        chunk_seconds=chunk_seconds(brief, len(plan.chunks)),
    )


def _without(title: str) -> str:
    return (
        f"{title} is paid for each clip, so no picture of a shot is made before the shots are "
        "approved"
    )
