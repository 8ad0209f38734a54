"""Published videos by their names on the gateway: `<content-id>.mp4` and what lies beside it."""

import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import BaseModel, Field, ValidationError

from infra.adapters.object_store import ObjectStore
from infra.apps.gateway.problems import ProblemError
from pipelines.errors import CorruptObjectError, StoreError
from pipelines.schema.keys import Digest, ObjectKey
from pipelines.schema.manifest import Manifest, StoredObject

_NAME = re.compile(r"([0-9a-f]{64})(-contact)?\.(mp4|jpg|json)\Z")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)\Z")
_KEPT = 500


class VideoView(BaseModel):
    """A published video."""

    id: str = Field(description="Content id: the same brief with the same models has the same.")
    name: str
    video_path: str
    poster_path: str
    watch: str
    prompt: str
    campaigns: tuple[str, ...] = ()
    created: str
    seconds: float
    width: int
    height: int
    size: int
    model: str
    stands_in_for: str = ""


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
    """The bucket's videos. Manifests are kept in memory: they hardly ever change."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._manifests: OrderedDict[str, tuple[str, Manifest]] = OrderedDict()

    def answers(self) -> bool:
        """Whether the store does."""
        try:
            self._store.ensure_bucket()
        except StoreError:
            return False
        return True

    def listed(self) -> list[Manifest]:
        """The newest first. A manifest of another version is left out."""
        keys = self._store.list_keys("videos/")
        ids = [Digest(key.split("/")[1]) for key in keys if key.endswith("manifest.json")]
        found = [manifest for cid in ids if (manifest := self.manifest(cid))]
        return sorted(found, key=lambda item: item.created, reverse=True)

    def manifest(self, cid: Digest) -> Manifest | None:
        """The manifest of a video that is there."""
        key = ObjectKey.manifest(cid)
        head = self._store.head(key)
        if head is None:
            self._manifests.pop(cid, None)
            return None
        known = self._manifests.get(cid)
        if known and known[0] == head.sha256:
            return known[1]
        try:
            data = self._store.get_bytes(key)
            manifest = Manifest.model_validate_json(data) if data else None
        except (ValidationError, CorruptObjectError):
            return None
        if manifest:
            self._manifests[cid] = (head.sha256, manifest)
            while len(self._manifests) > _KEPT:
                self._manifests.popitem(last=False)
        return manifest

    def part(self, name: str, wanted: str | None) -> Part:
        """What the Range header `wanted` names of file `name`. Raises ProblemError 404 or 416."""
        found = self._store.head(key_of(name))
        if found is None:
            raise ProblemError(404, "not_found", f"there is no video {name!r:.90}")
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

    def stream(self, part: Part) -> Iterator[bytes]:
        """Its bytes."""
        return self._store.stream(part.found.key, part.start, part.length)

    def delete(self, name: str) -> None:
        """Remove a video, its manifest first. Chunks stay: other videos may share them."""
        key = key_of(name)
        if not key.endswith("video.mp4") or self._store.head(key) is None:
            raise ProblemError(404, "not_found", f"there is no video {name!r:.90}")
        cid = Digest(key.split("/")[1])
        for part in (ObjectKey.manifest, ObjectKey.video, ObjectKey.poster, ObjectKey.contact):
            self._store.delete(part(cid))
        self._manifests.pop(cid, None)


def of_campaign(found: list[Manifest], campaign: str) -> list[VideoView]:
    """Those of `found` that were asked for in `campaign`; of any, if it is empty."""
    views = map(view_of, found)
    return [view for view in views if not campaign or campaign in view.campaigns]


def key_of(name: str) -> ObjectKey:
    """The object of a file name; nothing else in the bucket has one. Raises ProblemError 404."""
    match = _NAME.match(name)
    if match is None:
        raise ProblemError(404, "not_found", f"there is no video {name!r:.90}")
    cid, contact, suffix = Digest(match[1]), match[2], match[3]
    if contact:
        return ObjectKey.contact(cid)
    return {"mp4": ObjectKey.video, "jpg": ObjectKey.poster, "json": ObjectKey.manifest}[suffix](
        cid
    )


def view_of(manifest: Manifest) -> VideoView:
    """What a list shows of it."""
    cid = manifest.content_id
    video = next(item for item in manifest.models if item.role in ("video", "extender"))
    return VideoView(
        id=cid,
        name=f"{cid}.mp4",
        video_path=f"/videos/{cid}.mp4",
        poster_path=f"/videos/{cid}.jpg",
        watch=f"/watch/{cid}",
        prompt=manifest.brief.prompt,
        campaigns=manifest.campaigns,
        created=manifest.created,
        seconds=manifest.clip.duration,
        width=manifest.clip.width,
        height=manifest.clip.height,
        size=next(item.size for item in manifest.objects if item.key.endswith("video.mp4")),
        model=video.name,
        stands_in_for=manifest.brief.stands_in_for,
    )
