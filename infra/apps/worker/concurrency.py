"""How many flow runs the studio's pool executes at once, in each queue and in all."""

from infra.adapters.settings import Settings
from tasks.dispatch import QUEUES

SCHEDULE_LIMIT = 2
"""Runs that a schedule starts. They are not counted with the briefs: a schedule never waits for a
brief to end."""


def brief_limit(queue: str) -> int:
    """The concurrency limit of a queue of briefs.

    The upper queues get twice REELWRIGHT_STUDIO_BRIEFS: while one brief of a queue is on the GPU,
    the next one of the same queue has to wait for the GPU already, or the GPU would take one of a
    lower queue first. No queue is below the last one, so that gets REELWRIGHT_STUDIO_BRIEFS.
    """
    briefs = Settings.load().studio.briefs
    return briefs if queue == QUEUES[-1] else 2 * briefs


def worker_limit() -> int:
    """The limit of the pool's worker: that of all queues together."""
    return sum(map(brief_limit, QUEUES)) + SCHEDULE_LIMIT
