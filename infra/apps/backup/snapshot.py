"""The content of a studio at one moment, as a file with its own checksum."""

import hashlib
import json
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines.errors import BackupError
from pipelines.schema.keys import Digest, ObjectKey

VERSION = 1
"""Of this file's schema: the `schema_version` that this code reads."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Blob(_Frozen):
    """Bytes in the backup."""

    sha256: Digest
    size: int
    """Bytes."""


class KeptObject(Blob):
    """An object of the bucket."""

    key: ObjectKey
    content_type: str
    etag: str
    modified: datetime
    """With `etag` and `size`: how the next backup sees in the listing that nothing changed."""


class Dump(Blob):
    """A database."""

    name: Literal["gateway", "make", "prefect"]
    """`make` is the history of `reelwright make` without a studio."""
    kind: Literal["sqlite", "postgres"]
    """A database file, or pg_dump's custom format."""


class KeptSettings(_Frozen):
    """The studio's settings."""

    variables: dict[str, str | None] = {}
    """None in place of a secret."""
    files: dict[str, Blob] = {}
    """Files without secrets, by their name."""
    sealed: Blob | None = None
    """The secrets, encrypted; None if no passphrase was given."""
    left_out: tuple[str, ...] = ()
    """What only a backup with a passphrase holds."""


class Snapshot(_Frozen):
    """One backup."""

    schema_version: Literal[1] = 1
    created: datetime
    software: dict[str, str]
    """Versions that made it, and `prefect_schema`: the revision of Prefect's tables."""
    bucket: str
    objects: tuple[KeptObject, ...]
    dumps: tuple[Dump, ...]
    settings: KeptSettings
    left_out: tuple[str, ...] = ()
    """Sentences about parts that it does not hold."""
    damaged: tuple[str, ...] = ()
    """Sentences about objects that the store could not give back as they were stored."""

    def blobs(self) -> dict[Digest, int]:
        """The size of every file that it needs."""
        settings = [*self.settings.files.values()]
        settings += [self.settings.sealed] if self.settings.sealed else []
        return {item.sha256: item.size for item in (*self.objects, *self.dumps, *settings)}


def pack(snapshot: Snapshot) -> bytes:
    """The file of `snapshot`, with the hash of its content beside it."""
    content = snapshot.model_dump(mode="json")
    return _text({"sha256": _hash(content), "snapshot": content}).encode()


def unpack(data: bytes, name: str) -> Snapshot:
    """The snapshot in `data`. Raises BackupError, which calls the file `name`."""
    try:
        found = json.loads(data)
        content, expected = found["snapshot"], found["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise BackupError(f"{name} is not a whole snapshot ({error}); take an older one") from error
    if _hash(content) != expected:
        raise BackupError(f"{name} was altered: it does not match its own sha256; take another one")
    version = content.get("schema_version")
    if version != VERSION:
        raise BackupError(
            f"{name} is of format {version}, this version reads {VERSION}; restore it with the "
            f"version that made it ({content.get('software', {}).get('reelwright', 'unknown')})"
        )
    try:
        return Snapshot.model_validate(content)
    except ValidationError as error:
        raise BackupError(f"{name} cannot be read: {error}") from error


def _hash(content: Any) -> str:
    return hashlib.sha256(_text(content).encode()).hexdigest()


def _text(content: Any) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"))
