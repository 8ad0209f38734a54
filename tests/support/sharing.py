"""One server for all workers of the suite: the first that needs it starts it."""

import fcntl
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

Started = tuple[dict[str, str], Callable[[], None]]
"""How to reach the server, and how to stop it."""


def common_folder(factory: pytest.TempPathFactory, worker: str) -> Path:
    """A temporary directory that all workers of this run see."""
    base = factory.getbasetemp()
    return base if worker == "master" else base.parent


@contextmanager
def shared(folder: Path, start: Callable[[], Started]) -> Iterator[dict[str, str]]:
    """The address of the server in `folder`; whoever started it stops it after the last user.

    Every user holds a shared lock, which the kernel takes back from a worker that dies.
    """
    folder.mkdir(parents=True, exist_ok=True)
    address = folder / "address.json"
    with (folder / "users").open("w") as users:
        stop = None
        with FileLock(folder / "start.lock"):
            fcntl.flock(users, fcntl.LOCK_SH)
            if not address.exists():
                values, stop = start()
                address.write_text(json.dumps(values))
        try:
            yield json.loads(address.read_text())
        finally:
            if stop is not None:
                with FileLock(folder / "start.lock"):
                    fcntl.flock(users, fcntl.LOCK_EX)
                    address.unlink()
                    stop()
