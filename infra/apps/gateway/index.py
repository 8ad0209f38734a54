"""An index of the published videos in the gateway's database.

No request lists the bucket: what is shown comes from the index. It is told of every publication
and deletion that the gateway sees, compares itself with the bucket in the background, and can
be thrown away: the bucket alone is the truth.
"""

import hashlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from pydantic import ValidationError

from infra.adapters.object_store import ObjectStore
from infra.apps.gateway.database import Database
from infra.apps.gateway.listing import (
    COLUMNS,
    EVERY_VIDEO,
    Page,
    Place,
    VideoFilter,
    VideoView,
    as_row,
    of_row,
    view_of,
)
from pipelines.documents.manifest import Manifest
from pipelines.errors import CorruptObjectError
from pipelines.retention import Marks
from pipelines.schema.keys import Digest, ObjectKey, is_key

_FOLDER = "videos/"
_BATCH = 100
"""Manifests whose rows are written at once: the lock is held for milliseconds."""
_NAMED = 5
"""Names of skipped things that are told; the others are counted."""
_CAMPAIGNS = 200
_QUALIFIED = ", ".join(f"videos.{name.strip()}" for name in COLUMNS.split(","))
_TAKES = 13
"""Videos of the same words that are shown beside one of them."""
_NEWEST = Place("~", "")
"""Before every video: no date begins with a tilde."""
_OLDEST = Place("", "")
"""The same where the oldest comes first."""
_log = logging.getLogger("reelwright.index")


@dataclass(frozen=True)
class Skipped:
    """What lies among the videos of the bucket and cannot be shown."""

    count: int
    names: tuple[str, ...]
    """The first of them, each with the reason."""


@dataclass(frozen=True)
class _Row:
    """What is known of the manifest in one folder."""

    id: str
    sha256: str
    etag: str
    view: VideoView | None
    """None if the manifest cannot be read; then `problem` says why."""
    problem: str = ""
    parts: tuple[tuple[str, bytes], ...] = ()
    """Kind and digest of every object that the video was made of."""


