"""A hub that has the rehearsal's repositories, and a download that is cut and resumed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.adapters.weights.catalog import MODELS
from infra.adapters.weights.model import HubSource
from tests.rehearsal.weights import Written
from tests.support.fake_hub import Content, FakeHub, FileOnDisk, fake_hub

_REPOSITORY = Path(__file__).parents[2]
_BLOCK = 2**20
"""What a download writes at once: a cut before that leaves nothing to go on from."""
_PATIENCE = 600.0


@dataclass(frozen=True)
class Cut:
    """Where a download was killed, and where it went on."""

    file: str
    killed_at: int
    """Bytes on disk after the kill."""
    resumed_at: int


@contextmanager
def hub_of(
    folders: Mapping[str, Path], written: Mapping[Path, Written], *, spend: bool
) -> Iterator[FakeHub]:
    """Serve a folder for each model, by the catalog's repositories and commits."""
    repositories: dict[str, dict[str, Content]] = {}
    commits: dict[str, str] = {}
    with fake_hub({}) as hub:
        for name, folder in folders.items():
            source, files = MODELS[name].source, _contents(folder, written)
            if isinstance(source, HubSource):
                repositories[source.repository] = files
                commits[source.repository] = source.revision
            else:
                hub.others |= files
        hub.repositories, hub.commits, hub.spend = repositories, commits, spend
        hub.patience = _PATIENCE
        yield hub


def describe(folders: Mapping[str, Path], hub: FakeHub, target: Path) -> None:
    """Write for `tests.rehearsal.download` what the hub has: sizes and digests of each model."""
    models = {}
    for name in folders:
        source = MODELS[name].source
        files = hub.of(source.repository) if isinstance(source, HubSource) else hub.others
        models[name] = {
            "size": sum(_size(item) for item in files.values()),
            "sha256": {file: hub.sha256(item) for file, item in files.items()},
        }
    target.write_text(json.dumps({"url": hub.url, "models": models}))


def download(description: Path, hub: FakeHub, models: Path, words: list[str], cut: str) -> Cut:
    """Download `words` into `models`, kill the command in the middle of the file `cut`, and give
    it again. Raises RuntimeError if it does not go on, or not where it was."""
    size = next(_size(files[cut]) for files in hub.repositories.values() if cut in files)
    if size < 2 * _BLOCK:
        raise RuntimeError(f"{cut} has {size:,} bytes, too few to be cut in the middle")
    hub.hold = {cut: size // 2}
    command = [sys.executable, "-m", "tests.rehearsal.download", str(description), *words]
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "NO_PROXY": "*",
        "REELWRIGHT_MODELS_DIR": str(models),
    }
    environment.pop("HF_TOKEN", None)
    process = subprocess.Popen(command, cwd=_REPOSITORY, env=environment)
    killed_at = _killed(process, models, cut)
    hub.go_on.set()
    done = subprocess.run(command, cwd=_REPOSITORY, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"the download failed after it was cut: exit code {done.returncode}")
    starts = [start for name, start in hub.sent if name == cut]
    if len(starts) != 2 or starts[1] < killed_at:
        raise RuntimeError(f"{cut} was cut at {killed_at:,} bytes, but sent from {starts}")
    return Cut(cut, killed_at, starts[1])


def _killed(process: subprocess.Popen[bytes], models: Path, cut: str) -> int:
    """Kill the process when half of a file is there; gives the bytes that are left."""
    deadline = time.monotonic() + 3600
    while time.monotonic() < deadline:
        found = [path.stat().st_size for path in models.glob(f"*/{cut}.part")]
        if found and found[0] >= _BLOCK and _stands_still(models, cut):
            process.send_signal(signal.SIGKILL)
            process.wait(60)
            return next(path.stat().st_size for path in models.glob(f"*/{cut}.part"))
        if process.poll() is not None:
            raise RuntimeError(f"the download ended by itself, exit code {process.returncode}")
        time.sleep(0.05)
    raise RuntimeError(f"{cut} did not arrive within an hour")


def _stands_still(models: Path, cut: str) -> bool:
    """The hub holds the file at its middle: nothing more arrives."""
    sizes = []
    for _ in range(2):
        sizes += [path.stat().st_size for path in models.glob(f"*/{cut}.part")]
        time.sleep(0.3)
    return len(sizes) == 2 and sizes[0] == sizes[1]


def _contents(folder: Path, written: Mapping[Path, Written]) -> dict[str, Content]:
    """The files of a folder: those that were hashed stay on disk, the small rest is read."""
    found: dict[str, Content] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        item = written.get(path)
        name = str(path.relative_to(folder))
        found[name] = FileOnDisk(path, item.size, item.sha256) if item else path.read_bytes()
    return found


def _size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.size
