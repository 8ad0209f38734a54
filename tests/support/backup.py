"""A studio's state without a studio: what a backup reads and where a restore writes."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.adapters.databases import Postgres
from infra.adapters.object_store import ObjectStore
from infra.adapters.postgres import PostgresServer, binaries
from infra.adapters.settings import Settings, StoreSettings
from infra.apps.backup.parts import DATABASE, Parts
from infra.apps.backup.take import Report, backup
from pipelines.documents.manifest import StoredObject
from pipelines.schema.keys import Digest, ObjectKey

FIRST, SECOND = Digest("a" * 64), Digest("b" * 64)
MARK = ObjectKey("calendar/marks/morning.json")
STOP_AFTER = """
import os, signal, sys
from pathlib import Path
from infra.apps.backup.vault import Vault
from infra.adapters.settings import Settings
from infra.adapters.object_store import ObjectStore

count = int(sys.argv[3])
def dying(blocks):
    yield from blocks
    os.kill(os.getpid(), signal.SIGKILL)  # all is written, nothing has its name

if sys.argv[1] == "backup":
    from infra.apps.backup.take import backup as run
    whole = Vault.add
    def add(self, blocks, expected=None):
        return whole(self, blocks if self.added < count else dying(blocks), expected)
    Vault.add = add
else:
    from infra.apps.backup.restore import restore as run
    whole, seen = ObjectStore.put_file, []
    def put_file(self, *args):
        if len(seen) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        seen.append(args)
        return whole(self, *args)
    ObjectStore.put_file = put_file
run(Settings.load(), Path(sys.argv[2]), say=lambda _: None)
"""


@dataclass
class Place:
    """A studio's state: a data directory, a bucket, a database."""

    env: dict[str, str]
    monkeypatch: pytest.MonkeyPatch
    database: Postgres

    def use(self) -> Settings:
        for name, value in self.env.items():
            self.monkeypatch.setenv(name, value)
        return Settings.load()

    @property
    def data(self) -> Path:
        return Path(self.env["REELWRIGHT_DATA_DIR"])

    @property
    def store(self) -> ObjectStore:
        return ObjectStore(self.use().store)

    def parts(self) -> Parts:
        return Parts(self.data, self.store, self.database)

    def killed(self, what: str, folder: Path, after: int) -> None:
        """The work in a process that is killed within its step `after`, counted from 0."""
        argv = [sys.executable, "-c", STOP_AFTER, what, str(folder), str(after)]
        done = subprocess.run(argv, env=os.environ | self.env, capture_output=True)
        assert done.returncode == -9, done.stderr


def place(
    folder: Path,
    name: str,
    settings: StoreSettings,
    postgres: PostgresServer,
    monkeypatch: pytest.MonkeyPatch,
) -> Place:
    """One with an empty database of its own."""
    socket = ["-h", str(postgres.socket), "-U", postgres.user]
    for command in (["dropdb", "--if-exists"], ["createdb"]):
        subprocess.run([binaries() / command[0], *command[1:], *socket, name], check=True)
    url = f"postgresql+asyncpg://{postgres.user}@/{name}?host={postgres.socket}"
    env = {
        "REELWRIGHT_DATA_DIR": str(folder),
        "REELWRIGHT_S3_ENDPOINT": settings.endpoint,
        "REELWRIGHT_S3_ACCESS_KEY": settings.access_key,
        "REELWRIGHT_S3_SECRET_KEY": settings.secret_key.get_secret_value(),
        "REELWRIGHT_S3_BUCKET": settings.bucket,
        DATABASE: url,
    }
    return Place(env, monkeypatch, Postgres.of(url))


def publish(store: ObjectStore, cid: Digest, film: bytes) -> None:
    """A video as `publish` leaves it: the manifest last."""
    made = [
        store.put_bytes(ObjectKey.chunk(cid), film * 2, "video/mp4"),
        store.put_bytes(ObjectKey.video(cid), film, "video/mp4"),
    ]
    content = json.dumps({"objects": [item.model_dump(mode="json") for item in made]})
    store.put_bytes(ObjectKey.manifest(cid), content.encode(), "application/json")


def saved(place: Place, folder: Path, **options: Any) -> Report:
    return backup(place.use(), folder, say=lambda _: None, **options)


def bucket_of(place: Place) -> dict[str, StoredObject | None]:
    store = place.store
    return {key: store.head(key) for key in store.list_keys()}
