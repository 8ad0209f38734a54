"""The object store through the minio SDK, with checksums, own timeouts and plain errors.

An object of up to PART bytes is sent in one request with its sha256, which the server checks;
a larger one goes up in parts and is read back.
"""

import base64
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import urllib3
from minio.error import S3Error, ServerError

from infra.adapters.store_client import StoreClient
from infra.adapters.store_errors import root_of
from pipelines.documents.manifest import StoredObject
from pipelines.errors import CorruptObjectError, MissingObjectError, StoreError
from pipelines.schema.keys import Digest, ObjectKey, is_key

PART = 64 * 2**20
_BLOCK = 2**20
_READS = 2
"""Attempts to read an object whose bytes do not come. SeaweedFS tries by itself for 13 s before it
answers 500, or ends the body early, for a byte that went bad on its disk."""
_ABSENT = {"NoSuchKey", "NoSuchObject", "NotFound"}
_CONDITION_FAILED = {"PreconditionFailed", "ConditionalRequestConflict"}


@dataclass(frozen=True)
class Entry:
    """One object in a listing of the bucket."""

    key: str
    size: int
    """Bytes."""
    modified: datetime
    etag: str


@dataclass(frozen=True)
class Version:
    """The bytes of an object at one moment."""

    data: bytes
    etag: str


