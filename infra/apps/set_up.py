"""How `make` calls pip: one line of progress instead of hundreds, and the rest in a log file.

`python -m infra.apps.set_up install …`. It runs before the project's packages are installed, so it
imports the standard library only.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

LOG = Path(os.environ.get("SET_UP_LOG") or Path(sys.prefix) / "set-up.log")
"""What pip and the compilers said, of all calls."""
_NOTABLE = 50_000_000
"""Bytes from which on a file has a line of its own where no line can be rewritten."""
_LAST_LINES = 30
"""Lines of the log that are shown if pip fails."""
_FETCHING = re.compile(r"\s*Downloading (?P<file>\S+?)(?:\s+\((?P<size>[^)]+)\))?$")
_CACHED = re.compile(r"\s*(?:Using cached|Processing) (?P<file>\S+)")
_BYTES = re.compile(r"Progress (?P<done>\d+) of (?P<total>\d+)$")
_COMPILING = re.compile(r"\s*Building wheel for (?P<name>\S+) .*: (?P<state>started|still running)")
_UNPACKING = re.compile(r"Installing collected packages: (?P<names>.+)")


class Report:
    """What is shown of pip's output.

    On a terminal it is one line that changes. Elsewhere a line is printed for each large file, each
    build, and the unpacking.
    """

    def __init__(self, *, rewrites: bool) -> None:
        self._rewrites = rewrites
        self._file, self._size = "", ""
        self._sizes: dict[str, int] = {}
        """Bytes of each file that was fetched."""
        self._reused = 0
        self._building = ("", 0.0)
        self._announced = ""

    def line(self, text: str) -> bool:
        """Take a line of pip's output. Returns whether it belongs into the log."""
        if found := _BYTES.match(text):
            self._bytes(int(found["done"]), int(found["total"]))
            return False
        if found := _FETCHING.match(text):
            self._file, self._size = _short(found["file"]), found["size"] or ""
        elif _CACHED.match(text):
            self._reused += 1
        elif found := _COMPILING.match(text):
            self._compiling(found["name"], started=found["state"] == "started")
        elif found := _UNPACKING.match(text):
            self._show(f"unpacking {len(found['names'].split(','))} packages", announce=True)
        return True

    def end(self) -> None:
        """Say how much was fetched, if anything was."""
        self._clear()
        if self._sizes:
            here = f", {self._reused} files were here" if self._reused else ""
            total = _size(sum(self._sizes.values()))
            _write(f"  fetched {len(self._sizes)} files, {total}{here}\n")

    def _bytes(self, done: int, total: int) -> None:
        self._sizes[self._file] = total
        so_far = sum(self._sizes.values()) - total + done
        if self._rewrites:
            share = f"{done * 100 // max(1, total)} %"
            self._show(f"fetching {self._file}, {_size(total)}: {share}; {_size(so_far)} in all")
        elif total >= _NOTABLE:
            self._show(f"fetching {self._file}, {_size(total)}", announce=True)

    def _compiling(self, name: str, *, started: bool) -> None:
        if started:
            self._building = (name, time.monotonic())
        minutes = int((time.monotonic() - self._building[1]) // 60)
        after = f", {minutes} min" if minutes else ""
        self._show(f"building {name}{after}", announce=True)

    def _show(self, text: str, *, announce: bool = False) -> None:
        if self._rewrites:
            _write(f"\r\x1b[K  {text}"[:100])
        elif announce and text != self._announced:
            self._announced = text
            _write(f"  {text}\n")

    def _clear(self) -> None:
        if self._rewrites:
            _write("\r\x1b[K")


def run_pip(
    arguments: Sequence[str], *, log: Path = LOG, variables: Mapping[str, str] | None = None
) -> int:
    """Run pip, whose command is the first of `arguments`, with a report on standard output.

    `variables` are set beside those of this process. Returns pip's exit code; if that is not 0, the
    last lines of its output were shown.
    """
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-color"]
    command += [arguments[0], "--progress-bar", "raw", *arguments[1:]]
    # Unbuffered, or a report of a build comes when the build has ended.
    env = os.environ | {"PYTHONUNBUFFERED": "1"} | dict(variables or {})
    report = Report(rewrites=sys.stdout.isatty())
    lines: list[str] = []
    with log.open("a", encoding="utf-8") as file:
        file.write(f"\n$ {' '.join(command)}\n")
        with subprocess.Popen(
            command,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as pip:
            assert pip.stdout is not None
            for line in pip.stdout:
                if report.line(line.rstrip("\n")):
                    file.write(line)
                    lines = [*lines[1 - _LAST_LINES :], line] if line.strip() else lines
    report.end()
    if pip.returncode:
        _write("".join(lines))
        _write(f"pip failed with code {pip.returncode}; all that it said is in {log}\n")
    return pip.returncode


def _short(file: str) -> str:
    """Name and version of a package's file, of its address or name."""
    name = file.rsplit("/", 1)[-1]
    return "-".join(name.removesuffix(".tar.gz").split("-")[:2])


def _size(count: int) -> str:
    """Bytes as people read them; a MB has 10^6 bytes."""
    if count >= 1_000_000_000:
        return f"{count / 1_000_000_000:.1f} GB"
    return f"{count / 1_000_000:.1f} MB" if count < 10_000_000 else f"{count // 1_000_000} MB"


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(run_pip(sys.argv[1:]))
