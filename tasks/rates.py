"""How fast this machine is with each backend, kept in its data directory for the next estimate."""

from pathlib import Path

from pydantic import ValidationError

from infra.adapters import disk
from infra.adapters.settings import Settings
from pipelines.backends.base import BackendDefinition
from pipelines.planning.estimate import default_rates
from pipelines.planning.rates import Rates


def kept_rates(settings: Settings, backend: BackendDefinition, device: str) -> Rates:
    """The rates that were measured here; without any, those that the backend starts with.

    `device` is `cpu`, `cuda` or `remote`.
    """
    try:
        return Rates.model_validate_json(_path(settings, backend, device).read_bytes())
    except (OSError, ValidationError):
        return default_rates(backend, device)


def keep_rates(settings: Settings, backend: BackendDefinition, device: str, rates: Rates) -> None:
    """Store `rates` in place of the ones before. Raises DiskFullError or OSError."""
    path = _path(settings, backend, device)
    disk.make_directory(path.parent)
    disk.write_atomic(path, rates.model_dump_json().encode())


def _path(settings: Settings, backend: BackendDefinition, device: str) -> Path:
    return settings.paths.data_dir / "rates" / f"{backend.name}-{device}.json"
