"""The storyboard stage. A shot is read from the bucket, or the language model writes it."""

import logging

from prefect import task
from pydantic import ValidationError

from pipelines.documents.brief import Brief
from pipelines.errors import CorruptObjectError
from pipelines.planning.plan import make_plan, seed_of, timeline
from pipelines.progress import Progress
from pipelines.prompting.storyboard import write_storyboard
from pipelines.schema.keys import Digest, ObjectKey
from pipelines.schema.plan import Plan
from pipelines.schema.storyboard import Shot, Storyboard
from tasks.context import RunContext
from tasks.language_model import with_placement
from tasks.options import STAGE
from tasks.progress import report

_log = logging.getLogger("reelwright.enhance")


@task(name="enhance", **STAGE)
def enhance(brief: Brief, context: RunContext) -> Storyboard:
    """Write the shots that the bucket does not hold yet. An error of the enhancer does not fail the
    run.

    Raises BriefError if the brief has too many shots or changes one that it does not have, and
    StoreError if the store fails.
    """
    transitions = [slot.transition for slot in timeline(brief)]
    count = sum(item != "continue" for item in transitions)
    done = 0

    def find(digest: Digest) -> Shot | None:
        nonlocal done
        report(Progress("enhance", done, count, "writing the shots"))
        done += 1
        try:
            data = context.store.get_bytes(ObjectKey.shot(digest))
            return Shot.model_validate_json(data) if data else None
        except (CorruptObjectError, ValidationError) as error:
            _log.warning("shot %s is written again: %s", done, error)
            return None

    def store(digest: Digest, shot: Shot) -> None:
        data = shot.model_dump_json().encode()
        context.store.put_bytes(ObjectKey.shot(digest), data, "application/json")

    with context.costs.measure("enhance"), context.enhancer() as llama:
        storyboard = write_storyboard(brief, transitions, seed_of(brief), llama, find, store)
        if llama and storyboard.written:
            storyboard = with_placement(storyboard, llama)
    report(Progress("enhance", count, count, "shots written"))
    return storyboard


@task(name="plan", **STAGE)
def plan_video(brief: Brief, storyboard: Storyboard, context: RunContext) -> Plan:
    """Plan every chunk before the first frame is made.

    Raises BriefError as `enhance`.
    """
    return make_plan(brief, storyboard, context.backend, context.upscale_spec())
