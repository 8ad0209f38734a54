"""The object store for a command that needs nothing else: the studio's, a named one, or our own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from infra.adapters.disk import exclusive, make_directory
from infra.adapters.object_store import ObjectStore
from infra.adapters.seaweed import SeaweedServer
from infra.adapters.settings import Settings
from infra.apps.studio import environment


@contextmanager
def reached_store(say: Callable[[str], None]) -> Iterator[ObjectStore]:
    """The bucket; without a studio and without REELWRIGHT_S3_ENDPOINT, on a server that ends with
    the block. Raises SettingsError, ServerError or StoreError."""
    settings = Settings.load()
    if environment.is_running(settings) and environment.adopt(settings):
        settings = Settings.load()
    with ExitStack() as stack:
        chosen = settings.store
        if not chosen.endpoint:
            folder = make_directory(settings.paths.data_dir)
            waiting = f"another reelwright uses {folder}; waiting for it to finish"
            stack.enter_context(exclusive(folder / "lock", lambda: say(waiting)))
            server = SeaweedServer(folder / "store")
            stack.callback(server.stop)
            server.wait()
            keys = server.credentials
            values = chosen.model_dump() | {
                "endpoint": server.endpoint,
                "access_key": keys.access_key,
                "secret_key": keys.secret_key,
                "secure": False,
            }
            chosen = type(chosen).model_validate(values)
        store = ObjectStore(chosen)
        store.ensure_bucket()
        yield store
