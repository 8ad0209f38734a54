"""Decides what becomes of reservations whose run has ended without settling them."""

from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from pipelines.backends.remote.access import JobRecord
from pipelines.costs.book import Line
from pipelines.schema.keys import Digest

AGE = timedelta(days=1)
"""No reservation is touched earlier. A job may take a day at most (`job_seconds`), and a run that
this studio's Prefect does not know may still be at work elsewhere."""
ABANDONED = timedelta(days=7)
"""After which nobody is expected to go on with a job that was submitted. It must be well before the
retention removes the job's record: without a record a reservation is released."""


class Fate(NamedTuple):
    """What is done with a reservation, and why."""

    action: Literal["release", "settle", "keep"]
    reason: str


def job_of(line: Line) -> tuple[Digest, int] | None:
    """Digest of the chunk and number of the attempt; None for another id."""
    digest, _, attempt = line.id.rpartition("-")
    try:
        return Digest(digest), int(attempt)
    except ValueError:
        return None


def fate_of(
    line: Line, record: JobRecord | None, living: frozenset[str], now: datetime
) -> Fate | None:
    """What is done with the reservation `line`; None: it stays as it is.

    `record` is what the journal says of its chunk, and `living` are the ids of runs that have not
    ended.
    """
    job = job_of(line)
    if not line.is_open or job is None or line.spender.run in living:
        return None
    age = now - datetime.fromisoformat(line.made)
    if age < AGE:
        return None
    attempt = job[1]
    if record is None or record.attempt < attempt:
        return Fate("release", "the run ended before it submitted the job")
    if record.attempt > attempt:
        return Fate("keep", "a later attempt follows, and nobody can say how this one ended")
    if record.state != "ended":
        # The next run goes on with the job, and settles it; also if it is kept by then.
        return Fate("keep", "no run came back to the job") if age > ABANDONED else None
    if record.outcome in ("released", "refused"):
        return Fate("release", f"the job ended as {record.outcome}")
    if record.outcome == "lost":
        return Fate("keep", "the answer was lost")
    return Fate("settle", f"the run ended after the job ended as {record.outcome}")
