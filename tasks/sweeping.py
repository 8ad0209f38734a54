"""Mark and sweep of the bucket: does what `pipelines.retention` decides.

It may run beside other runs. If a chunk is deleted while a run needs it, the run makes it again, as
it does for a damaged chunk. An object that was stored again after it was listed stays. Before each
batch of deletions, videos that were published since then are marked.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice

from pydantic import BaseModel, ConfigDict, ValidationError

from infra.adapters.manifests import (
    ManifestRead,
    delete_manifest,
    held,
    read_copy,
    read_manifest,
    write_manifest,
)
from infra.adapters.object_store import Entry, ObjectStore
from infra.adapters.settings import RetentionSettings
from pipelines.documents.draft import Draft
from pipelines.documents.manifest import Film, Manifest
from pipelines.errors import BriefError, CorruptObjectError
from pipelines.retention import (
    KINDS,
    Ages,
    Item,
    Kept,
    Kind,
    Marks,
    Tally,
    Verdict,
    after_delete,
    decide,
    is_expired,
)
from pipelines.schema.keys import Digest, ObjectKey
from pipelines.schema.text import clean_text

_BATCH = 500
"""Objects that are deleted before new videos are looked for again."""


class KeepList(BaseModel):
    """Campaigns whose videos are never deleted by their age: `retention/keep.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    campaigns: tuple[str, ...] = ()


@dataclass
class SweepReport:
    """What a sweep found and removed, or would remove."""

    dry_run: bool
    kinds: dict[Kind, Tally] = field(default_factory=lambda: {kind: Tally() for kind in KINDS})
    notes: list[str] = field(default_factory=list)
    """What was not deleted this time, and why."""

    @property
    def objects(self) -> int:
        """Number of objects that were deleted, or would be."""
        return sum(tally.swept_objects for tally in self.kinds.values())

    @property
    def size(self) -> int:
        """Bytes of those objects."""
        return sum(tally.swept_size for tally in self.kinds.values())

    def sentence(self) -> str:
        """The result in one sentence, with the notes."""
        verb = "would be removed" if self.dry_run else "removed"
        words = f"{self.objects:,} objects, {_megabytes(self.size)} MB {verb}"
        return "; ".join([words, *self.notes])


def ages_of(settings: RetentionSettings) -> Ages:
    """The ages that the settings give, in days."""
    return Ages(**{kind: getattr(settings, f"{kind}_days") for kind in KINDS})


def read_keep_list(store: ObjectStore) -> KeepList:
    """The campaigns that are kept for ever.

    Raises CorruptObjectError if the list is damaged, and StoreError if the store fails.
    """
    data = store.get_bytes(ObjectKey.keep_list())
    try:
        return KeepList.model_validate_json(data) if data else KeepList()
    except ValidationError as error:
        raise CorruptObjectError(f"{ObjectKey.keep_list()} is no list of campaigns") from error


def keep_campaign(store: ObjectStore, campaign: str, *, keep: bool = True) -> KeepList:
    """Keep a campaign's videos for ever, or with `keep=False` no longer. Returns the whole list.

    Whether a brief names the campaign is not checked. Raises BriefError if the name is empty, too
    long or not plain text, CorruptObjectError if the list is damaged, and StoreError if the store
    fails.
    """
    try:
        name = clean_text(campaign, "campaign", 100)
    except ValueError as error:
        raise BriefError(str(error)) from error
    if not name:
        raise BriefError("the campaign has no name; give the name that its briefs have")
    others = [item for item in read_keep_list(store).campaigns if item != name]
    listed = KeepList(campaigns=tuple(sorted([*others, name] if keep else others)))
    data = listed.model_dump_json(indent=1).encode()
    store.put_bytes(ObjectKey.keep_list(), data, "application/json")
    return listed


class Sweeper:
    """One mark and sweep.

    `living` are the ids of runs that have not ended and of their child runs; None if they are
    unknown. `texts` are texts that may name uploads in use, such as the parameters of runs.
    Creating it raises StoreError if the store fails.
    """

    def __init__(
        self,
        store: ObjectStore,
        ages: Ages,
        kept: Iterable[str] = (),
        living: frozenset[str] | None = None,
        texts: Iterable[str] = (),
        now: datetime | None = None,
    ) -> None:
        self.store = store
        self.now = now or datetime.now(UTC)
        self.notes: list[str] = []
        self.marks = Marks(living=living)
        self._seen: set[bytes] = set()
        self._newest: dict[bytes, datetime] = {}
        """For each expired video whose manifest this sweep removed: when its newest object was
        stored."""
        try:
            self.kept = {*kept, *read_keep_list(store).campaigns}
        except CorruptObjectError as error:
            self.kept = set(kept)
            ages = ages.model_copy(update={"videos": 0})
            self.notes.append(f"no video goes by its age: {error}; run `reelwright retention keep`")
        try:
            calendar = store.get_bytes(ObjectKey.calendar()) or b""
        except CorruptObjectError as error:
            calendar = b""
            ages = ages.model_copy(update={"uploads": 0})
            self.notes.append(f"no picture goes: {error}; run `reelwright calendar put FILE`")
        self.marks.add_text(calendar.decode("utf-8", "replace"))
        self.ages = ages
        for text in texts:
            self.marks.add_text(text)

    def sweep(self, *, dry_run: bool) -> SweepReport:
        """Count all objects and, unless it is a dry run, delete those that are due.

        Raises StoreError if the store fails. What was deleted until then stays deleted.
        """
        self.mark()
        report = SweepReport(dry_run)
        going = self._going(report)
        while batch := list(islice(going, _BATCH)):
            if not dry_run:
                self._delete(batch, report)
        report.notes = [*self.notes, *_put_off(report, self.marks)]
        return report

    def mark(self) -> None:
        """Mark what all manifests name, and what living runs handed over.

        Raises StoreError if the store fails.
        """
        self._mark_videos()
        for key in self.store.list_keys("runs/"):
            if self.marks.living is None or key.split("/")[1] in self.marks.living:
                self._mark_handoff(key)

    def _mark_videos(self) -> None:
        """Mark the published videos that were not seen yet."""
        for name in self.store.folders("videos/"):
            try:
                cid = Digest(name)
            except ValueError:
                continue
            if bytes.fromhex(cid) in self._seen:
                continue
            read = read_manifest(self.store, cid, restore=False)
            if read.state == "absent":
                if (manifest := held(self.store, cid, self.now)) is None:
                    continue
                read = ManifestRead("whole", manifest)
            self._seen.add(bytes.fromhex(cid))
            self.marks.published.add(bytes.fromhex(cid))
            if read.manifest is None:
                self.marks.unreadable.append(cid)
            elif is_expired(read.manifest, self.ages, self.kept, self.now):
                self.marks.expired.add(bytes.fromhex(cid))
            else:
                self.marks.add_manifest(read.manifest)

    def _mark_handoff(self, key: ObjectKey) -> None:
        try:
            data = self.store.get_bytes(key)
            if data and key.endswith("/film.json"):
                self.marks.add_film(Film.model_validate_json(data))
            elif data and key.endswith("/draft.json"):
                self.marks.add_draft(Draft.model_validate_json(data))
        except (CorruptObjectError, ValidationError):
            return  # the waiting run lets the GPU host make it again

    def _going(self, report: SweepReport) -> Iterator[tuple[Entry, Item, Verdict]]:
        for entry in self.store.entries():
            item = Item(entry.key, entry.size, entry.modified)
            verdict = decide(item, self.marks, self.ages, self.now)
            if verdict is None:
                continue
            report.kinds[verdict.kind].add(item, verdict)
            if verdict.goes:
                yield entry, item, verdict

    def _delete(self, batch: list[tuple[Entry, Item, Verdict]], report: SweepReport) -> None:
        self._mark_videos()
        for entry, item, verdict in batch:
            again = decide(item, self.marks, self.ages, self.now)
            if again is None or not again.goes or not self._delete_one(entry, verdict):
                report.kinds[verdict.kind].spare(item)

    def _delete_one(self, entry: Entry, verdict: Verdict) -> bool:
        if verdict.kind != "videos":
            return self.store.delete_unchanged(entry)
        return self._delete_expired(entry)

    def _delete_expired(self, entry: Entry) -> bool:
        """Delete an object of an expired video, but first its manifest, so that no part is
        published alone.

        Another run may make the video again meanwhile. Objects that it uploads stay, and so does a
        manifest with a campaign that is kept. Returns whether the object was deleted.
        """
        cid = Digest(entry.key.split("/")[1].removesuffix(".json"))
        video, key = bytes.fromhex(cid), ObjectKey.manifest(cid)
        parts = [] if video in self._newest else self.store.entries(f"videos/{cid}/")
        newest = max([entry.modified, *(item.modified for item in parts)])
        if not self._unpublish(cid):
            return False
        newest = self._newest.setdefault(video, newest)
        if entry.key == key:
            return True
        # The listing continues while we delete, so it may contain later uploads.
        gone = entry.modified <= newest and self.store.delete_unchanged(entry)
        if gone and entry.key.startswith("videos/") and self.store.head(key) is not None:
            delete_manifest(self.store, cid)  # as in `tasks.discard`: no manifest without a video
        return gone

    def _unpublish(self, cid: Digest) -> bool:
        """Whether this sweep has removed the manifest of an expired video, now or before."""
        read = read_manifest(self.store, cid, restore=False)
        if read.state == "absent":
            return bytes.fromhex(cid) in self._newest
        if read.manifest is None or self._is_wanted(read.manifest):
            return False
        self.store.delete(ObjectKey.manifest(cid))
        # A run may have written a new manifest since we read this one. It writes the copy first.
        copy = read_copy(self.store, cid).manifest
        if copy and self._is_wanted(copy):
            write_manifest(self.store, copy)
            return False
        return True

    def _is_wanted(self, manifest: Manifest) -> bool:
        """Whether the video has not expired. If so, its objects are marked."""
        if is_expired(manifest, self.ages, self.kept, self.now):
            return False
        self.marks.expired.discard(bytes.fromhex(manifest.content_id))
        self.marks.add_manifest(manifest)
        return True


def kept_after_delete(
    store: ObjectStore,
    manifest: Manifest,
    ages: Ages,
    others: Marks,
    now: datetime | None = None,
) -> tuple[Kept, ...]:
    """What stays in the bucket when the video of `manifest` is deleted, and until when.

    `others` are the marks of all other videos. Raises StoreError if the store fails.
    """
    own = Marks()
    own.add_manifest(manifest)
    items = [
        Item(entry.key, entry.size, entry.modified)
        for kind, digests in own.used.items()
        for digest in digests
        for entry in store.entries(f"{kind}/{digest.hex()}.")
    ]
    return after_delete(items, others, ages, now or datetime.now(UTC))


def rows_of(report: SweepReport) -> list[dict[str, str]]:
    """A table for people: the numbers before and after the sweep, for each kind."""
    removed = "would go" if report.dry_run else "removed"
    rows = []
    for kind, tally in report.kinds.items():
        oldest = tally.oldest_kept
        rows.append(
            {
                "kind": kind,
                "objects before": f"{tally.objects:,}",
                "MB before": _megabytes(tally.size),
                removed: f"{tally.swept_objects:,}",
                f"MB {removed}": _megabytes(tally.swept_size),
                "objects after": f"{tally.objects - tally.swept_objects:,}",
                "MB after": _megabytes(tally.size - tally.swept_size),
                "oldest kept": f"{oldest:%Y-%m-%d}" if oldest else "",
            }
        )
    return rows


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f}"


def _put_off(report: SweepReport, marks: Marks) -> Iterator[str]:
    waiting = sum(tally.put_off for tally in report.kinds.values())
    if marks.unreadable:
        yield (
            f"{waiting} objects are kept because {len(marks.unreadable)} manifests cannot be read "
            f"and may name them, as that of video {marks.unreadable[0]}; run: reelwright verify"
        )
