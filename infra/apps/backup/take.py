"""Makes a backup, in the order that the package's docstring explains."""

import json
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Literal

from infra.adapters.databases import copy_sqlite
from infra.adapters.object_store import Entry, ObjectStore
from infra.adapters.settings import Settings
from infra.apps.backup import kept_settings
from infra.apps.backup.parts import Parts, existing, require_studio
from infra.apps.backup.snapshot import Dump, KeptObject, Snapshot
from infra.apps.backup.vault import SCRATCH, Vault
from pipelines.documents.manifest import StoredObject
from pipelines.errors import BackupError, CorruptObjectError
from pipelines.schema.keys import ObjectKey, is_key

MARKS, JOBS = "calendar/marks/", "jobs/"
_TRIES = 3
"""Reads of an object that is replaced while it is read."""
SQLITE: tuple[tuple[Literal["gateway", "make"], str], ...] = (
    ("gateway", "gateway/gateway.db"),
    ("make", "prefect/prefect.db"),
)
"""Names of the database files, and where they lie in the data directory."""


@dataclass(frozen=True)
class Report:
    """What a backup did."""

    snapshot: str
    objects: int
    """In the snapshot."""
    size: int
    """Bytes of all that the snapshot needs."""
    new_objects: int
    new_size: int
    """Bytes that were not in the backup before."""
    foreign: int
    """Objects of the bucket that are not of our layout; they are left out."""
    pruned: int
    """Files that only removed snapshots needed."""
    left_out: tuple[str, ...]
    damaged: tuple[str, ...]

    def as_json(self) -> str:
        return json.dumps(asdict(self), indent=1)

    def as_text(self) -> str:
        lines = [
            f"{self.snapshot}: {self.objects} objects, {self.size / 1e6:,.1f} MB in all; "
            f"{self.new_objects} files with {self.new_size / 1e6:,.1f} MB were new"
        ]
        lines += [f"left out: {item}" for item in self.left_out]
        lines += [f"DAMAGED: {item}" for item in self.damaged]
        return "\n".join(lines)


def backup(
    settings: Settings,
    folder: Path,
    *,
    passphrase: str = "",
    keep: int = 0,
    say: Callable[[str], None],
) -> Report:
    """Add a snapshot of the studio to the backup in `folder`; keep the last `keep`, 0: all.

    Raises BackupError, SettingsError, StoreError or DiskFullError; what was copied until then is
    not copied again.
    """
    vault = Vault(folder)
    inside = folder.resolve().is_relative_to(settings.paths.data_dir.resolve())
    if inside:
        raise BackupError(f"{folder} lies in the data directory that it shall save; take another")
    require_studio(settings)  # before the folder is made
    waiting = f"{folder} is in use by another backup or restore: waiting"
    with vault.writing(lambda: say(waiting)), existing(settings, say) as parts:
        return save(settings, vault, parts, passphrase, keep)


def save(settings: Settings, vault: Vault, parts: Parts, passphrase: str, keep: int) -> Report:
    """The same from `parts` into a vault that is being written to."""
    copy = Copy(vault, parts.store)
    copy.objects(parts.store.entries(MARKS))
    dumps, schema = dumped(parts, vault)
    copy.objects(item for item in parts.store.entries() if not item.key.startswith(MARKS))
    # Again, because they must not be older than the ledger: a job that it has as paid, and of which
    # there were no record, would be submitted and paid once more after a restore.
    copy.objects(parts.store.entries(JOBS))
    copy.close()
    snapshot = Snapshot(
        created=datetime.now(UTC),
        software={
            "reelwright": metadata.version("reelwright"),
            "prefect": metadata.version("prefect"),
            "prefect_schema": schema,
        },
        bucket=parts.store.bucket,
        objects=tuple(copy.kept.values()),
        dumps=dumps,
        settings=kept_settings.keep(settings, vault, passphrase),
        left_out=parts.left_out + kept_settings.missing(settings),
        damaged=tuple(copy.damaged),
    )
    name = vault.finish(snapshot)
    left_out = snapshot.left_out
    if snapshot.settings.left_out:
        names = ", ".join(snapshot.settings.left_out)
        left_out += (f"secrets, because there is no passphrase: {names}",)
    return Report(
        snapshot=name,
        objects=len(snapshot.objects),
        size=sum(snapshot.blobs().values()),
        new_objects=vault.added,
        new_size=vault.added_size,
        foreign=copy.foreign,
        pruned=vault.prune(keep) if keep else 0,
        left_out=left_out,
        damaged=snapshot.damaged,
    )


