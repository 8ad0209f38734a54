"""Verifies the whole bucket against its manifests, and repairs what needs no new run.

Objects are streamed; memory holds one entry for each object that a manifest names. It may run
beside all other work: an object that is swept, deleted or stored again meanwhile is no fault.
"""

import logging
from collections.abc import Callable

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.runtime import deployment

from infra.adapters.manifests import complete_copy, read_manifest
from infra.adapters.object_store import Entry, ObjectStore
from infra.adapters.settings import Settings
from pipelines.documents.manifest import Manifest, StoredObject
from pipelines.errors import CorruptObjectError, MissingObjectError
from pipelines.schema.keys import Digest, ObjectKey, is_key
from pipelines.verification import (
    REPAIRABLE,
    Fault,
    Index,
    Named,
    Seen,
    VerifyReport,
    What,
    owner_of,
)
from tasks.options import STAGE

_FOLDERS: dict[str, What] = {
    "manifests": "copy",
    "uploads": "picture",
    "retention": "setting",
    "jobs": "job",
}
_log = logging.getLogger("reelwright.verify")
Say = Callable[[str], None]


@task(name="verify-bucket", **STAGE)
def verify_bucket() -> VerifyReport:
    """Read every object. Restore manifests and their copies, and delete damaged intermediates.

    Faults that are left are shown on the page of the run. Raises SettingsError if a setting is
    invalid, and StoreError if the store fails.
    """
    store = ObjectStore(Settings.load().store)
    report = audit(store, _log.info)
    mend(store, report)
    for fault in report.faults:
        _log.error("%s", fault)
    if deployment.id is not None:
        create_table_artifact(table_of(report), key="verify", description=report.sentence())
    return report


def table_of(report: VerifyReport) -> list[dict[str, object]]:
    """Rows for the page of a run: the counts, the repairs, the faults."""
    rows: list[dict[str, object]] = [
        {"object": seen, "what": f"{count:,}", "remedy": ""}
        for seen, count in sorted(report.counts.items())
    ]
    rows += [{"object": "mended", "what": words, "remedy": ""} for words in report.repaired[:200]]
    return rows + [
        {"object": fault.key, "what": f"{fault.prompt} {fault.detail}", "remedy": fault.remedy}
        for fault in report.faults[:200]
    ]


def audit(store: ObjectStore, say: Say) -> VerifyReport:
    """Read and check every object of the bucket. Raises StoreError if the store fails."""
    return _Audit(store, say).run()


def check_video(store: ObjectStore, cid: Digest) -> list[Fault]:
    """The faults of the manifest and of the published parts of one video.

    Raises StoreError if the store fails.
    """
    look = _Audit(store, lambda _: None)
    look.video(cid)
    return look.report.faults


def mend(store: ObjectStore, report: VerifyReport) -> None:
    """Repair what needs no run. Repaired faults are removed from the report; those of published
    parts stay.

    Raises StoreError if the store fails.
    """
    left: list[Fault] = []
    for fault in report.faults:
        words = _mend(store, fault)
        if words:
            report.repaired.append(words)
        else:
            left.append(fault)
    report.faults = left
    if report.counts["manifest without a copy"]:
        report.repaired.append(f"{_write_copies(store)} manifests have a copy now")


def _mend(store: ObjectStore, fault: Fault) -> str:
    if not fault.restorable or fault.what == "part":
        return ""
    if fault.what == "manifest":
        read = read_manifest(store, Digest(fault.content_id))
        return f"{fault.key} was restored from its copy" if read.state == "restored" else ""
    if fault.what == "copy":
        return _mend_copy(store, fault)
    if fault.key.endswith("/published.json"):
        return _delete_damaged(store, fault, "its run no longer says where its video is")
    return _delete_damaged(store, fault, "a run that needs it makes it again")


def _delete_damaged(store: ObjectStore, fault: Fault, follows: str) -> str:
    """Delete an object that no manifest makes official, if it is still there and still damaged.

    `follows` says what the loss means. The audit may have read the object hours ago: since then it
    may have been stored again or published.
    """
    listed = next((item for item in store.entries(fault.key) if item.key == fault.key), None)
    found = store.head(ObjectKey(fault.key))
    if listed is None or found is None:
        return f"{fault.key} is gone meanwhile"
    try:
        store.verify(found)
    except MissingObjectError:
        return f"{fault.key} is gone meanwhile"
    except CorruptObjectError:
        if _is_published(store, fault.key):
            return ""  # a run has published it meanwhile: it is a part of a video now
        if not store.delete_unchanged(listed):
            return f"{fault.key} was stored anew meanwhile"
    else:
        return f"{fault.key} was stored anew meanwhile"
    return f"{fault.key} was deleted: {follows}"


def _is_published(store: ObjectStore, key: str) -> bool:
    """Whether a manifest lies beside `key`, readable or not."""
    if not key.startswith("videos/"):
        return False
    return store.head(ObjectKey.manifest(Digest(key.split("/")[1]))) is not None


def _mend_copy(store: ObjectStore, fault: Fault) -> str:
    read = read_manifest(store, Digest(fault.content_id), restore=False)
    if read.manifest is not None:
        store.delete(ObjectKey(fault.key))
        complete_copy(store, read.manifest)
        return f"{fault.key} was written again"
    if read.state == "absent":
        # A run that is publishing the video has just written this copy. It must stay.
        return _delete_damaged(store, fault, "its video is not published")
    return ""


