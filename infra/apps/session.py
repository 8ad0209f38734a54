"""What one command needs around it when no studio runs: a store and a Prefect server.

Whatever the environment names is used; the rest is started here, belongs to this command and
ends with it, however it ends. One command at a time starts servers in a data directory.
"""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

from infra.adapters.disk import exclusive, make_data_directory, make_directory
from infra.adapters.object_store import ObjectStore
from infra.adapters.prefect_server import PrefectServer
from infra.adapters.seaweed import SeaweedServer
from infra.adapters.settings import Settings
from infra.apps import environment
from infra.apps.studio import upgrade

_STALE_UPLOAD = timedelta(days=1)
"""On a store that others share; on our own nobody else can be uploading."""
_LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


@contextmanager
def session(settings: Settings, say: Callable[[str], None]) -> Iterator[None]:
    """Store and Prefect API are there, and named in this process's environment.

    Raises SettingsError, ServerError, StoreError or DiskFullError.
    """
    if os.environ.get("PREFECT_API_URL"):
        environment.require_healthy_server()
    folder = make_data_directory(settings.paths.data_dir, say)
    with ExitStack() as stack:
        if not (settings.store.endpoint and os.environ.get("PREFECT_API_URL")):
            waiting = f"another reelwright uses {folder}; waiting for it to finish"
            stack.enter_context(exclusive(folder / "lock", lambda: say(waiting)))
        upgrade.check_format(folder)
        upgrade.note(folder)
        log_to_file(make_directory(folder / "logs") / "reelwright.log")
        seaweed, prefect = None, None
        if not settings.store.endpoint:
            seaweed = SeaweedServer(folder / "store")
            stack.callback(seaweed.stop)
        if not os.environ.get("PREFECT_API_URL"):
            prefect = PrefectServer(folder / "prefect")
            stack.callback(prefect.stop)
            stack.enter_context(_environment(prefect.client_env))
        say("starting")
        _import_libraries()  # seconds that the servers need anyway
        if seaweed:
            seaweed.wait()
            stack.enter_context(_environment(seaweed.variables))
        store = ObjectStore(Settings.load().store)
        store.ensure_bucket()
        store.abort_stale_uploads(timedelta(0) if seaweed else _STALE_UPLOAD)
        if prefect:
            prefect.wait()
            stack.enter_context(_own_prefect())
        yield


def log_to_file(path: Path) -> None:
    """All logging goes to `path`. Prefect leaves a root logger alone that has a handler with a
    format of its own, so this comes before its import; the terminal stays ours."""
    handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(logging.Formatter(_LOG_FORMAT))
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.INFO)
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a full disk must not fill the terminal instead


def _import_libraries() -> None:
    import prefect  # noqa: F401  (its import reads the environment that was just set)
    import torch  # noqa: F401


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _own_prefect() -> Iterator[None]:
    """Nobody watches for heartbeats here, and each flow would wait a second for its own to end.

    Runs that an earlier command left unfinished belong to nobody: say so in the history.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState
    from prefect.client.schemas.filters import FlowRunFilterStateType as StateFilter
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.sorting import FlowRunSort
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
    from prefect.states import Crashed

    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        with get_client(sync_client=True) as client:
            unfinished = FlowRunFilter(
                state=FlowRunFilterState(
                    type=StateFilter(any_=[StateType.RUNNING, StateType.PENDING])
                )
            )
            for run in client.read_flow_runs(
                flow_run_filter=unfinished, sort=FlowRunSort.ID_DESC, limit=100
            ):
                message = "The command was killed; give the same brief again to go on."
                client.set_flow_run_state(run.id, Crashed(message=message), force=True)
        yield
