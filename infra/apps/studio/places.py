"""How many runs of each queue the studio's pool takes at once."""

from infra.adapters.settings import Settings
from tasks.dispatch import QUEUES

CLOCK_PLACES = 2
"""For what a schedule starts; the queues hold the briefs back, so that it never waits for one."""


def briefs_of(queue: str) -> int:
    """Briefs of a queue that are at work at once. The next of a queue must be there when the GPU
    asks, or one of a lower queue goes before it; below the last one there is none."""
    briefs = Settings.load().studio.briefs
    return briefs if queue == QUEUES[-1] else 2 * briefs


def places() -> int:
    """Of all queues together: what the pool's worker must take."""
    return sum(map(briefs_of, QUEUES)) + CLOCK_PLACES