def _write_copies(store: ObjectStore) -> int:
    count = 0
    for cid in _content_ids(store):
        read = read_manifest(store, cid, restore=False)
        if read.state == "whole" and read.manifest is not None:
            count += complete_copy(store, read.manifest)
    return count


def _content_ids(store: ObjectStore) -> list[Digest]:
    names = store.folders("videos/")
    return [Digest(name) for name in names if is_key(f"videos/{name}/video.mp4")]


class _Audit:
    def __init__(self, store: ObjectStore, say: Say) -> None:
        self.store = store
        self.say = say
        self.report = VerifyReport()
        self.index = Index()
        self._published: set[str] = set()

    def run(self) -> VerifyReport:
        for number, cid in enumerate(_content_ids(self.store), start=1):
            self.video(cid)
            if number % 100 == 0:
                self.say(f"{number} videos read")
        for entry in self.store.entries():
            self._object(entry)
        if self.index.left:
            self.report.counts["missing intermediate"] = self.index.left
        return self.report

    def video(self, cid: Digest) -> None:
        """Check the manifest of a video, and the parts that people see."""
        manifest = self._manifest(cid)
        if manifest is None:
            return
        self.index.add(manifest)
        parts = [item for item in manifest.objects if item.key.startswith("videos/")]
        faults = [fault for item in parts if (fault := self._part(item, manifest))]
        if faults and self._changed(manifest):
            self.video(cid)  # a run has published it again while we read
            return
        self.report.counts["whole"] += len(parts) - len(faults)
        for fault in faults:
            self.report.add(fault)

    def _manifest(self, cid: Digest) -> Manifest | None:
        read = read_manifest(self.store, cid, restore=False)
        key, counts = ObjectKey.manifest(cid), self.report.counts
        if read.state == "absent":
            return None
        self._published.add(cid)
        if read.state == "other-version":
            counts["manifest of another version"] += 1
            return None
        if read.manifest is None:
            counts["unreadable manifest"] += 1
            self.report.add(Fault(key, "manifest", read.detail, content_id=cid, restorable=False))
            return None
        if read.state == "restored":
            counts["unreadable manifest"] += 1
            prompt = read.manifest.brief.prompt
            self.report.add(Fault(key, "manifest", read.detail, prompt, cid))
        else:
            counts["manifest"] += 1
            if self.store.head(ObjectKey.manifest_copy(cid)) is None:
                counts["manifest without a copy"] += 1
        return read.manifest

    def _part(self, item: StoredObject, manifest: Manifest) -> Fault | None:
        head = self.store.head(item.key)
        try:
            if head is None:
                raise MissingObjectError("it is missing")
            if head.sha256 != item.sha256:
                raise CorruptObjectError("it is another one than its manifest names")
            self.store.verify(item)
        except CorruptObjectError as error:
            missing = isinstance(error, MissingObjectError)
            self.report.counts["missing part" if missing else "damaged"] += 1
            prompt, cid = manifest.brief.prompt, manifest.content_id
            return Fault(item.key, "part", str(error), prompt, cid)
        finally:
            self.report.read_bytes += item.size
        return None

    def _changed(self, manifest: Manifest) -> bool:
        now = read_manifest(self.store, manifest.content_id, restore=False)
        return now.manifest != manifest and now.state != "restored"

    def _object(self, entry: Entry) -> None:
        """Check any other object: its bytes must be those that were stored."""
        if not is_key(entry.key):
            self.report.counts["foreign"] += 1
            return
        folder = entry.key.partition("/")[0]
        if folder == "videos" and entry.key.split("/")[1] in self._published:
            return
        digests = folder in ("chunks", "segments", "shots", "stills", "uploads")
        named = self.index.take(entry.key) if digests else None
        found = self.store.head(ObjectKey(entry.key))
        if found is None:
            return
        try:
            self.store.verify(found)
        except MissingObjectError:
            return
        except CorruptObjectError as error:
            self.report.counts["damaged"] += 1
            self._damaged(entry.key, str(error), owner_of(named))
        else:
            self.report.counts[_seen(named, found, can_be_named=digests or folder == "videos")] += 1
        self.report.read_bytes += entry.size

    def _damaged(self, key: str, detail: str, owner: Digest | None) -> None:
        folder = key.partition("/")[0]
        what = "setting" if key == ObjectKey.calendar() else _FOLDERS.get(folder, "intermediate")
        if folder == "ledger" and key.split("/")[2][0].isdigit():
            what = "ledger entry"  # snapshots and reports are made from the entries again
        if folder == "manifests":
            owner = Digest(key.split("/")[1].removesuffix(".json"))
        prompt = ""
        if owner:
            read = read_manifest(self.store, owner, restore=False)
            prompt = read.manifest.brief.prompt if read.manifest else ""
        restorable = what in REPAIRABLE
        self.report.add(Fault(key, what, detail, prompt, owner or "", restorable))


def _seen(named: Named | None, found: StoredObject, *, can_be_named: bool) -> Seen:
    """The class of an object whose bytes are those that were stored."""
    if named is None:
        return "orphan" if can_be_named else "whole"
    same = named.sha256 == bytes.fromhex(found.sha256)[:8]
    return "whole" if same else "made again since"
