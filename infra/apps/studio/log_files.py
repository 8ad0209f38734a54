"""Where the parts of a studio write their logs."""

from collections.abc import Mapping
from pathlib import Path

from pipelines.errors import BriefError
from pipelines.schema.names import GPU_POOL, STUDIO_POOL

_PATHS: Mapping[str, str] = {
    "store": "store/weed.log",
    "database": "studio/postgres/postgres.log",
    "server": "studio/prefect/server.log",
    GPU_POOL: f"studio/logs/{GPU_POOL}.log",
    STUDIO_POOL: f"studio/logs/{STUDIO_POOL}.log",
    "gateway": "studio/logs/gateway.log",
    "make": "logs/reelwright.log",
}
SERVICES = tuple(_PATHS)
"""The parts of `reelwright up`, and `make` for the command of that name."""


def log_file(data: Path, service: str) -> Path:
    """The log of a part, in the data directory `data`; it may not be there yet.

    Raises BriefError for a part that there is not.
    """
    if service not in _PATHS:
        raise BriefError(f"there is no part {service!r}; choose of {', '.join(_PATHS)}")
    return data / _PATHS[service]
