"""Jobs of one backend: who may submit one, under which id it runs, and what it costs.

The order is: reserve in the ledger, claim in the journal, submit, write the id into the journal.
Each step finds what an interrupted run or another host did before.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from uuid import NAMESPACE_URL, uuid5

from pipelines.backends.remote.access import Charge, JobRecord, RemoteAccess
from pipelines.backends.remote.config import RemoteConfig
from pipelines.backends.remote.service import Bill, RemoteService
from pipelines.errors import (
    AnswerLostError,
    LostJobError,
    PendingJobError,
    ReelwrightError,
    RefusedError,
    UnavailableError,
)
from pipelines.schema.keys import Digest
from pipelines.schema.money import Money

_log = logging.getLogger("reelwright.remote")
Submit = Callable[[str], str]
"""Submits a job under a key of ours and returns its id at the service."""
MOST_ATTEMPTS = 3
"""Most jobs that one run submits for a chunk, each after the one before surely made nothing."""
_LOOK_AGAIN = 1.0
"""Seconds until the journal is read again while another process submits."""


class Jobs:
    """The jobs that one run has at one service."""

    def __init__(
        self,
        name: str,
        title: str,
        service: RemoteService,
        access: RemoteAccess,
        config: RemoteConfig,
    ) -> None:
        self.title, self.service, self.access, self.config = title, service, access, config
        self._name = name
        self._began: dict[Digest, int] = {}
        """Attempt at which this run began, for each chunk."""
        self._unused: dict[Digest, tuple[int, Charge]] = {}
        """What `reserve` reserved for chunks that this run did not submit yet, with the attempt."""

    def reserve(self, prices: Sequence[tuple[Digest, Money]]) -> None:
        """Reserve the next attempt at each chunk, all or none. Raises BudgetError above a cap."""
        if self.service.paid:
            wanted = {}
            for digest, price in prices:
                attempt = _attempt_after(self.access.journal.read(digest))
                wanted[digest] = attempt, self._charge(digest, attempt, price)
            self.access.ledger.reserve([charge for _, charge in wanted.values()])
            self._unused = wanted

    def release_unused(self) -> None:
        """Release what was reserved for chunks that nobody submitted, because the run ends. An
        error is logged: the nightly look at the ledger releases them too."""
        try:
            for digest, (attempt, charge) in self._unused.items():
                record = self.access.journal.read(digest)
                if record is None or record.attempt < attempt:  # no other run submitted it either
                    self.access.ledger.release(charge, "the run ended before it submitted the job")
        except ReelwrightError as error:
            _log.warning("a reservation stays until the night: %s", error)

    def submitted(self, digest: Digest, price: Money, submit: Submit) -> JobRecord:
        """The job of a chunk: one that the service has already, or a new one.

        Raises as `RemoteSession.generate`.
        """
        while True:
            record = self.access.journal.read(digest)
            if record is None or (record.state == "ended" and record.outcome != "done"):
                self._release_again(record, price)
                self._check_may_try(record, digest)
                record = self._claim(record, digest, price, submit)
            elif record.state == "submitting":
                record = self._look_for(record, price, submit)
            if record is not None:
                self._unused.pop(digest, None)
                return record

    def end(self, record: JobRecord, outcome: str, message: str = "") -> JobRecord:
        """Write how a job ended. If another process wrote it first, its word stays.

        A job that was done and whose clip is not what was asked for ends as `failed`: then the next
        run submits a new one.
        """
        changes = {"state": "ended", "outcome": outcome, "message": message}
        return self._write(record, record, **changes) or record

    def settle(self, record: JobRecord, price: Money, bill: Bill | None) -> None:
        """Replace the reservation: by the bill, or by nothing if there is none."""
        if not self.service.paid:
            return
        charge = self._charge(record.digest, record.attempt, price)
        if bill is not None and bill.price.amount:
            self.access.ledger.settle(charge, bill.price, bill.basis)
        else:
            self.access.ledger.release(charge, "the job made nothing")

    def keep(self, record: JobRecord, price: Money, reason: str) -> None:
        """Nobody knows what the job costs: the reservation stays."""
        if self.service.paid:
            self.access.ledger.keep(self._charge(record.digest, record.attempt, price), reason)

    def _release_again(self, record: JobRecord | None, price: Money) -> None:
        """Whoever wrote that a job never started may have been killed before the release."""
        if record is not None and record.outcome in ("released", "refused"):
            self.settle(record, price, None)

    def _check_may_try(self, record: JobRecord | None, digest: Digest) -> None:
        """Raises RefusedError and LostJobError for what was refused or lost in this run, also
        before a worker started it again, and UnavailableError after MOST_ATTEMPTS."""
        attempts = record.attempt if record else 0
        began = self._began.setdefault(digest, attempts)
        if record is None:
            return
        if record.outcome == "refused" and record.run == self.access.run:
            raise RefusedError(self.refusal(record.message))
        if record.outcome == "lost" and record.run == self.access.run and self.service.paid:
            raise LostJobError(self.loss(record.message))
        if attempts - began >= MOST_ATTEMPTS:
            raise UnavailableError(
                f"{self.title} was asked {MOST_ATTEMPTS} times for a chunk and made none: "
                f"{record.message or 'it gave no reason'}; try again later"
            )

    def refusal(self, message: str) -> str:
        """The sentence for content that the service refuses."""
        return (
            f"{self.title} refuses the content of this shot: {message or 'it gave no reason'}. "
            "Change the words or pictures; no other backend was tried"
        )

    def loss(self, message: str) -> str:
        """The sentence for a paid job that nobody can find."""
        return (
            f"{self.title} may have started a paid job that cannot be found ({message}). It is not "
            "submitted again, and its price stays in the ledger. Another brief or seed makes a new "
            "job; so does running this one again"
        )

    def _claim(
        self, before: JobRecord | None, digest: Digest, price: Money, submit: Submit
    ) -> JobRecord | None:
        """Submit a new job; None if another process was faster."""
        attempt = _attempt_after(before)
        if self.service.paid:
            self.access.ledger.reserve([self._charge(digest, attempt, price)])
        record = JobRecord(
            digest=digest,
            backend=self._name,
            attempt=attempt,
            key=str(uuid5(NAMESPACE_URL, f"reelwright:{digest}:{attempt}")),
            state="submitting",
            run=self.access.run,
            changed=_now(),
        )
        if not self.access.journal.write(record, before):
            return None
        return self._submit(record, price, submit)

    def _submit(
        self, record: JobRecord, price: Money, submit: Submit, *, again: bool = False
    ) -> JobRecord | None:
        """Submit a claimed job; None if it surely or possibly was not started, and may be tried
        again. `again`: the same job for the second time, since the service does not have it."""
        try:
            operation = submit(record.key)
        except AnswerLostError as error:
            if again:
                self._lose(record, price, str(error))
                return None
            return self._after_lost_answer(record, price, str(error), submit)
        except RefusedError as error:
            self._never_started(record, price, "refused", str(error))
            raise RefusedError(self.refusal(str(error))) from error
        except ReelwrightError as error:  # such as a picture that is gone, a wrong key, no quota
            if not again:  # else the next run looks for the first one before it submits anew
                self._never_started(record, price, "released", str(error))
            raise
        return self._started(record, operation)

    def _started(self, record: JobRecord, operation: str) -> JobRecord | None:
        """Write the id of a job. None if a later attempt follows this one already."""
        written = self._write(record, record, state="submitted", operation=operation)
        if written is not None:
            return written
        # Another process took the claim for an abandoned one. But the job is there, and paid.
        found = self.access.journal.read(record.digest)
        if found is not None and found.key == record.key and found.outcome == "lost":
            changes = {"state": "submitted", "outcome": "", "message": "", "operation": operation}
            return self._write(record, found, **changes)
        return None

    def _never_started(self, record: JobRecord, price: Money, outcome: str, message: str) -> None:
        # In this order: killed in between, the next run releases it again (`_release_again`).
        # The other way round it would find a job that it must take for lost.
        self.end(record, outcome, message)
        self.settle(record, price, None)

    def _after_lost_answer(
        self, record: JobRecord, price: Money, message: str, submit: Submit
    ) -> JobRecord | None:
        if self.service.finds:
            self.access.pause(_LOOK_AGAIN)  # the request may still be on its way
            operation = self._found(record)
            if operation is None:
                return self._submit(record, price, submit, again=True)
            return self._started(record, operation)
        self._lose(record, price, message)
        return None

    def _found(self, record: JobRecord) -> str | None:
        """The id of a job whose answer was lost; None if the service does not have it.

        Raises PendingJobError if a service that is paid cannot be asked now: the job may be at work
        there, and another backend would be paid for the same clip.
        """
        try:
            return self.service.find(record.key)
        except UnavailableError as error:
            if not self.service.paid:
                raise
            raise PendingJobError(
                f"{self.title} may be at work on a paid job, and does not say whether it is: "
                f"{error}. No other backend was tried; run again when it answers"
            ) from error

    def _lose(self, record: JobRecord, price: Money, message: str) -> None:
        """Give a job up that nobody can find. Raises LostJobError if it may have been paid."""
        self.keep(record, price, message)
        self.end(record, "lost", message)
        if self.service.paid:
            raise LostJobError(self.loss(message))
        _log.warning("%s lost a job, which is submitted again: %s", self.title, message)

    def _look_for(self, record: JobRecord, price: Money, submit: Submit) -> JobRecord | None:
        """A job that another process, or an earlier one of this run, began to submit.

        None: the journal is to be read again.
        """
        age = (datetime.now(UTC) - datetime.fromisoformat(record.changed)).total_seconds()
        is_ours = record.run == self.access.run
        if not is_ours and age < 2 * self.config.timeout_seconds:
            self.access.pause(_LOOK_AGAIN)  # that process may still be waiting for the answer
            return None
        return self._after_lost_answer(
            record, price, "the process that submitted it was interrupted", submit
        )

    def _charge(self, digest: Digest, attempt: int, price: Money) -> Charge:
        return Charge(id=f"{digest}-{attempt}", backend=self._name, price=price)

    def _write(self, record: JobRecord, before: JobRecord, **changes: str) -> JobRecord | None:
        """The changed record, or None if another process changed it first."""
        changed = JobRecord.model_validate(
            {**record.model_dump(), **changes, "run": self.access.run, "changed": _now()}
        )
        return changed if self.access.journal.write(changed, before) else None


def _attempt_after(record: JobRecord | None) -> int:
    """Number of the attempt that a run would submit or go on with."""
    if record is None:
        return 1
    ended = record.state == "ended" and record.outcome != "done"
    return record.attempt + 1 if ended else record.attempt


def _now() -> str:
    return datetime.now(UTC).isoformat()
