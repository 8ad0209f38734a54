"""Decides what the bucket keeps: marks what is in use, and sweeps what is old and not marked.

The marks start from the manifests of published videos, the results of runs that have not ended, and
the calendar. Everything else is a cache: it is deleted when it is older than the age of its kind.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from pipelines.documents.draft import Draft
from pipelines.documents.manifest import Film, Manifest
from pipelines.language.brief_texts import as_translated
from pipelines.planning.plan import seed_of
from pipelines.prompting.stored import shot_digests, story_digests
from pipelines.schema.keys import is_key
from pipelines.schema.plan import Plan
from pipelines.schema.request import (
    AudioTrack,
    ClipInput,
    Continuation,
    FirstFrame,
    LastFrame,
    ReferenceImage,
    ReferenceVideo,
)
from pipelines.schema.text import without_control_tokens

Kind = Literal["videos", "rejected", "chunks", "segments", "shots", "stills", "uploads", "runs"]
"""`videos` are published, with the copies of their manifests. `rejected` are films without a
manifest."""
KINDS: tuple[Kind, ...] = get_args(Kind)
NAMED: frozenset[Kind] = frozenset({"chunks", "segments", "shots", "uploads"})
"""Kinds of objects that an unreadable manifest may name."""
_KEPT_FOLDERS = frozenset({"calendar", "retention", "ledger", "benchmarks", "hosts"})
"""Folders that retention never looks at."""
_KINDS_OF_FOLDERS: dict[str, Kind] = {"manifests": "videos", "jobs": "chunks"}
"""The job of a remote backend goes with the chunk that it made."""
_JOBS_STAY = timedelta(days=14)
"""The least age of a job's record, well above the 7 days after which its reservation in the ledger
is ended (`pipelines.costs.stale.ABANDONED`). Without the record, a paid job would be paid again and
its reservation released."""
_UPLOAD = re.compile(r"uploads/([0-9a-f]{64})\.(?:png|zip)")


class Ages(BaseModel):
    """Days after which an unused object of a kind is deleted; 0 keeps it for ever."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    videos: int = Field(0, ge=0)
    rejected: int = Field(14, ge=0)
    chunks: int = Field(90, ge=0)
    segments: int = Field(90, ge=0)
    shots: int = Field(365, ge=0)
    stills: int = Field(30, ge=0)
    uploads: int = Field(90, ge=0)
    runs: int = Field(45, ge=0)

    def of(self, kind: Kind) -> timedelta | None:
        """The age of `kind`; None keeps its objects for ever."""
        days = int(getattr(self, kind))
        return timedelta(days=days) if days else None


@dataclass(frozen=True, slots=True)
class Item:
    """An object of the bucket; `modified` is when it was stored."""

    key: str
    size: int
    modified: datetime


@dataclass
class Marks:
    """The objects in use. A digest is held as 32 bytes: 200,000 of them take about 30 MB."""

    living: frozenset[str] | None = None
    """Ids of runs that have not ended and of their child runs. None means unknown: then every run
    counts as living."""
    unreadable: list[str] = field(default_factory=list)
    """Content ids of manifests that cannot be read, or are of another version."""
    published: set[bytes] = field(default_factory=set)
    expired: set[bytes] = field(default_factory=set)
    """Published videos that are older than `Ages.videos` and belong to no campaign that is kept."""
    films: set[bytes] = field(default_factory=set)
    """Videos that a living run has made and not published yet."""
    used: dict[Kind, set[bytes]] = field(default_factory=dict)

    def add_manifest(self, manifest: Manifest) -> None:
        """Mark everything that a published video was made of."""
        self.published.add(bytes.fromhex(manifest.content_id))
        self._add_plan(manifest.plan)
        for item in manifest.objects:
            self.add_key(item.key)
        for upload in manifest.brief.uploads:
            self.add_key(upload)
        board = manifest.storyboard
        if board.translation:
            kept = map(bytes.fromhex, board.translation.digests)
            self.used.setdefault("shots", set()).update(kept)
        if board.enhancer != "none":
            english = as_translated(manifest.brief, board.translation)
            idea, seed = without_control_tokens(english.prompt), seed_of(manifest.brief)
            digests = [*shot_digests(len(board.shots), idea, seed, board.enhancer)]
            if board.story:
                digests += story_digests(board.story, board.outline)
            self.used.setdefault("shots", set()).update(map(bytes.fromhex, digests))

    def add_film(self, film: Film) -> None:
        """Mark what a living run has made."""
        self.films.add(bytes.fromhex(film.plan.content_id))
        self._add_plan(film.plan)
        for chunk in film.chunks:
            self.add_key(chunk.object.key)
        for segment in film.segments:
            self.add_key(segment.object.key)

    def add_draft(self, draft: Draft) -> None:
        """Mark the stills that a person is asked about."""
        for shot in draft.shots:
            if shot.still:
                self.add_key(shot.still.key)

    def add_text(self, text: str) -> None:
        """Mark the uploads that a calendar, or the parameters of a run, name."""
        digests = (bytes.fromhex(match[1]) for match in _UPLOAD.finditer(text))
        self.used.setdefault("uploads", set()).update(digests)

    def add_key(self, key: str) -> None:
        """Mark one object."""
        kind = _kind_of_folder(key)
        if kind and kind not in ("videos", "runs"):
            self.used.setdefault(kind, set()).add(_digest_in(key))

    def _add_plan(self, plan: Plan) -> None:
        chunks, uploads = (self.used.setdefault(kind, set()) for kind in ("chunks", "uploads"))
        for chunk in plan.chunks:
            chunks.add(bytes.fromhex(chunk.digest))
            for given in chunk.request.inputs:
                source, kind = _source_of(given)
                (chunks if kind == "chunks" else uploads).add(bytes.fromhex(source))


