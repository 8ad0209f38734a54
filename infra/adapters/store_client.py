"""The minio SDK's clients for one bucket, with our own errors and timeouts.

The SDK waits minutes by default and raises urllib3's errors for a dead server: both are dealt with
here and nowhere else. What the embedded store took is put on disk before a call returns
(`flushing.py`); other stores are taken at their word.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import urllib3
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError

from infra.adapters.flushing import flusher_of
from infra.adapters.s3 import TRANSIENT, connect
from infra.adapters.settings import StoreSettings
from infra.adapters.store_errors import reason, root_of
from pipelines.errors import SettingsError, StoreError

_DAMAGE_SECONDS = 30.0
"""The shortest silence that may end a read of an object: SeaweedFS tries by itself for 13 s before
it answers 500, or ends the body early, for a byte that went bad on its disk."""
_BUCKET_EXISTS = {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}


class StoreClient:
    """The clients of one bucket."""

    def __init__(
        self, settings: StoreSettings, *, connections: int = 10, read_seconds: float | None = None
    ) -> None:
        """`connections` is how many are kept for the next call. With `read_seconds`, silence of
        that length ends a call at its second attempt, for callers that cannot wait longer."""
        if not settings.endpoint:
            raise SettingsError("REELWRIGHT_S3_ENDPOINT is not set: no object store to talk to")
        self.bucket = settings.bucket
        self.endpoint = settings.endpoint
        self._flusher = flusher_of(settings.data_dir) if settings.data_dir else None
        self._client = connect(settings, TRANSIENT, connections, read_seconds)
        # A 500 for one object is no reason to wait for `patience`, and comes late: see `_read`.
        patience = None if read_seconds is None else max(read_seconds, _DAMAGE_SECONDS)
        self._reader = connect(settings, TRANSIENT - {500}, connections, patience)

    def ensure_bucket(self) -> None:
        """Make the bucket if it is missing; proves that the store is there and knows us.

        Raises SettingsError if its name cannot be a bucket's.
        """
        try:
            with self._errors("the bucket"):
                if not self._client.bucket_exists(self.bucket):
                    self._make_bucket()
                    self._flush()
        except ValueError as error:
            raise SettingsError(
                f"REELWRIGHT_S3_BUCKET={self.bucket}: {error}; take 3 to 63 lower-case letters, "
                "digits and hyphens"
            ) from error

    def _make_bucket(self) -> None:
        try:
            self._client.make_bucket(self.bucket)
        except S3Error as error:
            # Another process made it since we looked. If it belongs to another owner,
            # `bucket_exists` raises AccessDenied.
            if error.code not in _BUCKET_EXISTS or not self._client.bucket_exists(self.bucket):
                raise

    def _flush(self) -> None:
        if self._flusher is None:
            return
        try:
            self._flusher.flush()
        except OSError as error:
            raise StoreError(
                f"object store {self.endpoint}: its disk did not take the last write "
                f"({error.strerror}); check the disk of {self._flusher.folder}, then run again"
            ) from error

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        where = f"object store {self.endpoint}, bucket {self.bucket}, {what}"
        try:
            yield
        except S3Error as error:
            raise StoreError(f"{where}: {reason(error)}") from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise StoreError(
                f"{where}: the store cannot be reached ({root_of(error)}); "
                "what was stored before is safe: run again when it is back"
            ) from error
        except (InvalidResponseError, ServerError, MinioException) as error:
            raise StoreError(f"{where}: the answer is not S3's ({error})") from error
