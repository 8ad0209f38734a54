"""What people say about published videos: a title, a star, a shared link; and what they deleted.

None of it is in the bucket: it says nothing of how a video was made.

A video that is deleted from its page loses its manifest at once, so that nobody takes it for
published, and a rerun of its brief publishes it anew. The manifest is kept here for UNDO_SECONDS,
and the files stay where they are; until then it can be taken back.
"""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

from infra.apps.gateway.database import Database
from infra.apps.gateway.keys import hash_of
from pipelines.documents.manifest import Manifest
from pipelines.schema.keys import Digest

UNDO_SECONDS = 3600.0
MAX_TITLE = 200
"""Characters."""
MAX_SHARE_DAYS = 90
_LINK_ID = 16
"""Characters of a secret's hash that name its link: nobody finds the secret by them."""


@dataclass(frozen=True)
class Note:
    """What is known of one video."""

    title: str = ""
    """Empty: it is called by its words."""
    starred: bool = False
    shared_until: float = 0.0
    """Seconds since 1970 at which its last link ends; 0 if there is none."""


@dataclass(frozen=True)
class SharedLink:
    """A link that shows a video. Its secret is not known any more."""

    id: str
    until: float
    """Seconds since 1970."""


@dataclass(frozen=True)
class Trashed:
    """A video that was deleted and can be taken back."""

    id: Digest
    manifest: bytes
    removed_at: float
    """Seconds since 1970 from which it is gone for ever."""

    @property
    def as_manifest(self) -> Manifest:
        """Its manifest. It was read before it was kept."""
        return Manifest.model_validate_json(self.manifest)

    @property
    def deleted_at(self) -> float:
        """Seconds since 1970."""
        return self.removed_at - UNDO_SECONDS


class Library:
    """The notes of one gateway."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, cid: Digest) -> Note:
        """What is known of a video; nothing is known of most."""
        return self.notes([cid])[cid]

    def notes(self, cids: Sequence[str]) -> dict[str, Note]:
        """The same of many."""
        marks = ", ".join("?" * len(cids))
        rows = self._database.rows(
            f"select video, title, starred from library where video in ({marks})",  # noqa: S608
            cids,
        )
        shares = dict(
            self._database.rows(
                f"select video, max(expires) from shares where video in ({marks}) "  # noqa: S608
                "and expires >= ? group by video",
                (*cids, time.time()),
            )
        )
        found = {
            video: Note(title, bool(starred), shares.get(video, 0.0))
            for video, title, starred in rows
        }
        return {cid: found.get(cid, Note(shared_until=shares.get(cid, 0.0))) for cid in cids}

    def rename(self, cid: Digest, title: str) -> None:
        """Give it a title; an empty one takes it away. The caller checked the length."""
        self._set(cid, "title", title)

    def star(self, cid: Digest, *, starred: bool) -> None:
        """Mark it, or take the mark away."""
        self._set(cid, "starred", int(starred))

    def keep(self, cid: Digest, manifest: bytes) -> None:
        """Keep the manifest of a video that is being deleted."""
        self._database.run(
            "insert or replace into trash values (?, ?, ?)",
            (cid, manifest, time.time() + UNDO_SECONDS),
        )

    def trashed(self, cid: Digest) -> Trashed | None:
        """A deleted video, if it can still be taken back."""
        rows = self._database.rows("select manifest, removed from trash where video = ?", (cid,))
        return Trashed(cid, rows[0][0], rows[0][1]) if rows else None

    def due(self) -> list[Digest]:
        """Deleted videos whose time is over."""
        rows = self._database.rows(
            "select video from trash where removed <= ? order by removed", (time.time(),)
        )
        return [Digest(video) for (video,) in rows]

    def drop(self, cid: Digest) -> None:
        """It is taken back, or gone."""
        self._database.run("delete from trash where video = ?", (cid,))

    def forget(self, cid: Digest) -> None:
        """It is gone for ever."""
        with self._database.transaction() as connection:
            connection.execute("delete from library where video = ?", (cid,))
            connection.execute("delete from shares where video = ?", (cid,))
            connection.execute("delete from trash where video = ?", (cid,))

    def share(self, cid: Digest, days: float) -> tuple[str, SharedLink]:
        """The secret of a link that shows it, to whoever has the link, for so many days; and the
        link. Only a hash of the secret is stored."""
        secret = secrets.token_urlsafe(24)
        now, sha256 = time.time(), hash_of(secret)
        link = SharedLink(sha256[:_LINK_ID], now + 86_400 * days)
        with self._database.transaction() as connection:
            connection.execute("delete from shares where expires < ?", (now,))
            connection.execute("insert into shares values (?, ?, ?)", (sha256, cid, link.until))
        return secret, link

    def links(self, cid: Digest) -> list[SharedLink]:
        """The links that show it, the one that ends first before the others."""
        rows = self._database.rows(
            "select sha256, expires from shares where video = ? and expires >= ? "
            "order by expires, sha256",
            (cid, time.time()),
        )
        return [SharedLink(sha256[:_LINK_ID], float(until)) for sha256, until in rows]

    def shared(self, secret: str) -> tuple[Digest, float] | None:
        """The video of a link, and until when (seconds since 1970); None if the link has ended."""
        rows = self._database.rows(
            "select video, expires from shares where sha256 = ? and expires >= ?",
            (hash_of(secret), time.time()),
        )
        return (Digest(rows[0][0]), float(rows[0][1])) if rows else None

    def end_shares(self, cid: Digest, link: str = "") -> int:
        """End all its links, or the one with the id `link`. Returns how many ended."""
        return self._database.run(
            "delete from shares where video = ? and (? = '' or substr(sha256, 1, ?) = ?)",
            (cid, link, _LINK_ID, link),
        )

    def _set(self, cid: Digest, column: str, value: object) -> None:
        self._database.run(
            f"insert into library (video, {column}) values (?, ?) "  # noqa: S608 (our own names)
            f"on conflict (video) do update set {column} = excluded.{column}",
            (cid, value),
        )