def _source_of(given: ClipInput) -> tuple[str, Kind]:
    """Digest of the object that an input comes from, and its kind."""
    match given:
        case Continuation(chunk=digest):
            return digest, "chunks"
        case FirstFrame(picture=digest) | LastFrame(picture=digest):
            return digest, "uploads"
        case ReferenceImage(picture=digest) | ReferenceVideo(archive=digest):
            return digest, "uploads"
        case AudioTrack(audio=digest):
            return digest, "uploads"


Reason = Literal["in use", "young", "for ever", "put off", "swept"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision about an object."""

    kind: Kind
    reason: Reason

    @property
    def goes(self) -> bool:
        return self.reason == "swept"


def decide(item: Item, marks: Marks, ages: Ages, now: datetime) -> Verdict | None:
    """The decision about `item`; None for an object that retention does not look at."""
    kind = kind_of(item.key, marks)
    if kind is None:
        return None
    if kind == "videos":
        return Verdict(kind, "swept" if _digest_in(item.key) in marks.expired else "in use")
    if _in_use(item.key, kind, marks):
        return Verdict(kind, "in use")
    age = ages.of(kind)
    if age is None:
        return Verdict(kind, "for ever")
    if item.key.startswith("jobs/"):
        age = max(age, _JOBS_STAY)
    if item.modified > now - age:
        return Verdict(kind, "young")
    return Verdict(kind, "put off" if marks.unreadable and kind in NAMED else "swept")


def kind_of(key: str, marks: Marks) -> Kind | None:
    """The kind of an object; None for the calendar, for settings, and for keys outside the
    layout."""
    kind = _kind_of_folder(key)
    if kind != "videos":
        return kind
    return "videos" if _digest_in(key) in marks.published else "rejected"


def is_expired(manifest: Manifest, ages: Ages, kept: Iterable[str], now: datetime) -> bool:
    """Whether a published video is deleted because of its age. Campaigns in `kept` stay for
    ever."""
    age = ages.of("videos")
    if age is None or not set(manifest.campaigns).isdisjoint(kept):
        return False
    created = datetime.fromisoformat(manifest.created)
    return (created if created.tzinfo else created.replace(tzinfo=UTC)) <= now - age


@dataclass
class Tally:
    """The numbers of one kind."""

    objects: int = 0
    size: int = 0
    """Bytes of all objects."""
    swept_objects: int = 0
    swept_size: int = 0
    put_off: int = 0
    oldest_kept: datetime | None = None

    def add(self, item: Item, verdict: Verdict) -> None:
        """Count one object."""
        self.objects += 1
        self.size += item.size
        if verdict.goes:
            self.swept_objects += 1
            self.swept_size += item.size
            return
        self.put_off += verdict.reason == "put off"
        if self.oldest_kept is None or item.modified < self.oldest_kept:
            self.oldest_kept = item.modified

    def spare(self, item: Item) -> None:
        """Undo the count of a swept object: it was stored again meanwhile, so it stays."""
        self.swept_objects -= 1
        self.swept_size -= item.size


@dataclass(frozen=True)
class Kept:
    """The objects of one kind that stay when a video is deleted."""

    kind: Kind
    objects: int
    size: int
    """Bytes."""
    until: date | None
    """The day (UTC) from which all of them may be gone. None: they stay for ever."""
    shared: int
    """How many of them other videos use too. Those stay as long as these videos."""


def after_delete(
    items: Iterable[Item], others: Marks, ages: Ages, now: datetime
) -> tuple[Kept, ...]:
    """Which of `items`, the objects that a video was made of, stay when the video is deleted.

    `others` are the marks of everything but that video.
    """
    return tuple(_kept(kind, found, others, ages, now) for kind, found in _by_kind(items))


def _kept(kind: Kind, found: list[Item], others: Marks, ages: Ages, now: datetime) -> Kept:
    shared = [item for item in found if _in_use(item.key, kind, others)]
    age = ages.of(kind)
    alone = [item for item in found if item not in shared] or found
    latest = max(item.modified for item in alone)
    # The day after the first daily sweep that may delete it.
    until = (max(latest + age, now) + timedelta(days=1)).astimezone(UTC).date() if age else None
    return Kept(kind, len(found), sum(item.size for item in found), until, len(shared))


def _by_kind(items: Iterable[Item]) -> Iterator[tuple[Kind, list[Item]]]:
    found: dict[Kind, list[Item]] = {}
    for item in items:
        kind = _kind_of_folder(item.key)
        if kind and kind not in ("videos", "runs"):
            found.setdefault(kind, []).append(item)
    yield from found.items()


def _in_use(key: str, kind: Kind, marks: Marks) -> bool:
    if kind == "runs":
        return marks.living is None or key.split("/")[1] in marks.living
    if kind == "rejected":
        return _digest_in(key) in marks.films
    return _digest_in(key) in marks.used.get(kind, set())


def _kind_of_folder(key: str) -> Kind | None:
    folder = key.partition("/")[0]
    if not is_key(key) or folder in _KEPT_FOLDERS:
        return None
    folder = _KINDS_OF_FOLDERS.get(folder, folder)
    return next(kind for kind in KINDS if kind == folder)


def _digest_in(key: str) -> bytes:
    return bytes.fromhex(key.split("/")[1].partition(".")[0])
