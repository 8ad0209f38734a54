"""The store and the database of a running studio, or servers started for one command."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.adapters.databases import Postgres
from infra.adapters.disk import exclusive, make_data_directory, make_directory
from infra.adapters.object_store import ObjectStore
from infra.adapters.postgres import PostgresServer
from infra.adapters.seaweed import load_credentials
from infra.adapters.settings import Settings
from infra.apps import environment
from infra.apps.reach import opened_store
from infra.apps.studio import upgrade
from pipelines.errors import BackupError, SettingsError

DATABASE = "PREFECT_API_DATABASE_CONNECTION_URL"
ENDPOINT = "REELWRIGHT_S3_ENDPOINT"


@dataclass(frozen=True)
class Parts:
    """The store and the databases that hold a studio's state."""

    data: Path
    """The data directory: the gateway's database and the settings lie there."""
    store: ObjectStore
    database: Postgres | None
    left_out: tuple[str, ...] = ()
    """Sentences about what cannot be reached."""


def require_studio(settings: Settings) -> None:
    """Raises BackupError if no studio has been used here, SettingsError if a newer version wrote
    it or a restore has not finished it."""
    data = settings.paths.data_dir
    upgrade.check_format(data)
    known = environment.read(settings) or (data / "store").exists() or os.environ.get(ENDPOINT)
    if not (data.is_dir() and known):
        raise BackupError(f"{data} holds no studio; set REELWRIGHT_DATA_DIR to the one that does")


@contextmanager
def existing(settings: Settings, say: Callable[[str], None]) -> Iterator[Parts]:
    """The parts of a studio that `require_studio` found: those that run, else started for the
    block."""
    data = settings.paths.data_dir
    known = environment.read(settings)
    with ExitStack() as stack:
        if environment.is_running(settings):
            yield _running(environment.adopted())
            return
        stack.enter_context(alone(make_data_directory(data, say), say))
        if not os.environ.get(ENDPOINT) and not _is_ours(data, known):
            environment.adopt(settings)
        store = stack.enter_context(opened_store(Settings.load()))
        database = _database(data, os.environ.get(DATABASE) or known.get(DATABASE, ""), stack)
        yield Parts(data, store, database, () if database else (_no_database(data),))


@contextmanager
def alone(data: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Within the block no studio starts in this data directory, and no `make` works in it."""
    folder = make_directory(data / "studio", private=True)

    def running() -> None:
        raise SettingsError(f"the studio of {data} has just been started; run this again")

    with (
        exclusive(folder / "lock", running),
        exclusive(data / "lock", lambda: say(f"a `reelwright make` is at work in {data}: waiting")),
    ):
        yield


@contextmanager
def fresh(settings: Settings) -> Iterator[Parts]:
    """The same for a studio that is about to be filled: what the environment names, else new
    servers in the data directory. The caller holds `alone`."""
    data = settings.paths.data_dir
    with ExitStack() as stack:
        store = stack.enter_context(opened_store(settings))
        url = os.environ.get(DATABASE, "")
        database = Postgres.of(url) if url else _start_postgres(data, stack)
        yield Parts(data, store, database)


def _running(settings: Settings) -> Parts:
    data, url = settings.paths.data_dir, os.environ.get(DATABASE, "")
    if not url:
        return Parts(data, ObjectStore(settings.store), None, (_no_database(data),))
    return Parts(data, ObjectStore(settings.store), Postgres.of(url))


def _is_ours(data: Path, known: dict[str, str]) -> bool:
    """Whether the store that the last studio used is the one in the data directory."""
    if not (data / "store" / "credentials").exists():
        return False
    own = load_credentials(data / "store").access_key
    return known.get("REELWRIGHT_S3_ACCESS_KEY", own) == own


def _database(data: Path, url: str, stack: ExitStack) -> Postgres | None:
    """The one in the data directory if the last studio used it or none was named."""
    folder = data / "studio" / "postgres"
    if (folder / "data" / "PG_VERSION").exists() and (not url or "@/" in url):
        return _start_postgres(data, stack)
    return Postgres.of(url) if url else None


def _start_postgres(data: Path, stack: ExitStack) -> Postgres:
    server = PostgresServer(make_directory(data / "studio", private=True) / "postgres")
    stack.callback(server.stop)
    server.wait()
    return Postgres.embedded(server)


def _no_database(data: Path) -> str:
    return (
        f"Prefect's database is left out: no {DATABASE} is set and none lies in {data}; set it to "
        "the server's own, or run pg_dump --format=custom where it is"
    )
