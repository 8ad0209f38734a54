"""`reelwright logs`: the last lines of the logs of the studio's parts, and those that come."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.apps.studio.log_files import SERVICES, log_file
from pipelines.errors import BriefError

_LOOK_EVERY = 0.5
"""Seconds between two looks at the files."""
_BLOCK = 65_536
Say = Callable[[str], None]


@dataclass
class _Reader:
    """A log file that is read on as it grows."""

    path: Path
    offset: int = 0
    inode: int = 0
    rest: bytes = b""
    """A line whose end is not written yet."""

    def lines(self) -> list[str]:
        """What was added since the last call. A file that was begun anew is read from its start;
        one that is not there yet has no lines."""
        try:
            with self.path.open("rb") as handle:
                inode = self.path.stat().st_ino
                if inode != self.inode or self.path.stat().st_size < self.offset:
                    self.offset, self.inode, self.rest = 0, inode, b""
                handle.seek(self.offset)
                data = handle.read()
        except OSError:
            return []
        self.offset += len(data)
        *whole, self.rest = (self.rest + data).split(b"\n")
        return [line.decode("utf-8", "backslashreplace") for line in whole]

    def begin_at_end(self) -> None:
        """Skip what is there."""
        found = self.path.stat() if self.path.exists() else None
        if found is not None:
            self.offset, self.inode = found.st_size, found.st_ino


def show_files(
    files: Mapping[str, Path], count: int, say: Say, *, follow: bool, stop: Callable[[], bool]
) -> None:
    """Say the last `count` lines of each file, and with `follow` those that come, until `stop`.

    Each line has the name of its part before it if there are several.
    """
    width = max(map(len, files), default=0)

    def put(name: str, line: str) -> None:
        say(f"{name:<{width}}  {line}" if len(files) > 1 else line)

    readers = {name: _Reader(path) for name, path in files.items()}
    for name, path in files.items():
        readers[name].begin_at_end()
        for line in last_lines(path, count):
            put(name, line)
    while follow and not stop():
        time.sleep(_LOOK_EVERY)
        for name, reader in readers.items():
            for line in reader.lines():
                put(name, line)


def last_lines(path: Path, count: int) -> list[str]:
    """The last `count` whole lines of a file; none if it is not there. Reads only its end."""
    if count <= 0 or not path.exists():
        return []
    with path.open("rb") as handle:
        begin = handle.seek(0, 2)
        data = b""
        while begin > 0 and data.count(b"\n") <= count:
            size = min(_BLOCK, begin)
            begin -= size
            handle.seek(begin)
            data = handle.read(size) + data
    text = data.decode("utf-8", "backslashreplace")
    return text.splitlines()[-count:]


def files_of(data: Path, service: str) -> dict[str, Path]:
    """The log of `service`, or without one of every part that has a log in this data directory.

    Raises BriefError for a part that there is not, or if nothing ever ran here.
    """
    if service:
        return {service: log_file(data, service)}
    files = {name: log_file(data, name) for name in SERVICES}
    found = {name: path for name, path in files.items() if path.exists()}
    if not found:
        raise BriefError(
            f"there are no logs in {data}: nothing was started there; start: reelwright up, or set "
            "REELWRIGHT_DATA_DIR"
        )
    return found
