"""The journal of jobs in a real bucket."""

import hashlib

import pytest

from infra.adapters.object_store import ObjectStore
from infra.adapters.remote.journal import StoredJournal
from pipelines.backends.remote.access import JobRecord
from pipelines.errors import StoreError
from pipelines.schema.keys import Digest, ObjectKey

NOW = "2026-11-27T12:00:00+00:00"


def record(word: str, state: str = "submitting", run: str = "run-1") -> JobRecord:
    digest = hashlib.sha256(word.encode()).hexdigest()
    values = {"digest": digest, "backend": "far", "attempt": 1, "key": "k", "state": state}
    return JobRecord.model_validate({**values, "run": run, "changed": NOW})


def test_of_two_runs_that_claim_a_job_one_gets_it(store: ObjectStore) -> None:
    journal, ours = StoredJournal(store), record("claim")
    theirs = record("claim", run="run-2")
    assert journal.read(ours.digest) is None
    assert journal.write(ours, None)
    assert not journal.write(theirs, None)
    assert journal.read(ours.digest) == ours


def test_a_record_is_replaced_by_who_knows_the_newest_one(store: ObjectStore) -> None:
    journal, first = StoredJournal(store), record("replace")
    submitted, other = record("replace", "submitted"), record("replace", "ended")
    journal.write(first, None)
    assert journal.write(submitted, first)
    assert not journal.write(other, first)
    assert journal.write(submitted, first), "its own answer may have been lost"
    assert journal.read(first.digest) == submitted


def test_a_record_that_cannot_be_read_is_an_error_and_not_a_free_job(store: ObjectStore) -> None:
    digest = Digest(hashlib.sha256(b"unreadable").hexdigest())
    store.put_bytes(ObjectKey.job(digest), b'{"state": "from the future"}', "application/json")
    with pytest.raises(StoreError, match="delete it if that job may be paid again"):
        StoredJournal(store).read(digest)
