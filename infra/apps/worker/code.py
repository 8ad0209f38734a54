"""Which code a process runs: a fingerprint of everything that decides what a run does."""

import sys
from pathlib import Path

from pipelines.schema.plan import digest_of

_ROOT = Path(__file__).parents[3]
_LAZY = {
    "torch": (),
    "spandrel": (),
    "diffusers": (
        *("WanPipeline", "WanImageToVideoPipeline", "WanVACEPipeline"),
        *("AutoencoderKLWan", "WanTransformer3DModel", "UniPCMultistepScheduler"),
    ),
    "transformers": ("UMT5EncoderModel", "AutoTokenizer"),
}
"""Libraries that the stages load when they need them; these two even only name by name."""
_ROOMS = ("flows", "tasks", "pipelines", "infra")


def fingerprint() -> str:
    """Changes when a source file or an installed package does; looks at names, sizes, times."""
    files = [path for room in _ROOMS for path in (_ROOT / room).rglob("*.py")]
    states = {
        str(path.relative_to(_ROOT)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in files
    }
    packages = Path(sys.prefix) / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    states["packages"] = (0, (packages / "site-packages").stat().st_mtime_ns)
    return digest_of(states)[:12]


def import_everything() -> None:
    """Load every module that a run may need, so that none is read after an upgrade."""
    import importlib

    for room in ("flows", "tasks", "pipelines"):
        for path in sorted((_ROOT / room).rglob("*.py")):
            parts = path.relative_to(_ROOT).with_suffix("").parts
            if "training" in parts or path.name.startswith("_"):
                continue
            importlib.import_module(".".join(parts))
    for module, names in _LAZY.items():
        loaded = importlib.import_module(module)
        for name in names:
            getattr(loaded, name)
