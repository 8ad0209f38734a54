"""The gateway's database comes from every older version to the present one, or says why not."""

import sqlite3
from pathlib import Path

import pytest

from infra.apps.gateway import keys
from infra.apps.gateway.database import Database, opened, pending_migrations
from infra.apps.gateway.migrations import MIGRATIONS, Migration, migrate
from pipelines.errors import SettingsError

FIRST_RELEASE = """
create table if not exists keys (
    name text primary key, sha256 text not null unique, scopes text not null, created text not null
);
create table if not exists deliveries (
    source text not null, signature text not null, delivery text not null, seen real not null,
    primary key (source, signature)
);
create table if not exists events (
    id text not null, endpoint text not null, body text not null, made real not null,
    tries integer not null default 0, due real not null, state text not null default 'waiting',
    error text not null default '', primary key (id, endpoint)
);
create index if not exists events_due on events (state, due);
create table if not exists marks (name text primary key, value text not null);
insert into keys values ('cms', 'abc', 'read', '2026-11-01');
"""


def file_of(data_dir: Path) -> Path:
    return data_dir / "gateway" / "gateway.db"


def connect(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    return sqlite3.connect(path, isolation_level=None)


def version_of(path: Path) -> int:
    connection = connect(path)
    ((version,),) = connection.execute("pragma user_version")
    connection.close()
    return int(version)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A data directory of the release before the versions."""
    connection = connect(file_of(tmp_path))
    connection.execute("pragma journal_mode=wal")
    connection.executescript(FIRST_RELEASE)
    connection.close()
    return tmp_path


def test_a_database_of_the_first_release_keeps_its_keys(old: Path) -> None:
    with opened(old) as database:
        assert keys.listed(database) == [keys.KeyRecord("cms", "read", "2026-11-01")]
        assert database.rows("select count(*) from videos") == [(0,)]
    assert version_of(file_of(old)) == len(MIGRATIONS)


def test_what_will_change_is_said_before_it_does(old: Path) -> None:
    words = pending_migrations(old)
    assert len(words) == len(MIGRATIONS)
    assert any("index of the published videos" in line for line in words)
    assert version_of(file_of(old)) == 0
    with opened(old):
        assert pending_migrations(old) == []


def test_nothing_is_said_of_a_database_that_is_not_there(tmp_path: Path) -> None:
    assert pending_migrations(tmp_path) == []
    assert not file_of(tmp_path).exists()


def test_a_database_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    Database(tmp_path / "gateway").close()
    path = file_of(tmp_path)
    connection = connect(path)
    connection.execute("pragma user_version = 999")
    connection.close()
    for look in (lambda: Database(tmp_path / "gateway"), lambda: pending_migrations(tmp_path)):
        with pytest.raises(SettingsError, match=r"version 999.*newer"):
            look()
    assert version_of(path) == 999


def test_a_step_that_fails_leaves_the_ones_before_it(tmp_path: Path) -> None:
    steps = (
        Migration("a table", ("create table a (x)",)),
        Migration("a step with a fault", ("create table b (x)", "insert into nowhere values (1)")),
    )
    path = tmp_path / "x.db"
    connection = connect(path)
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        migrate(connection, path, steps)
    tables = {name for (name,) in connection.execute("select name from sqlite_master")}
    connection.close()
    assert tables == {"a"}
    assert version_of(path) == 1


def test_statements_of_one_transaction_are_all_there_or_none(tmp_path: Path) -> None:
    def write(database: Database, *marks: tuple[str, str | None]) -> None:
        with database.transaction() as connection:
            connection.executemany("insert into marks values (?, ?)", marks)

    with opened(tmp_path) as database:
        with pytest.raises(sqlite3.IntegrityError, match="NOT NULL"):
            write(database, ("a", "1"), ("b", None))
        assert database.rows("select * from marks") == []
        write(database, ("a", "1"))
        assert database.rows("select * from marks") == [("a", "1")]