class Index:
    """The videos of one bucket. Methods that read the bucket raise StoreError if it is down."""

    def __init__(self, database: Database, store: ObjectStore) -> None:
        self._database = database
        self._store = store
        self._removals = 0
        self._lock = threading.Lock()
        self._foreign_folders: tuple[int, tuple[str, ...]] = (0, ())
        self._foreign_objects: tuple[int, tuple[str, ...]] = (0, ())
        self._told = Skipped(0, ())
        self.filled = False
        """Whether the bucket was read once since the start."""
        self.stopped = threading.Event()
        """Set, a pass over the bucket ends at the next manifest."""

    # What is shown -----------------------------------------------------------------------------

    def page(
        self,
        limit: int,
        wanted: VideoFilter = EVERY_VIDEO,
        cursor: str = "",
        *,
        oldest_first: bool = False,
    ) -> Page:
        """At most `limit` videos that are wanted, the newest first, from where `cursor` points.
        Raises ValueError on a cursor that is none of ours."""
        place = Place.parse(cursor) if cursor else _OLDEST if oldest_first else _NEWEST
        sign, order = (">", "asc") if oldest_first else ("<", "desc")
        if wanted.campaign:
            conditions, values = wanted.conditions("chosen.created")
            rows = self._database.rows(
                # `cross join` has SQLite begin with the campaign's, not with all videos.
                f"select {_QUALIFIED} from video_campaigns chosen "  # noqa: S608
                "cross join videos on videos.id = chosen.video "
                f"where chosen.campaign = ? and (chosen.created, chosen.video) {sign} (?, ?)"
                f"{conditions} order by chosen.created {order}, chosen.video {order} limit ?",
                (wanted.campaign, place.created, place.id, *values, limit + 1),
            )
        else:
            conditions, values = wanted.conditions("created")
            rows = self._database.rows(
                f"select {COLUMNS} from videos where state = 'published' "  # noqa: S608
                f"and (created, id) {sign} (?, ?){conditions} "
                f"order by created {order}, id {order} limit ?",
                (place.created, place.id, *values, limit + 1),
            )
        views = tuple(of_row(row) for row in rows[:limit])
        return Page(views, Place(views[-1].created, views[-1].id) if len(rows) > limit else None)

    def of_prompt(self, prompt: str) -> list[VideoView]:
        """The newest videos with exactly these words."""
        rows = self._database.rows(
            f"select {COLUMNS} from videos where state = 'published' and prompt = ? "  # noqa: S608
            "order by created desc, id desc limit ?",
            (prompt, _TAKES),
        )
        return [of_row(row) for row in rows]

    def campaigns(self) -> list[str]:
        """Names of the campaigns, those with the newest videos if there are very many."""
        rows = self._database.rows(
            "select campaign from video_campaigns group by campaign "
            "order by max(created) desc limit ?",
            (_CAMPAIGNS,),
        )
        return sorted(str(name) for (name,) in rows)

    def find(self, cid: Digest) -> VideoView | None:
        """What is shown of one video; None if it is not published, or cannot be shown."""
        rows = self._database.rows(
            f"select {COLUMNS} from videos where id = ? and state = 'published'",  # noqa: S608
            (cid,),
        )
        return of_row(rows[0]) if rows else None

    def has(self, cid: Digest) -> bool:
        """Whether a manifest was seen in the bucket, readable or not."""
        return bool(self._database.rows("select 1 from videos where id = ?", (cid,)))

    def skipped(self) -> Skipped:
        """What cannot be shown: foreign things, and manifests that cannot be read."""
        ((count,),) = self._database.rows("select count(*) from videos where state = 'unreadable'")
        rows = self._database.rows(
            "select id, problem from videos where state = 'unreadable' order by id limit ?",
            (_NAMED,),
        )
        names = [f"{_FOLDER}{cid}: {problem}" for cid, problem in rows]
        for number, found in (self._foreign_folders, self._foreign_objects):
            count += number
            names += [f"{name}: not one of Reelwright's" for name in found]
        return Skipped(int(count), tuple(names[:_NAMED]))

    def others_use(self, manifest: Manifest) -> Marks | None:
        """What of the parts of a video, published or not, other videos use; None if not all videos
        are known yet."""
        if not self.filled:
            return None
        own, marks = Marks(), Marks(living=frozenset())
        own.add_manifest(manifest)
        for kind, digests in own.used.items():
            marks.used[kind] = {
                digest for digest in digests if self._has_part(kind, digest, manifest.content_id)
            }
        return marks

    def _has_part(self, kind: str, digest: bytes, besides: Digest) -> bool:
        """Whether another video than `besides` has it."""
        rows = self._database.rows(
            "select 1 from video_parts where kind = ? and digest = ? and video <> ? limit 1",
            (kind, digest, besides),
        )
        return bool(rows)

    # What changes it ---------------------------------------------------------------------------

    def refresh(self, cid: Digest) -> bool:
        """Read the manifest of `cid` again, if it changed. Returns whether there is one."""
        while True:
            seen = self._removals
            there = self._refresh(cid)
            if seen == self._removals:
                return there
            # A video was deleted since we read: it may be this one, so we look once more.

    def remove(self, cid: Digest) -> None:
        """Forget a video whose manifest was just deleted."""
        with self._lock:
            self._removals += 1
        self._write([], [cid])

    def _refresh(self, cid: Digest) -> bool:
        found = self._store.head(ObjectKey.manifest(cid))
        if found is None:
            self._write([], [cid])
            return False
        known = self._database.rows("select manifest_sha256 from videos where id = ?", (cid,))
        if known != [(found.sha256,)]:
            row = self._read(cid)
            self._write([row] if row else [], [] if row else [cid])
            return row is not None
        return True

    def _read(self, cid: Digest, etag: str = "") -> _Row | None:
        """What to note of the manifest of `cid`; None if there is none.

        Raises StoreError if the store is down, not if this one manifest cannot be read. Of such a
        one no tag and no sha256 are noted, so that the next comparison reads it again: a repair
        writes the same bytes, and another version of Reelwright may understand it.
        """
        try:
            data = self._store.get_bytes(ObjectKey.manifest(cid))
        except CorruptObjectError:
            return _unreadable(cid, "its manifest is damaged")
        if data is None:
            return None
        sha256 = hashlib.sha256(data).hexdigest()
        # The tag that S3 gives to an object of one part; a store with other tags is believed at
        # the next comparison.
        etag = etag or hashlib.md5(data, usedforsecurity=False).hexdigest()
        try:
            manifest = Manifest.model_validate_json(data)
            view = view_of(manifest)
        except ValidationError:
            return _unreadable(cid, "its manifest is of another version, or damaged")
        except ValueError as error:
            return _unreadable(cid, str(error))
        if view.id != cid:
            return _unreadable(cid, "its manifest is another video's")
        return _Row(cid, sha256, etag, view, parts=_parts_of(manifest))

    def _write(self, rows: Iterable[_Row], gone: Iterable[str]) -> None:
        with self._database.transaction() as connection:
            rows = list(rows)
            left = list(gone)
            ids = [(cid,) for cid in (*left, *(row.id for row in rows))]
            connection.executemany("delete from video_campaigns where video = ?", ids)
            # A link ends with its video: the same brief may publish it under the same id again.
            connection.executemany("delete from shares where video = ?", [(cid,) for cid in left])
            connection.executemany("delete from video_parts where video = ?", ids)
            connection.executemany("delete from videos where id = ?", ids)
            for row in rows:
                if row.view is None:
                    connection.execute(
                        "insert into videos (id, state, manifest_sha256, manifest_etag, problem) "
                        "values (?, 'unreadable', ?, ?, ?)",
                        (row.id, row.sha256, row.etag, row.problem),
                    )
                    continue
                connection.execute(
                    f"insert into videos ({COLUMNS}, state, manifest_sha256, manifest_etag) "  # noqa: S608
                    "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'published', ?, ?)",
                    (*as_row(row.view), row.sha256, row.etag),
                )
                connection.executemany(
                    "insert or ignore into video_campaigns values (?, ?, ?)",
                    [(name, row.view.created, row.id) for name in row.view.campaigns],
                )
                connection.executemany(
                    "insert into video_parts values (?, ?, ?)",
                    [(kind, digest, row.id) for kind, digest in row.parts],
                )

    # Comparing it with the bucket --------------------------------------------------------------

    def reconcile(self) -> int:
        """Read what is new in the bucket, forget what vanished. Returns how much changed.

        Asks for the names of the videos only, a thousand at a time.
        """
        known = self._ids()
        there: set[str] = set()
        foreign: list[str] = []
        for name in self._store.folders(_FOLDER):
            if _is_video(name):
                there.add(name)
            else:
                foreign.append(f"{_FOLDER}{name}/")
        self._foreign_folders = len(foreign), tuple(foreign[:_NAMED])
        changed = self._read_all(Digest(cid) for cid in sorted(there - known))
        for cid in known - there:
            # Published while we listed, perhaps: it is looked at before it is forgotten.
            if self.stopped.is_set():
                return changed
            changed += not self.refresh(Digest(cid))
        self.filled = not self.stopped.is_set()
        self._tell()
        return changed

    def recheck(self) -> int:
        """Read every manifest again whose tag in the bucket's listing changed, and those that
        could not be read. Returns how many."""
        known = dict(self._database.rows("select id, manifest_etag from videos"))
        altered: dict[str, str] = {}
        count, foreign = 0, []
        for entry in self._store.entries(_FOLDER):
            if self.stopped.is_set():
                return 0
            name, _, part = entry.key.removeprefix(_FOLDER).partition("/")
            if part == "manifest.json" and _is_video(name):
                if known.pop(name, None) != entry.etag:
                    altered[name] = entry.etag
            elif not is_key(entry.key) and (not part or _is_video(name)):
                # What lies in a foreign folder is counted with it, in `reconcile`.
                count += 1
                foreign += [entry.key] if count <= _NAMED else []
        self._foreign_objects = count, tuple(foreign)
        changed = self._read_all((Digest(cid) for cid in altered), altered.get)
        for cid in known:  # their folders may be there yet, without a manifest
            if self.stopped.is_set():
                return changed
            changed += not self.refresh(Digest(cid))
        self._tell()
        return changed

    def _read_all(
        self, ids: Iterable[Digest], etag: Callable[[str], str | None] = lambda _: ""
    ) -> int:
        """Read those manifests and note them. Returns how many there were."""
        count = 0
        for batch in _batches(ids):
            seen = self._removals
            rows = []
            for cid in batch:
                if self.stopped.is_set():
                    break
                if row := self._read(cid, etag(cid) or ""):
                    rows.append(row)
            self._write(rows, [])
            count += len(rows)
            if seen != self._removals:
                for row in rows:
                    self.refresh(Digest(row.id))
        return count

    def _ids(self) -> set[str]:
        return {str(cid) for (cid,) in self._database.rows("select id from videos")}

    def _tell(self) -> None:
        """Into the log, whenever it is something else than before."""
        found = self.skipped()
        if found != self._told and found.count:
            _log.warning(
                "%s things among the bucket's videos are not shown: %s",
                found.count,
                "; ".join(found.names),
            )
        self._told = found


def _unreadable(cid: str, problem: str) -> _Row:
    return _Row(cid, "", "", None, problem)


def _parts_of(manifest: Manifest) -> tuple[tuple[str, bytes], ...]:
    marks = Marks()
    marks.add_manifest(manifest)
    return tuple((kind, digest) for kind, digests in marks.used.items() for digest in digests)


def _is_video(name: str) -> bool:
    """Whether a folder of that name is one of ours."""
    return is_key(f"{_FOLDER}{name}/manifest.json")


def _batches(ids: Iterable[Digest]) -> Iterator[list[Digest]]:
    left = iter(ids)
    while batch := list(islice(left, _BATCH)):
        yield batch
