"""Waits for the job of a chunk, and submits another one if it surely made nothing."""

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipelines.backends.base import StepReport
from pipelines.backends.remote.access import JobRecord
from pipelines.backends.remote.jobs import Jobs
from pipelines.backends.remote.service import Bill, JobStatus
from pipelines.errors import (
    GenerationError,
    LostJobError,
    PendingJobError,
    RefusedError,
    UnavailableError,
)
from pipelines.schema.money import Money

_log = logging.getLogger("reelwright.remote")
_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 1.0, 15.0, 1.4
"""Seconds between two questions about a job."""
_STEPS = 100
_LOOKS = 3
"""Times that a service must say that it does not know a paid job, before the job is given up: it
may not show at once everywhere what it has just taken, and a further job would be paid for."""


def wait_for(
    jobs: Jobs,
    submitted: Callable[[], JobRecord],
    price: Money,
    bill: Callable[[JobStatus], Bill],
    on_step: StepReport,
) -> tuple[JobRecord, JobStatus]:
    """The job of a chunk and its status, which is `done`. Raises as `RemoteSession.generate`."""
    while True:
        record = submitted()
        with _stopped_with_us(jobs, record):
            status = _last_status(jobs, record, on_step)
        if status.state == "done":
            jobs.settle(record, price, bill(status))
            return jobs.end(record, "done"), status
        if status.state == "refused":
            jobs.settle(record, price, bill(status))
            jobs.end(record, "refused", status.message)
            raise RefusedError(jobs.refusal(status.message))
        if status.state == "failed":
            jobs.settle(record, price, bill(status))
            jobs.end(record, "failed", status.message)
            if status.lasting:
                raise UnavailableError(f"{jobs.title} cannot make this clip: {status.message}")
            if status.invalid:
                raise GenerationError(f"{jobs.title} calls the request invalid: {status.message}")
        else:
            _give_up(jobs, record, price)
        _log.warning("%s made no clip (%s): %s", jobs.title, status.state, status.message)


def _give_up(jobs: Jobs, record: JobRecord, price: Money) -> None:
    """The service does not know the job (any more). Raises LostJobError if it was paid."""
    if record.outcome == "done":  # its clip was made and paid, and has expired since
        jobs.end(record, "gone", "the clip is not kept any more")
        return
    message = f"the service does not know the job {record.operation} any more"
    jobs.keep(record, price, message)
    jobs.end(record, "lost" if jobs.service.paid else "gone", message)
    if jobs.service.paid:
        raise LostJobError(jobs.loss(message))


def _last_status(jobs: Jobs, record: JobRecord, on_step: StepReport) -> JobStatus:
    """The status in which a job ended. Without an answer of the service the job is left as it is,
    for the next run.

    After `job_seconds`, raises PendingJobError for a paid job and UnavailableError for another one.
    """
    end, pause, reason = time.monotonic() + jobs.config.job_seconds, _FIRST_PAUSE, ""
    missed, looks = 0, _LOOKS if jobs.service.paid else 1
    while True:
        try:
            status = jobs.service.look(record.operation)
        except UnavailableError as error:
            reason = str(error)
            _log.warning("%s does not say how a job is: %s", jobs.title, reason)
        else:
            missed += status.state == "gone"
            known = status.state != "gone" or missed == looks
            if known and status.state not in ("queued", "running"):
                return status
            reason = status.message or status.state
            on_step(round(status.progress * _STEPS), _STEPS)
        if time.monotonic() > end:
            failure = PendingJobError if jobs.service.paid else UnavailableError
            raise failure(
                f"{jobs.title} did not finish a clip in {jobs.config.job_seconds:g} s ({reason}). "
                "The job is not lost: run again to go on with it, or raise job_seconds"
            )
        jobs.access.pause(pause * random.uniform(0.8, 1.2))
        pause = min(pause * _GROWTH, _LONGEST_PAUSE)


@contextmanager
def _stopped_with_us(jobs: Jobs, record: JobRecord) -> Iterator[None]:
    """If a person cancels the run, tell the service too, and pass the error on.

    A cancel is a signal, which raises an error wherever the block is: mostly in a pause.
    """
    try:
        yield
    except BaseException:
        if jobs.access.is_cancelled():
            jobs.service.cancel(record.operation)
        raise
