"""Fixtures of the backup's tests: one database server, a used studio, an empty place."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.adapters.object_store import ObjectStore
from infra.adapters.postgres import PostgresServer
from infra.adapters.settings import Settings, StoreSettings
from infra.apps import environment
from infra.apps.gateway import keys
from infra.apps.gateway.database import opened
from pipelines.schema.keys import ObjectKey
from tests.support.backup import FIRST, MARK, Place, place, publish


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    server = PostgresServer(tmp_path_factory.mktemp("pg"))
    server.wait()
    yield server
    server.stop()


@pytest.fixture
def studio(
    store: ObjectStore,
    store_settings: StoreSettings,
    postgres: PostgresServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Place:
    """One that has been used."""
    found = place(tmp_path / "data", "old", store_settings, postgres, monkeypatch)
    with opened(found.data) as database:
        keys.add(database, "editor", ["read"])
    found.database.ask("create table run as select 'published' as state")
    publish(store, FIRST, b"the first film")
    store.put_bytes(MARK, b'{"seen": "2027-05-01T07:00:00Z"}', "application/json")
    found.use()
    environment.write(Settings.load(), {"PREFECT_API_AUTH_STRING": "studio:secret"})
    return found


@pytest.fixture
def empty(
    store_settings: StoreSettings,
    postgres: PostgresServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Place]:
    """Where a backup shall come back."""
    name = f"{store_settings.bucket}-restored"
    other = store_settings.model_copy(update={"bucket": name})
    found = place(tmp_path / "restored", "new", other, postgres, monkeypatch)
    yield found
    target = ObjectStore(other)
    target.ensure_bucket()
    for entry in target.entries():
        target.delete(ObjectKey(entry.key))
