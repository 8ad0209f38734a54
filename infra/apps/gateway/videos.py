"""Files of published videos by their names: `<content-id>.mp4` (of a picture `.png` and `.webp`),
its poster, contact sheet, manifest."""

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool

from infra.adapters.manifests import complete_copy, hold, put_manifest, read_copy
from infra.adapters.object_store import ObjectStore
from infra.apps.gateway.index import Index
from infra.apps.gateway.library import Library
from infra.apps.gateway.listing import view_of
from infra.apps.gateway.problems import ProblemError
from pipelines.documents.manifest import Manifest, StoredObject
from pipelines.errors import CorruptObjectError, StoreError
from pipelines.retention import Ages, Kept, Marks
from pipelines.schema.keys import Digest, ObjectKey
from tasks.discard import is_there, remove_film
from tasks.sweeping import kept_after_delete

_NAME = re.compile(r"([0-9a-f]{64})(-contact)?\.(mp4|png|webp|jpg|json)\Z")
_FILES = {
    "mp4": ObjectKey.video,
    "png": ObjectKey.image,
    "webp": ObjectKey.image_webp,
    "jpg": ObjectKey.poster,
    "json": ObjectKey.manifest,
}
_RANGE = re.compile(r"bytes=(\d*)-(\d*)\Z")
_VERIFIED = 10_000
"""Objects of which is remembered that they were read whole: 3 MB."""
_READERS = 4
"""Objects that are hashed at the same time; others wait, so that requests find a free thread."""
_UPLOADED_BEFORE = 2.0
"""Seconds. The copy of the manifest is stored when the video is deleted, by the store's clock."""
_DAMAGED = 60.0
"""Seconds for which a damaged object is not read again: SeaweedFS takes 13 to say so."""


@dataclass(frozen=True)
class Part:
    """Bytes `start` to `end` (included) of an object."""

    found: StoredObject
    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start + 1

    @property
    def is_all(self) -> bool:
        return self.length == self.found.size


