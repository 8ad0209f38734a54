"""What a run gives to a backend on another machine."""

import contextlib
import time
from functools import partial
from pathlib import Path
from uuid import uuid4

from prefect.client.orchestration import get_client
from prefect.runtime import flow_run

from infra.adapters.device.memory import host_bytes
from infra.adapters.object_store import ObjectStore
from infra.adapters.remote.connection import HttpConnection
from infra.adapters.remote.journal import StoredJournal
from pipelines.backends.remote.access import Ledger, RemoteAccess
from pipelines.backends.remote.config import RemoteConfig
from pipelines.media.ffmpeg import Ffmpeg
from pipelines.media.made_elsewhere import read_clip

_process = str(uuid4())


def run_access(
    config: RemoteConfig, store: ObjectStore, ledger: Ledger, tool: Ffmpeg, folder: Path
) -> RemoteAccess:
    """What this run gives to a remote backend."""
    return RemoteAccess(
        connection=HttpConnection(config),
        journal=StoredJournal(store),
        ledger=ledger,
        read_clip=partial(read_clip, tool),
        folder=folder,
        run=owner(),
        is_cancelled=_is_cancelled,
        pause=time.sleep,
        free_memory=host_bytes,
    )


def owner() -> str:
    """Who has a job: the editor's flow run, which keeps its id when a worker starts it again; else
    this process."""
    return str(flow_run.root_flow_run_id or _process)


def _is_cancelled() -> bool:
    """Whether a person cancelled this run, or the editor's run that it is a part of: in one process
    Prefect tells only the outermost. If Prefect does not answer, nobody did."""
    with contextlib.suppress(Exception), get_client(sync_client=True) as client:
        for run in {flow_run.id, flow_run.root_flow_run_id} - {None}:
            state = client.read_flow_run(run).state
            if state and (state.is_cancelling() or state.is_cancelled()):
                return True
    return False
