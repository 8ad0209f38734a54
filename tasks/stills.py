"""The still stage: makes one frame of each shot, with the shot's own words and seed."""

import logging
from collections.abc import Sequence

from prefect import task

from pipelines.documents.brief import Brief
from pipelines.documents.draft import Draft, DraftShot
from pipelines.documents.manifest import StoredObject
from pipelines.documents.stand_ins import stand_ins
from pipelines.errors import CorruptObjectError
from pipelines.media.still import stack_png
from pipelines.progress import Progress
from pipelines.schema.keys import ObjectKey
from pipelines.schema.plan import ChunkSpec, Estimate, Plan, PlannedChunk
from pipelines.schema.request import LastFrame
from pipelines.schema.storyboard import Storyboard
from pipelines.schema.text import without_control_tokens
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
    specs = [_still_of(chunk, context) for chunk in chunks]
    missing = [
        spec.request
        for spec in specs
        if _is_free(spec, context) and context.store.head(ObjectKey.still(spec.digest)) is None
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


def _is_free(spec: ChunkSpec, context: RunContext) -> bool:
    """Whether nobody charges for the clip that a still is taken from. A paid one is never bought
    for a draft: no person has approved anything yet."""
    price = context.backend.effort([spec.request]).price
    return price is None or not price.amount


def _is_made(chunk: PlannedChunk) -> bool:
    """Whether its still is a new picture: not that of the chunk before, and no upload."""
    return not (chunk.request.continuation or chunk.request.first_frame)


@task(name="still", task_run_name="still-{chunk.number}", **STAGE)
def make_still(
    chunk: PlannedChunk, count: int, before: StoredObject | None, context: RunContext
) -> StoredObject | None:
    """The still of `chunk`, read from the bucket or made; None if a service would charge for it.
    `before` is the still of the previous chunk.

    A chunk that continues the previous one has the same still. Raises BriefError if an upload is
    gone, BadFramesError if the frame is non-finite, GenerationError if memory runs out, and
    StoreError if the store fails.
    """
    request = chunk.request
    if request.continuation and before:
        return before
    inputs = inputs_of(None, context)
    if request.first_frame:
        picture = stack_png([inputs.picture(request.first_frame.picture, request.size)])
        return context.store.put_bytes(ObjectKey.still(chunk.digest), picture, "image/png")
    spec = _still_of(chunk, context)
    key = ObjectKey.still(spec.digest)
    report(Progress("chunks", chunk.number - 1, count, f"still {chunk.number} of {count}"))
    found = _whole(key, context)
    if found is None and _is_free(spec, context):
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
    style = f". {without_control_tokens(brief.style)}" if brief.style else ""
    shots = [
        DraftShot(
            number=shot.number,
            prompt=shot.prompt.removesuffix(style),
            seconds=round(chunk.frame_count / plan.fps, 2),
            still=still,
        )
        for shot, chunk, still in zip(storyboard.shots, plan.chunks, stills, strict=True)
    ]
    show_stand_ins(stand_ins(None, storyboard))
    warnings = stand_ins(context.device_record, storyboard)
    if None in stills:
        title = context.backend.definition.title
        warnings += (f"shots are shown without a still, because {title} charges for each clip",)
    return Draft(shots=tuple(shots), estimate=expected, warnings=warnings)
