"""The journal of jobs in the bucket: `jobs/<digest>.json`."""

from pydantic import ValidationError

from infra.adapters.object_store import ObjectStore
from pipelines.backends.remote.access import JobRecord
from pipelines.errors import StoreError
from pipelines.schema.keys import Digest, ObjectKey

_TYPE = "application/json"


class StoredJournal:
    """A JobJournal that all hosts with the same bucket share."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def read(self, digest: Digest) -> JobRecord | None:
        """The newest record. Raises StoreError, also for a record that cannot be read: without it
        a job might be paid twice."""
        version = self._store.get_version(ObjectKey.job(digest))
        return None if version is None else _parsed(digest, version.data)

    def write(self, record: JobRecord, before: JobRecord | None) -> bool:
        """Replace `before`. False if another process was faster."""
        key, data = ObjectKey.job(record.digest), record.model_dump_json().encode()
        if before is None:
            return self._store.put_if_absent(key, data, _TYPE)
        version = self._store.get_version(key)
        if version is None or _parsed(record.digest, version.data) not in (before, record):
            return False
        return self._store.put_if_unchanged(key, data, _TYPE, version)


def _parsed(digest: Digest, data: bytes) -> JobRecord:
    try:
        return JobRecord.model_validate_json(data)
    except ValidationError as error:
        raise StoreError(
            f"{ObjectKey.job(digest)} cannot be read by this version; it says which job was paid. "
            "Look into it, and delete it if that job may be paid again"
        ) from error
