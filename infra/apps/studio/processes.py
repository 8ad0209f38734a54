"""Which parts of a studio `reelwright up` has started, and whether their processes live."""

import json
from pathlib import Path

from infra.adapters.settings import Settings


def processes_of(settings: Settings) -> dict[str, bool]:
    """Whether the process of each part lives, by its name; empty if no studio was started here."""
    try:
        text = (settings.paths.data_dir / "studio" / "running.json").read_text(encoding="utf-8")
    except OSError:
        return {}
    return {name: Path(f"/proc/{pid}").exists() for name, pid in json.loads(text).items()}