class ObjectStore(StoreClient):
    """One bucket. All methods raise StoreError if the store is down, full or refuses us."""

    def put_file(self, key: ObjectKey, path: Path, content_type: str) -> StoredObject:
        """Store the file; the server confirms its sha256. Replaces an older object."""
        digest, size = _hash_file(path)
        metadata: dict[str, str | list[str] | tuple[str]] = {"sha256": digest}
        if size <= PART:
            metadata["x-amz-checksum-sha256"] = _base64(digest)
        with self._errors(key), path.open("rb") as stream:
            self._client.put_object(
                self.bucket,
                key,
                stream,
                size,
                content_type=content_type,
                metadata=metadata,
                part_size=PART,
                num_parallel_uploads=1,
            )
            self._flush()
        if size > PART:
            self._read_back(key, digest)
        return StoredObject(key=key, size=size, sha256=digest, content_type=content_type)

    def put_bytes(self, key: ObjectKey, data: bytes, content_type: str) -> StoredObject:
        """Store a small object whose bytes the server confirms."""
        digest = Digest(hashlib.sha256(data).hexdigest())
        with self._errors(key):
            self._client.put_object(
                self.bucket,
                key,
                io.BytesIO(data),
                len(data),
                content_type=content_type,
                metadata={"sha256": digest, "x-amz-checksum-sha256": _base64(digest)},
            )
            self._flush()
        return StoredObject(key=key, size=len(data), sha256=digest, content_type=content_type)

    def put_if_absent(self, key: ObjectKey, data: bytes, content_type: str) -> bool:
        """Store `data` unless something lies under `key`. Returns whether `data` lies there now.

        Of several callers with different bytes, exactly one gets True. One whose answer was lost
        gets True for its own bytes when it asks again.
        """
        return self._put_if(key, data, content_type, {"If-None-Match": "*"})

    def put_if_unchanged(
        self, key: ObjectKey, data: bytes, content_type: str, before: "Version"
    ) -> bool:
        """Replace the version `before`, unless another one lies there. Returns as
        `put_if_absent`."""
        return self._put_if(key, data, content_type, {"If-Match": f'"{before.etag}"'})

    def _put_if(
        self, key: ObjectKey, data: bytes, content_type: str, condition: dict[str, str]
    ) -> bool:
        """minio 7.2.20 has no public call for it; a test holds this one to its contract."""
        digest = Digest(hashlib.sha256(data).hexdigest())
        headers: dict[str, str | list[str] | tuple[str]] = {
            **condition,
            "Content-Type": content_type,
            "x-amz-meta-sha256": digest,
            "x-amz-checksum-sha256": _base64(digest),
        }
        with self._errors(key):
            try:
                self._client._put_object(self.bucket, key, data, headers)
            except S3Error as error:
                if error.code not in _CONDITION_FAILED:
                    raise
                # Our own first attempt may have stored it, and its answer was lost.
                found = self.head(key)
                return found is not None and found.sha256 == digest
            self._flush()
        return True

    def get_version(self, key: ObjectKey) -> "Version | None":
        """A small object, checked, with what `put_if_unchanged` needs; None if it is absent.

        Raises CorruptObjectError.
        """
        with self._errors(key):
            try:
                response = self._reader.get_object(self.bucket, key)
            except S3Error as error:
                if error.code in _ABSENT:
                    return None
                raise
            try:
                data, headers = response.read(), response.headers
            finally:
                response.close()
                response.release_conn()
        if hashlib.sha256(data).hexdigest() != headers.get("x-amz-meta-sha256"):
            raise CorruptObjectError(f"{key} does not match its sha256")
        return Version(data, headers.get("etag", "").strip('"'))

    def head(self, key: ObjectKey) -> StoredObject | None:
        """What lies under `key`; None if nothing does, or nothing that we stored."""
        with self._errors(key):
            try:
                found = self._client.stat_object(self.bucket, key)
            except S3Error as error:
                if error.code in _ABSENT:
                    return None
                raise
        sha256 = (found.metadata or {}).get("x-amz-meta-sha256")
        if sha256 is None or found.size is None:
            return None
        return StoredObject(
            key=key,
            size=found.size,
            sha256=Digest(sha256),
            content_type=found.content_type or "application/octet-stream",
        )

    def get_bytes(self, key: ObjectKey) -> bytes | None:
        """A small object, checked; None if it is absent. Raises CorruptObjectError."""
        found = self.head(key)
        if found is None:
            return None
        data = io.BytesIO()
        try:
            self._check(found, self._read(key, data))
        except MissingObjectError:
            return None
        return data.getvalue()

    def get_file(self, found: StoredObject, path: Path) -> None:
        """Download to `path`, which appears only when every byte is confirmed.

        Raises CorruptObjectError if the bytes differ from what was stored, or cannot be read;
        MissingObjectError if there is no such object any more.
        """
        part = path.with_suffix(".part")
        try:
            with part.open("wb") as handle:
                self._check(found, self._read(found.key, handle))
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def stream(self, key: ObjectKey, offset: int, length: int) -> Iterator[bytes]:
        """Blocks of `length` bytes from `offset` on, unchecked: for a player that seeks."""
        with self._errors(key):
            response = self._client.get_object(self.bucket, key, offset=offset, length=length)
            try:
                yield from response.stream(_BLOCK)
            finally:
                response.close()
                response.release_conn()

    def blocks(self, key: ObjectKey) -> Iterator[bytes]:
        """All its bytes, for a reader who hashes them.

        Raises CorruptObjectError if they cannot be read though the store stores and reads others:
        a store that is down for a while, or whose volumes are, must not look like damage.
        MissingObjectError if there is no such object any more.
        """
        try:
            yield from self._blocks(key)
        except _UnreadableError as error:
            self._prove_health()
            raise CorruptObjectError(
                f"{key} is damaged: its bytes cannot be read ({error}), though the store works"
            ) from error

    def link(self, key: ObjectKey, life: timedelta) -> str:
        """An address that shows the object to whoever has it, for `life` (7 days at most)."""
        with self._errors(key):
            return self._client.presigned_get_object(self.bucket, key, expires=life)

    def delete(self, key: ObjectKey) -> None:
        """Remove the object; removing an absent one is no error."""
        with self._errors(key):
            self._client.remove_object(self.bucket, key)
            self._flush()

    def delete_unchanged(self, entry: Entry) -> bool:
        """Remove what was listed, unless somebody stored it anew since. Returns whether it did."""
        with self._errors(entry.key):
            try:
                found = self._client.stat_object(self.bucket, entry.key)
            except S3Error as error:
                if error.code in _ABSENT:
                    return False
                raise
            if found.last_modified is None or found.last_modified > entry.modified:
                return False
            self._client.remove_object(self.bucket, entry.key)
            self._flush()
        return True

    def list_keys(self, prefix: str = "") -> list[ObjectKey]:
        """The keys under `prefix` that follow our layout, in order; other objects are left out."""
        return [ObjectKey(item.key) for item in self.entries(prefix) if is_key(item.key)]

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """Every object under `prefix`, also one that is not of our layout, in order of its key.

        Pages of 1,000 are fetched as they are needed, so memory does not grow with the bucket.
        """
        with self._errors("the listing"):
            for item in self._client.list_objects(self.bucket, prefix, recursive=True):
                yield Entry(
                    key=str(item.object_name),
                    size=item.size or 0,
                    modified=item.last_modified or datetime.now(UTC),
                    etag=item.etag or "",
                )

    def folders(self, prefix: str) -> Iterator[str]:
        """Names of the folders right below `prefix`, which ends in `/`, without their contents."""
        with self._errors("the listing"):
            for item in self._client.list_objects(self.bucket, prefix):
                if item.is_dir:
                    yield str(item.object_name).removeprefix(prefix).rstrip("/")

    def verify(self, found: StoredObject) -> None:
        """Read every byte and compare it with `found`.

        Raises CorruptObjectError, or MissingObjectError if there is no such object any more.
        """
        self._check(found, self._read(found.key, None))

    def abort_stale_uploads(self, older_than: timedelta) -> int:
        """Abort multipart uploads that nobody finished. Returns how many.

        minio 7.2.20 has no public call for it; a test holds these two to their contract.
        """
        aborted = 0
        with self._errors("unfinished uploads"):
            listed = self._client._list_multipart_uploads(self.bucket)
            for upload in listed.uploads:
                started = upload.initiated_time or datetime.min.replace(tzinfo=UTC)
                if datetime.now(UTC) - started >= older_than:
                    self._client._abort_multipart_upload(
                        self.bucket, str(upload.object_name), str(upload.upload_id)
                    )
                    aborted += 1
        return aborted

    def _read(self, key: ObjectKey, into: BinaryIO | None) -> Digest:
        """SHA-256 of all its bytes, which are written to `into`.

        Raises CorruptObjectError if they cannot be read; see `blocks`.
        """
        for _ in range(_READS):
            sha256 = hashlib.sha256()
            if into is not None:
                into.seek(0)
                into.truncate()
            try:
                for block in self.blocks(key):
                    sha256.update(block)
                    if into is not None:
                        into.write(block)
            except MissingObjectError:
                raise
            except CorruptObjectError as error:
                failure = error
            else:
                return Digest(sha256.hexdigest())
        raise failure

    def _blocks(self, key: ObjectKey) -> Iterator[bytes]:
        """All bytes of an object. Raises _UnreadableError where they end early."""
        with self._errors(key):
            try:
                response = self._reader.get_object(self.bucket, key)
            except S3Error as error:
                if error.code in _ABSENT:
                    raise MissingObjectError(f"{key} is not in the bucket any more") from error
                if error.response.status == 500:
                    raise _UnreadableError(f"{error.code}: {error.message}") from error
                raise
            except ServerError as error:
                raise _UnreadableError(str(error)) from error
            try:
                yield from response.stream(_BLOCK)
            except (urllib3.exceptions.ProtocolError, urllib3.exceptions.TimeoutError) as error:
                raise _UnreadableError(root_of(error)) from error
            finally:
                response.close()
                response.release_conn()

    def _prove_health(self) -> None:
        """Store an object and read it back. Waits as long as for any call; raises StoreError."""
        key, data = ObjectKey.probe(uuid4()), b"{}"
        self.put_bytes(key, data, "application/json")
        with self._errors("a probe"):
            response = self._client.get_object(self.bucket, key)
            try:
                same = response.read() == data
            finally:
                response.close()
                response.release_conn()
        self.delete(key)
        if not same:
            raise StoreError(f"object store {self.endpoint} gives other bytes than it was sent")

    def _check(self, found: StoredObject, digest: Digest) -> None:
        if digest != found.sha256:
            raise CorruptObjectError(f"{found.key} does not match its sha256 {found.sha256}")

    def _read_back(self, key: ObjectKey, digest: Digest) -> None:
        if self._read(key, None) != digest:
            self.delete(key)
            raise CorruptObjectError(f"{key} arrived altered and was deleted; run again")


class _UnreadableError(Exception):
    """The bytes of one object end early, or are answered with an error."""


def _hash_file(path: Path) -> tuple[Digest, int]:
    with path.open("rb") as handle:
        return Digest(hashlib.file_digest(handle, "sha256").hexdigest()), path.stat().st_size


def _base64(digest: Digest) -> str:
    return base64.b64encode(bytes.fromhex(digest)).decode()
