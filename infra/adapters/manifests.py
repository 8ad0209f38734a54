"""Manifests in the bucket, each written twice.

`manifests/<content-id>.json` is written before `videos/<content-id>/manifest.json`, whose presence
alone still means complete. A damaged one is restored from the copy.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from pydantic import ValidationError

from infra.adapters.object_store import ObjectStore
from pipelines.documents.manifest import READ_VERSIONS, Manifest
from pipelines.errors import CorruptObjectError
from pipelines.schema.keys import Digest, ObjectKey

HELD = timedelta(hours=2)
"""Longer than a deletion can be taken back: clocks differ, and a sweep takes a while."""
State = Literal["whole", "restored", "absent", "damaged", "other-version"]
"""`restored`: the first is damaged and was, or can be, made again from the copy. `damaged`: neither
can be read. `other-version`: it is whole, and of a version that this one does not read."""


@dataclass(frozen=True)
class ManifestRead:
    """The result of reading a manifest."""

    state: State
    manifest: Manifest | None
    detail: str = ""
    """What is wrong with it."""


def read_manifest(store: ObjectStore, cid: Digest, *, restore: bool = True) -> ManifestRead:
    """The manifest of a video; a damaged one from its copy, and stored again unless told not to.

    Raises StoreError.
    """
    first = _read(store, ObjectKey.manifest(cid), cid)
    if first.state != "damaged":
        return first
    copy = read_copy(store, cid)
    if copy.manifest is None:
        return first
    if restore:
        write_manifest(store, copy.manifest)
    return ManifestRead("restored", copy.manifest, first.detail)


def read_copy(store: ObjectStore, cid: Digest) -> ManifestRead:
    """Read the copy only. Raises StoreError."""
    return _read(store, ObjectKey.manifest_copy(cid), cid)


def write_manifest(store: ObjectStore, manifest: Manifest) -> None:
    """Store the manifest, the copy first."""
    put_manifest(store, manifest.content_id, manifest.model_dump_json(indent=1).encode())


def put_manifest(store: ObjectStore, cid: Digest, data: bytes) -> None:
    """Store a manifest as it was, byte for byte, the copy first."""
    for key in (ObjectKey.manifest_copy(cid), ObjectKey.manifest(cid)):
        store.put_bytes(key, data, "application/json")


def complete_copy(store: ObjectStore, manifest: Manifest) -> bool:
    """Write the copy if it is missing or another one, as in a bucket of before. Returns whether."""
    first = store.head(ObjectKey.manifest(manifest.content_id))
    copy = store.head(ObjectKey.manifest_copy(manifest.content_id))
    if first is None or (copy and copy.sha256 == first.sha256):
        return False
    data = store.get_bytes(first.key)
    if data is None:
        return False
    store.put_bytes(ObjectKey.manifest_copy(manifest.content_id), data, "application/json")
    return True


def hold(store: ObjectStore, cid: Digest, data: bytes) -> None:
    """Take a video out of what is published, so that it can be published again for HELD.

    Its copy is stored anew: while that is young, the daily sweep and the discarding of a rejected
    film leave the video's objects alone.
    """
    store.put_bytes(ObjectKey.manifest_copy(cid), data, "application/json")
    store.delete(ObjectKey.manifest(cid))


def held(store: ObjectStore, cid: Digest, now: datetime) -> Manifest | None:
    """The manifest of a video that is not published and was put on hold within HELD."""
    for entry in store.entries(ObjectKey.manifest_copy(cid)):
        if now - entry.modified < HELD and store.head(ObjectKey.manifest(cid)) is None:
            return read_copy(store, cid).manifest
    return None


def delete_manifest(store: ObjectStore, cid: Digest) -> None:
    """Remove both; the video is not published any more as soon as the first is gone."""
    for key in (ObjectKey.manifest(cid), ObjectKey.manifest_copy(cid)):
        store.delete(key)


def _read(store: ObjectStore, key: ObjectKey, cid: Digest) -> ManifestRead:
    try:
        data = store.get_bytes(key)
    except CorruptObjectError as error:
        return ManifestRead("damaged", None, str(error))
    if data is None:
        return ManifestRead("absent", None)
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        version = _version_of(data)
        if version is not None and version not in READ_VERSIONS:
            return ManifestRead("other-version", None, f"its manifest_version is {version}")
        return ManifestRead("damaged", None, f"{key}: {error.errors()[0]['msg']}")
    if manifest.content_id != cid:
        return ManifestRead("damaged", None, f"{key} is of video {manifest.content_id}")
    return ManifestRead("whole", manifest)


def _version_of(data: bytes) -> int | None:
    try:
        version = json.loads(data).get("manifest_version")
    except (ValueError, AttributeError):
        return None
    return version if isinstance(version, int) else None