class Videos:
    """The bucket's videos, one by one. Which there are, `index` knows."""

    def __init__(self, store: ObjectStore, index: Index) -> None:
        self._store = store
        self.index = index
        self._verified: OrderedDict[str, None] = OrderedDict()
        self._damaged: dict[str, float] = {}
        self._passes: dict[str, asyncio.Task[None]] = {}
        self._readers = asyncio.Semaphore(_READERS)

    def is_healthy(self) -> bool:
        """Whether the store can be reached and has the bucket, which is made if it is missing."""
        try:
            self._store.ensure_bucket()
        except StoreError:
            return False
        return True

    def manifest(self, cid: Digest) -> Manifest | None:
        """The manifest of a video; None if there is none. Raises ProblemError 502 if it is
        damaged, or of another version."""
        key = ObjectKey.manifest(cid)
        with self._told(key):
            data = self._store.get_bytes(key)
        if (data is not None) != self.index.has(cid):
            self.index.refresh(cid)
        if data is None:
            return None
        try:
            found = Manifest.model_validate_json(data)
            view_of(found)
        except ValueError as error:
            raise ProblemError(
                502,
                "damaged",
                f"{key} is of another version of Reelwright, or damaged; give its brief again, "
                "and it is written anew",
            ) from error
        return found

    def record(self, cid: Digest) -> Manifest | None:
        """The manifest of a video, or what is left of one whose deletion broke off: its copy, which
        goes last. None if there is neither. Raises ProblemError 502 as `manifest`."""
        return self.manifest(cid) or read_copy(self._store, cid).manifest

    @contextmanager
    def _told(self, key: ObjectKey) -> Iterator[None]:
        """Raises ProblemError 502 if the store finds an object damaged within the block."""
        try:
            yield
        except CorruptObjectError as error:
            raise damaged(key) from error

    def part(self, name: str, wanted: str | None, *, unpublished: bool) -> Part:
        """What the Range header `wanted` names of file `name`.

        Raises ProblemError 404 or 416; 404 also for a film without a manifest, unless the
        client may see `unpublished` ones.
        """
        key = key_of(name)
        found = self._store.head(key)
        if found is None or not (unpublished or self._is_published(key)):
            raise absent(name)
        match = _RANGE.match(wanted or "")
        if match is None or match.groups() == ("", ""):  # what is no range is ignored (RFC 9110)
            return Part(found, 0, found.size - 1)
        first, last = match.groups()
        if first:
            start, end = int(first), min(int(last or found.size - 1), found.size - 1)
        else:
            start, end = max(0, found.size - int(last)), found.size - 1
        if start > end:
            raise ProblemError(
                416,
                "range",
                f"{wanted!r:.60} lies outside the file's {found.size} bytes",
                headers={"Content-Range": f"bytes */{found.size}"},
            )
        return Part(found, start, end)

    def _is_published(self, key: ObjectKey) -> bool:
        """Asked of the bucket: a sweep in a worker tells the gateway nothing, and a rerun may have
        uploaded the same film again, for approval."""
        cid = _content_id(key)
        there = self._store.head(ObjectKey.manifest(cid)) is not None
        if there != self.index.has(cid):
            self.index.refresh(cid)
        return there

    async def verify(self, found: StoredObject) -> None:
        """Read all of it, once since the start: a damaged video is no answer of 200.

        Those who ask for the same object at the same time share one reading. Raises
        ProblemError 502, or StoreError if the store is down.
        """
        name = _name_of(found)
        if name in self._verified:
            self._verified.move_to_end(name)
            return
        if time.monotonic() < self._damaged.get(name, 0.0):
            raise damaged(found.key)
        task = self._passes.get(name)
        if task is None:
            task = self._passes[name] = asyncio.create_task(self._verify(found))
            task.add_done_callback(lambda done: self._passed(name, done))
        # A client that hangs up does not end the reading for the others.
        await asyncio.shield(task)

    async def _verify(self, found: StoredObject) -> None:
        async with self._readers:
            await run_in_threadpool(self._compare, found)

    def _passed(self, name: str, task: asyncio.Task[None]) -> None:
        del self._passes[name]
        now = time.monotonic()
        self._damaged = {key: until for key, until in self._damaged.items() if until > now}
        if task.cancelled():
            return
        if error := task.exception():
            if isinstance(error, ProblemError):
                self._damaged[name] = now + _DAMAGED
            return
        self._verified[name] = None
        while len(self._verified) > _VERIFIED:
            self._verified.popitem(last=False)

    def _compare(self, found: StoredObject) -> None:
        """Compare an object with its manifest, if there is one, and with its own sha256. Raises
        ProblemError 502 if it differs."""
        cid = _content_id(found.key)
        if found.key != ObjectKey.manifest(cid):
            manifest = None
            with suppress(ProblemError):  # what lies beside a damaged manifest may be whole
                manifest = self.manifest(cid)
            known = {item.key: item for item in manifest.objects} if manifest else {}
            if known.get(found.key, found) != found:
                raise damaged(found.key)
        with self._told(found.key):
            self._store.verify(found)

    def stream(self, part: Part) -> Iterator[bytes]:
        """The bytes of a part. After a failure the object is verified again before it is sent."""
        try:
            yield from self._store.stream(part.found.key, part.start, part.length)
        except StoreError:
            self._verified.pop(_name_of(part.found), None)
            raise

    def delete(self, name: str, ages: Ages, library: Library) -> tuple[Kept, ...]:
        """Remove a video, its manifest first and the copy of that last. Returns what stays of all
        that it was made of.

        It can be repeated when the store went away in between, and the copy says then whose video
        it was, and what it was made of. Raises ProblemError 404 only if none of its objects is
        there.
        """
        key = key_of(name)
        cid = _content_id(key)
        files = (ObjectKey.video(cid), ObjectKey.image(cid))
        if key not in files or not is_there(self._store, cid):
            raise absent(name)
        kept: tuple[Kept, ...] = ()
        with suppress(ProblemError):  # one whose manifest is damaged can be deleted, too
            if manifest := self.record(cid):
                # Before the index is filled nobody has counted: reading all manifests instead
                # would take longer than a request may.
                others = self.index.others_use(manifest) or Marks(living=frozenset())
                kept = kept_after_delete(self._store, manifest, ages, others)
                complete_copy(self._store, manifest)
        self._store.delete(ObjectKey.manifest(cid))
        # From here on it is published no more, also if the rest breaks off.
        self.index.remove(cid)
        library.forget(cid)
        remove_film(self._store, cid)
        return kept

    def trash(self, cid: Digest, library: Library) -> None:
        """Delete a video so that it can be taken back: its manifest goes, its files stay a while.

        Raises ProblemError 404 if there is none, 502 if its manifest is damaged.
        """
        key = ObjectKey.manifest(cid)
        with self._told(key):
            data = self._store.get_bytes(key)
        if data is None or self.manifest(cid) is None:
            raise absent(f"{cid}.mp4")
        library.keep(cid, data)
        library.end_shares(cid)
        hold(self._store, cid, data)
        self.index.remove(cid)

    def take_back(self, cid: Digest, library: Library) -> None:
        """Publish a deleted video again. Raises ProblemError 404 if it was not deleted, or is
        gone."""
        found = library.trashed(cid)
        if found is None:
            raise ProblemError(
                404, "not_found", "the time to take it back is over; give its brief again"
            )
        manifest = found.as_manifest
        gone = [item.key for item in manifest.objects if self._store.head(item.key) != item]
        there = self._store.head(ObjectKey.manifest(cid)) is not None
        if gone and not there:
            raise ProblemError(
                404, "not_found", f"{gone[0]} was removed meanwhile; give its brief again"
            )
        if not there:  # a rerun may have published it anew
            put_manifest(self._store, cid, found.manifest)
        library.drop(cid)
        self.index.refresh(cid)

    def remove_trashed(self, cid: Digest, library: Library) -> None:
        """Remove the files of a deleted video, unless a rerun has published it again.

        What a later run uploaded stays: its film may wait for approval.
        """
        found = library.trashed(cid)
        if found is not None and self._store.head(ObjectKey.manifest(cid)) is None:
            for prefix in (f"videos/{cid}/", ObjectKey.manifest_copy(cid)):
                for entry in self._store.entries(prefix):
                    if entry.modified.timestamp() <= found.deleted_at + _UPLOADED_BEFORE:
                        self._store.delete_unchanged(entry)
            library.forget(cid)
        library.drop(cid)


def absent(name: str) -> ProblemError:
    """The 404 for a file that does not exist, or that the client may not see."""
    return ProblemError(404, "not_found", f"there is no video {name!r:.90}")


def damaged(key: ObjectKey) -> ProblemError:
    """The 502 for an object that differs from what was published."""
    return ProblemError(
        502,
        "damaged",
        f"{key} is damaged in the object store, so none of it is sent; give its brief again, "
        "or have the operator run: reelwright verify --repair",
    )


def content_id_of(name: str) -> Digest:
    """The content id in a file name. Raises ProblemError 404 if there is none."""
    return _content_id(key_of(name))


def key_of(name: str) -> ObjectKey:
    """The object of a file name; nothing else in the bucket has one. Raises ProblemError 404."""
    match = _NAME.match(name)
    if match is None:
        raise absent(name)
    cid, contact, suffix = Digest(match[1]), match[2], match[3]
    if contact and suffix != "jpg":
        raise absent(name)
    return ObjectKey.contact(cid) if contact else _FILES[suffix](cid)


def _name_of(found: StoredObject) -> str:
    return f"{found.key} {found.sha256}"


def _content_id(key: ObjectKey) -> Digest:
    return Digest(key.split("/")[1])
