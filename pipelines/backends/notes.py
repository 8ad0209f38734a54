"""What a process finds out about this machine's device, kept on disk for the processes after it."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from pipelines.backends.driver import driver_version


def device_facts(packages: Iterable[str]) -> dict[str, str]:
    """The card that this process sees, its driver, and the versions of torch and of those of
    `packages` that are installed: another one of them may give another answer."""
    card = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
    facts = {"card": card, "driver": driver_version()}
    for package in ("torch", *packages):
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            continue
    return facts


class Notes:
    """Short texts as files in `folder`, each valid for the `facts` with which it was written."""

    def __init__(self, folder: Path, facts: Mapping[str, str]) -> None:
        self._folder = folder
        self._facts = dict(facts)

    def get(self, name: str) -> str | None:
        """The text kept as `name`; None if there is none, or if the file cannot be read."""
        try:
            return str(json.loads(self._path(name).read_text(encoding="utf-8"))["text"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put(self, name: str, text: str) -> None:
        """Keep `text` as `name`. Raises OSError if the file cannot be written."""
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        # Name and facts are for people who look into the file.
        values = {"name": name, "facts": self._facts, "text": text}
        part.write_text(json.dumps(values, indent=1), encoding="utf-8")
        part.replace(path)

    def _path(self, name: str) -> Path:
        key = json.dumps([name, self._facts], sort_keys=True)
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()}.json"
