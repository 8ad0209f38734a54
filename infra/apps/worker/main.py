"""`reelwright worker POOL`: serve a pool until SIGTERM or Ctrl-C."""

import os
import signal
import socket
import sys

import anyio
import anyio.to_thread

from infra.adapters.device.choice import require_gpu, see_one_card
from infra.adapters.disk import exclusive, make_directory
from infra.adapters.settings import Settings
from infra.apps import environment
from infra.apps.console import say, show_log
from infra.apps.worker.authorities import load_few_authorities
from pipelines.errors import SettingsError
from pipelines.schema.names import GPU_POOL, STUDIO_POOL

_QUERY_SECONDS = {GPU_POOL: "0.4", STUDIO_POOL: "1"}
"""How often a worker asks for runs: each time costs the server about 30 ms of a core."""
_HEARTBEAT_SECONDS = "30"
"""Of a flow run: what the server's automation for dead hosts counts on."""
_RETRIES = "7"
"""Of Prefect's client: 2 + 4 + … + 128 s, for a server that is being restarted."""


def serve(pool: str, *, cold: bool, limit: int, name: str = "") -> None:
    """Run the pool's worker in this process.

    Raises SettingsError if the pool is served here already, on the same GPU, or if a GPU is
    demanded that is not there: then its runs stay in the queue.
    """
    settings = Settings.load()
    environment.require_server()
    # Prefect reads these at its import.
    os.environ.setdefault("PREFECT_WORKER_QUERY_SECONDS", _QUERY_SECONDS[pool])
    os.environ.setdefault("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", _HEARTBEAT_SECONDS)
    os.environ.setdefault("PREFECT_CLIENT_MAX_RETRIES", _RETRIES)
    # What the server says while its database is away.
    os.environ.setdefault("PREFECT_CLIENT_RETRY_EXTRA_CODES", "500")
    os.environ.setdefault("PREFECT_LOGGING_EXTRA_LOGGERS", "reelwright")
    os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")
    os.environ.setdefault("REELWRIGHT_S3_PATIENCE", f"{settings.worker.store_patience:g}")
    folder = make_directory(settings.paths.data_dir / "workers")
    load_few_authorities(folder, os.environ)
    own = worker_id(pool, settings)

    def taken() -> None:
        card = f" on GPU {settings.compute.gpu}" if pool == GPU_POOL else ""
        other = ", another --gpu" if pool == GPU_POOL else ""
        raise SettingsError(
            f"another worker of this machine serves the pool {pool}{card} with {folder.parent}; "
            f"stop it first, or give this one{other} or another REELWRIGHT_DATA_DIR"
        )

    show_log()
    with exclusive(folder / f"{own}.lock", taken):
        if pool == GPU_POOL:
            see_one_card(settings.compute, os.environ)  # inherited by every process of a run
            require_gpu(settings)
        name = name or worker_name(own)
        anyio.run(_serve, pool, cold, limit, name, settings)
    sys.stdout.flush()
    os._exit(0)  # children and threads of libraries have nothing left to say


def worker_id(pool: str, settings: Settings) -> str:
    """Tells the workers of one data directory apart: the pool, and the GPU if it is not the first.

    Without the number for GPU 0, which has the name that workers had when each host had one.
    """
    gpu = settings.compute.gpu
    return f"{pool}-gpu{gpu}" if pool == GPU_POOL and gpu else pool


def worker_name(own: str) -> str:
    """The name on the server of the worker `own` of this host, see `worker_id`. It must stay the
    same from start to start: a worker mends the runs that bear its name."""
    return f"{own}-{socket.gethostname()}"


async def _serve(pool: str, cold: bool, limit: int, name: str, settings: Settings) -> None:
    from infra.apps.worker.pool import worker_for

    idle_seconds = settings.worker.idle_seconds
    worker = worker_for(pool, name, cold=cold, limit=limit, idle_seconds=idle_seconds)
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with anyio.create_task_group() as group:
            group.start_soon(_stop_when_told, signals, worker, settings.worker.drain_seconds)
            if pool == GPU_POOL:
                group.start_soon(_tell_routers, name, settings)
            await worker.start(printer=say)


async def _tell_routers(name: str, settings: Settings) -> None:
    """Say again and again what this host has, to routers on hosts without a device."""
    from tasks.hosts import EVERY, tell

    while True:
        await anyio.to_thread.run_sync(tell, settings, name)
        await anyio.sleep(EVERY)


async def _stop_when_told(signals: object, worker: object, seconds: float) -> None:
    from infra.apps.worker.pool import StudioWorker

    assert isinstance(worker, StudioWorker)
    async for _ in signals:  # type: ignore[attr-defined]
        say(f"{worker.name} takes nothing more; {len(worker.busy)} runs may finish")
        await worker.drain(seconds)
        say(f"{worker.name} ends")
        os._exit(0)  # the kernel ends the children, which can then report nothing
