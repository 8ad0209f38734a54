"""Opens the object store for a command: the studio's, one that is named, or a temporary server."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from infra.adapters.disk import exclusive, make_data_directory
from infra.adapters.object_store import ObjectStore
from infra.adapters.seaweed import SeaweedServer
from infra.adapters.settings import Settings
from infra.apps import environment
from infra.apps.studio import upgrade


@contextmanager
def reached_store(say: Callable[[str], None]) -> Iterator[ObjectStore]:
    """The bucket; without a studio and without REELWRIGHT_S3_ENDPOINT, on a server that ends with
    the block. Raises SettingsError, ServerError or StoreError."""
    settings = environment.adopted()
    data = settings.paths.data_dir
    upgrade.check_format(data)
    with ExitStack() as stack:
        if not settings.store.endpoint:
            make_data_directory(data, say)
            waiting = f"another reelwright uses {data}; waiting for it to finish"
            stack.enter_context(exclusive(data / "lock", lambda: say(waiting)))
        yield stack.enter_context(opened_store(settings))


@contextmanager
def opened_store(settings: Settings) -> Iterator[ObjectStore]:
    """The bucket on the store that `settings` name, or on one of the data directory that ends with
    the block. Whoever calls it sees to it that no other starts there meanwhile."""
    with ExitStack() as stack:
        chosen = settings.store
        if not chosen.endpoint:
            server = SeaweedServer(settings.paths.data_dir / "store")
            stack.callback(server.stop)
            server.wait()
            chosen = server.settings(chosen)
        store = ObjectStore(chosen)
        store.ensure_bucket()
        yield store
