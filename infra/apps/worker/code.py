"""A fingerprint of the code on disk, and the import of all code that a run may need."""

import importlib
import sys
from pathlib import Path

from pipelines.backends.registry import definitions
from pipelines.schema.plan import digest_of

_ROOT = Path(__file__).parents[3]
_LIBRARIES = ("torch", "spandrel")
"""Libraries that the stages load when they need them, beside those of the backends."""
_ENGINE = ("prefect.engine", "prefect.flow_engine", "prefect.task_engine")
"""Modules of Prefect that only a run imports."""
_ROOMS = ("flows", "tasks", "pipelines", "infra")


def fingerprint() -> str:
    """A digest of the names, sizes and times of our source files and of the folder of installed
    packages: it changes when one of them does."""
    files = [path for room in _ROOMS for path in (_ROOT / room).rglob("*.py")]
    states = {
        str(path.relative_to(_ROOT)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in files
    }
    packages = Path(sys.prefix) / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    states["packages"] = (0, (packages / "site-packages").stat().st_mtime_ns)
    return digest_of(states)[:12]


def import_flows() -> None:
    """Import every module that a run without a device may need: the flows and what they use,
    without torch and the models' own modules."""
    for room in ("flows", "tasks"):
        _import_room(room)
    for module in _ENGINE:
        importlib.import_module(module)


def import_everything() -> None:
    """Import every module that a run may need.

    A process that did so never mixes two versions of the code, even if an upgrade replaces the
    files while it runs.
    """
    import_flows()
    _import_room("pipelines")
    for library in _LIBRARIES:
        importlib.import_module(library)
    for backend in definitions().values():
        for library, names in backend.libraries.items():
            loaded = importlib.import_module(library)
            for name in names:
                getattr(loaded, name)


def _import_room(room: str) -> None:
    for path in sorted((_ROOT / room).rglob("*.py")):
        parts = path.relative_to(_ROOT).with_suffix("").parts
        if "training" in parts or path.name.startswith("_"):
            continue
        importlib.import_module(".".join(parts))
