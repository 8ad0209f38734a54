"""Damage as it happens: a byte that goes bad on the disk, or an object replaced behind our back."""

import io
from pathlib import Path

from infra.adapters.object_store import ObjectStore
from pipelines.schema.keys import ObjectKey


def flip_on_disk(folder: Path, data: bytes) -> None:
    """Alter one byte in the middle of the object `data` in the files of a SeaweedFS."""
    middle = len(data) // 2
    needle = data[middle : middle + 32]
    for path in folder.glob("*.dat"):
        at = path.read_bytes().find(needle)
        if at >= 0:
            with path.open("r+b") as file:
                file.seek(at)
                file.write(bytes([needle[0] ^ 1]))
            return
    raise AssertionError(f"the object is in no volume of {folder}")


def replace(store: ObjectStore, key: ObjectKey) -> None:
    """Alter one byte of an object and keep its metadata."""
    found = store.head(key)
    assert found is not None
    data = bytearray(b"".join(store.stream(key, 0, 0)))
    data[len(data) // 2] ^= 1
    store._client.put_object(
        store.bucket,
        key,
        io.BytesIO(bytes(data)),
        len(data),
        content_type=found.content_type,
        metadata={"sha256": found.sha256},
    )
