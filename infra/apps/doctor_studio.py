"""What `reelwright doctor` says about the studio of this data directory."""

from infra.adapters.embedded import is_healthy
from infra.adapters.settings import Settings
from infra.apps import environment
from infra.apps.studio.processes import processes_of
from pipelines.errors import ServerError


def examine_studio(settings: Settings) -> str:
    """Whether it runs, with which parts, and whether its servers answer.

    Raises ServerError if a part of a studio that runs has ended or does not answer.
    """
    data = settings.paths.data_dir
    if not environment.is_running(settings):
        return f"none runs in {data}; start: reelwright up"
    parts = processes_of(settings)
    if not parts:
        return f"it is starting in {data}"
    known = environment.read(settings)
    gateway = f"http://127.0.0.1:{settings.studio.gateway_port}"
    gateway = gateway if environment.TOKEN in known else ""
    asked = {
        "server": f"{known['PREFECT_API_URL']}/health" if "PREFECT_API_URL" in known else "",
        "gateway": f"{gateway}/health" if gateway else "",
    }
    ended = [name for name, is_up in parts.items() if not is_up]
    silent = [name for name, url in asked.items() if url and name in parts and not is_healthy(url)]
    if ended or silent:
        faults = [
            *(f"{name} has ended" for name in ended),
            *(f"{name} is silent" for name in silent),
        ]
        first = (ended or silent)[0]
        raise ServerError(f"{', '.join(faults)}; see: reelwright logs {first}")
    where = f"; gateway {gateway}" if gateway else ""
    return f"runs: {', '.join(parts)}{where}"
