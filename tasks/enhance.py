"""The storyboard as a stage: shots found in the bucket, or written by the language model."""

import logging

from prefect import task
from pydantic import ValidationError

from pipelines.errors import CorruptObjectError
from pipelines.planning.plan import make_plan, seed_of, timeline
from pipelines.progress import Progress
from pipelines.prompting.storyboard import write_storyboard
from pipelines.schema.brief import Brief
from pipelines.schema.keys import Digest, ObjectKey
from pipelines.schema.plan import Plan
from pipelines.schema.storyboard import Shot, Storyboard
from tasks import models
from tasks.knobs import STAGE
from tasks.progress import report
from tasks.room import Room

_log = logging.getLogger("reelwright.enhance")


@task(name="enhance", **STAGE)
def enhance(brief: Brief, room: Room) -> Storyboard:
    """Write the shots that the bucket does not hold yet; the writer cannot fail the run."""
    joins = [slot.join for slot in timeline(brief)]
    count = sum(join != "continue" for join in joins)
    done = 0

    def find(digest: Digest) -> Shot | None:
        nonlocal done
        report(Progress("enhance", done, count, "writing the shots"))
        done += 1
        try:
            data = room.store.get_bytes(ObjectKey.shot(digest))
            return Shot.model_validate_json(data) if data else None
        except (CorruptObjectError, ValidationError) as error:
            _log.warning("shot %s is written again: %s", done, error)
            return None

    def keep(digest: Digest, shot: Shot) -> None:
        data = shot.model_dump_json().encode()
        room.store.put_bytes(ObjectKey.shot(digest), data, "application/json")

    with room.ledger.measure("enhance"), models.writer(room) as llama:
        storyboard = write_storyboard(brief, joins, seed_of(brief), llama, find, keep)
    report(Progress("enhance", count, count, "shots written"))
    return storyboard


@task(name="plan", **STAGE)
def plan_video(brief: Brief, storyboard: Storyboard, room: Room) -> Plan:
    """Fix every chunk before the first frame is made."""
    return make_plan(brief, storyboard, room.weights)
