"""Fills an empty data directory from a backup. A restore that was killed continues where it
stopped."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from infra.adapters.databases import Postgres, place
from infra.adapters.disk import make_directory, write_atomic
from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings
from infra.apps import environment
from infra.apps.backup import kept_settings
from infra.apps.backup.mend import mend
from infra.apps.backup.parts import DATABASE, Parts, alone, fresh
from infra.apps.backup.snapshot import Blob, KeptObject, Snapshot
from infra.apps.backup.take import SQLITE, objects_of
from infra.apps.backup.vault import Vault
from infra.apps.studio import upgrade
from pipelines.errors import BackupError, DiskFullError, SettingsError

_MAY_BE = {"models", "logs", "lock", upgrade.MARKER}
"""What an empty data directory may have."""
_DATABASE, _RUNS = "database", "runs"


@dataclass(frozen=True)
class Restored:
    """What a restore did."""

    snapshot: str
    objects: int
    runs: int
    """That were at work when the backup was made, and go on."""
    notes: tuple[str, ...]
    """What the operator has to know or do."""

    def as_json(self) -> str:
        return json.dumps(asdict(self), indent=1)

    def as_text(self) -> str:
        words = f"{self.snapshot}: {self.objects} objects; {self.runs} runs go on with the studio"
        return "\n".join([words, *self.notes, "start it with: reelwright up"])


class Progress:
    """How far a restore has come, in the data directory until it is finished."""

    def __init__(self, data: Path, snapshot: str) -> None:
        self._path = data / upgrade.MARKER
        self._state: dict[str, Any] = {"snapshot": snapshot, "done": {}}
        if self._path.exists():
            self._state = json.loads(self._path.read_text(encoding="utf-8"))
        self.snapshot = str(self._state["snapshot"])
        if snapshot and snapshot != self.snapshot:
            raise BackupError(
                f"the restore of {self.snapshot} into {data} was begun and not finished; go on "
                "with that one, or empty the directory"
            )

    @property
    def has_begun(self) -> bool:
        return self._path.exists()

    def begin(self, snapshot: str) -> None:
        """Mark the directory: from now on only this snapshot can be restored into it."""
        self.snapshot = self._state["snapshot"] = snapshot
        self._write()

    def done(self, step: str) -> int | None:
        """The result of a step that was finished before; None if it was not."""
        value = self._state["done"].get(step)
        return None if value is None else int(value)

    def note(self, step: str, value: int = 0) -> None:
        """Record that the step is finished."""
        self._state["done"][step] = value
        self._write()

    def end(self) -> None:
        """Record that the restore is finished."""
        self._path.unlink()

    def _write(self) -> None:
        write_atomic(self._path, json.dumps(self._state).encode())


def restore(
    settings: Settings,
    folder: Path,
    *,
    snapshot: str = "",
    passphrase: str = "",
    say: Callable[[str], None],
) -> Restored:
    """Put a snapshot, or the latest, into the empty data directory of `settings`.

    Raises BackupError before anything is written if the directory or the bucket is not empty, the
    passphrase is wrong, or the backup is incomplete; later if a file of it was altered. Raises
    DiskFullError if it does not fit.
    """
    vault = Vault.at(folder)
    with vault.reading(lambda: say(f"a backup writes to {folder}: waiting")):
        return _restore(settings, vault, snapshot, passphrase, say)


def _restore(
    settings: Settings, vault: Vault, snapshot: str, passphrase: str, say: Callable[[str], None]
) -> Restored:
    data = settings.paths.data_dir
    if environment.is_running(settings):
        raise BackupError(f"a studio runs in {data}; stop it, and restore into an empty directory")
    _check_empty(data)
    progress = Progress(data, snapshot)
    name = progress.snapshot or vault.names()[-1]
    found = vault.load(name)
    _check_whole(vault, found, name)
    files = kept_settings.opened(found.settings, vault, passphrase)
    if not progress.has_begun:
        _check_elsewhere(settings)
    make_directory(data, private=True)
    check_room(settings, found)
    with alone(data, say):
        progress.begin(name)
        notes = kept_settings.put_back(settings, found.settings, vault, files)
        _put_databases(data, vault, found)
        with fresh(settings) as parts:
            put_objects(parts.store, vault, found, say)
            runs = _put_history(parts, vault, found, progress)
            prove(parts.store, vault, found)
        upgrade.note(data)
        progress.end()
    notes += [f"not in the backup: {item}" for item in found.left_out]
    notes += [f"damaged when the backup was made: {item}" for item in found.damaged]
    return Restored(name, len(found.objects), runs, tuple(notes))


def put_objects(
    store: ObjectStore, vault: Vault, snapshot: Snapshot, say: Callable[[str], None]
) -> None:
    """Store what is not there yet, each file hashed first; manifests last, as they are made."""
    objects = sorted(snapshot.objects, key=lambda item: item.key.endswith("/manifest.json"))
    say(f"{len(objects)} objects, {sum(item.size for item in objects) / 1e6:,.1f} MB")
    for item in objects:
        if _is_there(store, item):
            continue
        path = vault.check(item)
        store.put_file(item.key, path, item.content_type)


def prove(store: ObjectStore, vault: Vault, snapshot: Snapshot) -> None:
    """Read every published video again and hold it against its manifest. Raises BackupError."""
    kept = {item.key: item for item in snapshot.objects}
    for item in snapshot.objects:
        if not item.key.endswith("/manifest.json"):
            continue
        for named in objects_of(vault.read(item)):
            if named.key in kept and kept[named.key].sha256 == named.sha256:
                _prove(store, kept[named.key])


def _prove(store: ObjectStore, item: KeptObject) -> None:
    if not _is_there(store, item):
        raise BackupError(f"{item.key} is not in the store as it was put there; restore again")
    if item.key.startswith("videos/"):
        found = store.head(item.key)
        assert found is not None
        store.verify(found)


def _is_there(store: ObjectStore, item: KeptObject) -> bool:
    found = store.head(item.key)
    return found is not None and (found.sha256, found.size) == (item.sha256, item.size)


def _check_empty(data: Path) -> None:
    if not data.exists() or (data / upgrade.MARKER).exists():
        return
    found = {path.name for path in data.iterdir()} - _MAY_BE
    if "studio" in found and {path.name for path in (data / "studio").iterdir()} <= {"lock"}:
        found.discard("studio")
    if found:
        raise BackupError(
            f"{data} is not empty ({', '.join(sorted(found)[:5])}); restore into an empty data "
            "directory: set REELWRIGHT_DATA_DIR to a new one"
        )


def _check_whole(vault: Vault, snapshot: Snapshot, name: str) -> None:
    missing = [digest for digest, size in snapshot.blobs().items() if not vault.has(digest, size)]
    if missing:
        raise BackupError(
            f"{name} lacks {len(missing)} of its files, as {vault.path(missing[0])}; restore "
            "another snapshot, or copy them from another place"
        )
    try:
        upgrade.prefect_change(snapshot.software.get("prefect_schema", ""))
    except SettingsError as error:
        raise BackupError(
            f"{name} was made with Prefect {snapshot.software.get('prefect')}: {error}"
        ) from error


def check_room(settings: Settings, snapshot: Snapshot) -> None:
    """Raises DiskFullError if what is still to come does not fit. What a restore that was killed
    has put into the store of the data directory is there already; another store has its own disk.
    """
    data = settings.paths.data_dir
    objects = 0 if settings.store.endpoint else sum(item.size for item in snapshot.objects)
    there = sum(path.stat().st_blocks * 512 for path in (data / "store").rglob("*"))
    needed = max(0, objects - there) + sum(dump.size for dump in snapshot.dumps)
    free = shutil.disk_usage(data).free
    if free < needed:
        raise DiskFullError(
            f"about {needed / 1e6:,.0f} MB more are to be restored, {free / 1e6:,.0f} MB are free "
            f"in {data}: free some room and restore again, which goes on with what is there, or "
            "restore into an empty directory on a larger disk"
        )


def _check_elsewhere(settings: Settings) -> None:
    """A store or database that the environment names must be as empty as the directory."""
    if settings.store.endpoint:
        store = ObjectStore(settings.store)
        store.ensure_bucket()
        if next(iter(store.entries()), None) is not None:
            raise BackupError(
                f"the bucket {store.bucket} at {store.endpoint} is not empty; name a new one in "
                "REELWRIGHT_S3_BUCKET"
            )
    url = os.environ.get(DATABASE, "")
    if url and not Postgres.of(url).is_empty():
        raise BackupError(f"the database that {DATABASE} names is not empty; name a new one")


def _put_databases(data: Path, vault: Vault, snapshot: Snapshot) -> None:
    places = dict(SQLITE)
    for dump in snapshot.dumps:
        if dump.name != "prefect":
            target = data / places[dump.name]
            make_directory(target.parent, private=True)
            place(vault.check(dump), target)


def _put_history(parts: Parts, vault: Vault, snapshot: Snapshot, progress: Progress) -> int:
    """Restore Prefect's database and queue its unfinished runs again. Returns how many."""
    dump: Blob | None = next((item for item in snapshot.dumps if item.name == "prefect"), None)
    if dump is None or parts.database is None:
        return 0
    if progress.done(_DATABASE) is None:
        parts.database.restore(vault.check(dump))
        progress.note(_DATABASE)
    runs = progress.done(_RUNS)
    if runs is None:
        runs = mend(parts.database, make_directory(parts.data / "studio" / "prefect"))
        progress.note(_RUNS, runs)
    return runs