def dumped(parts: Parts, vault: Vault) -> tuple[tuple[Dump, ...], str]:
    """The databases, the gateway's first, and the revision of Prefect's tables."""
    found, schema = [], ""
    with tempfile.TemporaryDirectory(dir=vault.folder, prefix=SCRATCH) as name:
        scratch = Path(name)
        for title, place in SQLITE:
            source = parts.data / place
            if source.exists():
                copy_sqlite(source, scratch / title)
                blob = vault.add_file(scratch / title)
                found.append(Dump(name=title, kind="sqlite", **blob.model_dump()))
        if parts.database:
            schema = parts.database.prefect_schema()
            parts.database.dump(scratch / "prefect")
            blob = vault.add_file(scratch / "prefect")
            found.append(Dump(name="prefect", kind="postgres", **blob.model_dump()))
    return tuple(found), schema


class Copy:
    """Copies the bucket's objects into a vault."""

    def __init__(self, vault: Vault, store: ObjectStore) -> None:
        self._vault = vault
        self._store = store
        names = vault.names()
        before = vault.load(names[-1]).objects if names else ()
        self._before = {item.key: item for item in before}
        self.kept: dict[ObjectKey, KeptObject] = {}
        self.foreign = 0
        self._lost: list[str] = []
        self._unread: dict[ObjectKey, StoredObject] = {}
        """Objects whose bytes are not what was stored, or cannot be read."""

    @property
    def damaged(self) -> list[str]:
        """A sentence about everything that the store could not give back."""
        words = "does not match its sha256 in the store, or cannot be read; it is left out"
        return [f"{key} {words}" for key in self._unread] + self._lost

    def objects(self, entries: Iterable[Entry]) -> None:
        """Copy those that the backup lacks. Raises StoreError, DiskFullError."""
        for entry in entries:
            if is_key(entry.key):
                self._keep(ObjectKey(entry.key), entry)
            else:
                self.foreign += 1

    def close(self) -> None:
        """Hold every manifest against what was copied, and read again what changed meanwhile."""
        for key in [key for key in self.kept if key.endswith("/manifest.json")]:
            for _ in range(_TRIES):
                if self._is_whole(key):
                    break
            else:
                self._lost.append(f"{key} was replaced each time it was read")

    def _is_whole(self, manifest: ObjectKey) -> bool:
        """Whether all is said about this manifest; False if it is a new one now."""
        before = self.kept[manifest]
        lacking = []
        for item in objects_of(self._vault.read(before)):
            if not self._has(item):
                self._keep(item.key)
            if not self._has(item) and item.key.startswith("videos/"):
                lacking.append(item)
        if not lacking:
            return True
        self._keep(manifest)
        if manifest not in self.kept:  # deleted meanwhile, with all that is its own
            for item in lacking:
                self.kept.pop(item.key, None)
            return True
        if self.kept[manifest].sha256 != before.sha256:
            return False
        for item in lacking:
            self._save(item, manifest)
        return True

    def _has(self, item: StoredObject) -> bool:
        found = self.kept.get(item.key)
        return found is not None and found.sha256 == item.sha256

    def _save(self, item: StoredObject, manifest: ObjectKey) -> None:
        """Take an object that the store has lost from an older snapshot, if one has it."""
        words = f"{item.key} is not in the store as {manifest} names it"
        if self._vault.has(item.sha256, item.size):
            values = item.model_dump() | {"etag": "", "modified": datetime.now(UTC)}
            self.kept[item.key] = KeptObject.model_validate(values)
            words += "; it is in the backup, from an older snapshot"
        elif item.key in self._unread:
            return  # that is said already
        self._lost.append(words)

    def _keep(self, key: ObjectKey, entry: Entry | None = None) -> None:
        """Copy one object; it is gone from the snapshot if it has gone from the store."""
        known = self._before.get(key)
        if entry and known and _same(entry, known) and self._vault.has(known.sha256, known.size):
            self.kept[key] = known
            return
        for _ in range(_TRIES):
            found = self._store.head(key)
            if found is None:
                self.kept.pop(key, None)
                self._unread.pop(key, None)
                return
            if self._unread.get(key) == found:
                return  # each read of a bad byte takes SeaweedFS 13 s
            if self._vault.has(found.sha256, found.size) or self._copied(found):
                self.kept[key] = KeptObject(
                    **found.model_dump(),
                    etag=entry.etag if entry else "",
                    modified=entry.modified if entry else datetime.now(UTC),
                )
                self._unread.pop(key, None)
                return
            last = found
        self._unread[key] = last

    def _copied(self, found: StoredObject) -> bool:
        """False if it is another one now, gone, or damaged. Raises StoreError if it is down."""
        try:
            self._vault.add(self._store.blocks(found.key), found.sha256)
        except CorruptObjectError:
            return False
        return True


def _same(entry: Entry, known: KeptObject) -> bool:
    return (entry.etag, entry.size, entry.modified) == (known.etag, known.size, known.modified)


def objects_of(manifest: bytes) -> list[StoredObject]:
    """What a manifest of any version names; nothing if it is damaged, which `verify` finds."""
    try:
        return [StoredObject.model_validate(item) for item in json.loads(manifest)["objects"]]
    except (ValueError, KeyError, TypeError):
        return []
