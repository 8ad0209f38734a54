"""Stitching as a stage: the chunks' clips, or the upscaled segments, into one film."""

from collections.abc import Sequence
from pathlib import Path

from prefect import task

from pipelines.progress import Progress
from pipelines.schema.plan import Plan
from pipelines.stitching import stitch
from tasks.knobs import STAGE
from tasks.progress import report
from tasks.room import LocalClip, Room


@task(name="stitch", task_run_name="stitch-{name}", **STAGE)
def stitch_film(plan: Plan, clips: Sequence[LocalClip], name: str, room: Room) -> Path:
    """Join `clips` into `name`.mp4 with exactly the planned frames."""
    with room.ledger.measure("stitch"):
        report(Progress("stitch", 0, 1, f"joining {len(clips)} clips"))
        path = room.folder / f"{name}.mp4"
        stitch(room.tool, [clip.path for clip in clips], path, frames=plan.frames)
        report(Progress("stitch", 1, 1, "joined"))
        return path
