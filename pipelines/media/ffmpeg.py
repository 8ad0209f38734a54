"""The one place that runs ffmpeg. ffmpeg-python builds the command line.

ffmpeg exits 0 on many a loss (a missing, empty or truncated clip), so every call runs with
`-xerror`, and callers count what came out. Its stderr goes to a file: a full pipe deadlocks.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import ffmpeg

from pipelines import processes
from pipelines.errors import DiskFullError, MediaError, SettingsError

_GLOBAL = ("-nostdin", "-hide_banner", "-loglevel", "error", "-xerror", "-y")
_PIPE_GLOBAL = _GLOBAL[1:]
_STOP_GRACE = 0.0
"""Whatever an interrupted ffmpeg has written is thrown away."""


def find_ffmpeg(override: str = "") -> "Ffmpeg":
    """The ffmpeg of `override`, else the one that imageio-ffmpeg packages.

    Raises SettingsError if there is none.
    """
    if override:
        found = shutil.which(override)
        if found is None:
            raise SettingsError(
                f"REELWRIGHT_FFMPEG={override} is not a program; name one, or unset it to use "
                "the packaged ffmpeg"
            )
        return Ffmpeg(found)
    import imageio_ffmpeg

    try:
        executable = imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise SettingsError(
            "ffmpeg is gone: the packaged one of imageio-ffmpeg is missing; reinstall it "
            "(pip install --force-reinstall imageio-ffmpeg) or set REELWRIGHT_FFMPEG"
        ) from error
    return Ffmpeg(executable)


@dataclass(frozen=True)
class Ffmpeg:
    """An ffmpeg program, by its path."""

    executable: str

    def run(self, node: Any) -> None:
        """Run the command that `node` describes. Raises MediaError with ffmpeg's own words."""
        with _stderr() as errors:
            process = self._start(node, _GLOBAL, errors)
            try:
                code = process.wait()
            finally:
                processes.stop(process, _STOP_GRACE)
            _check(code, errors)

    @contextmanager
    def feeding(self, node: Any) -> Iterator[IO[bytes]]:
        """Standard input of the running command; its exit code is checked on leaving."""
        with _stderr() as errors:
            process = self._start(node, _PIPE_GLOBAL, errors, stdin=subprocess.PIPE)
            assert process.stdin is not None
            try:
                try:
                    yield process.stdin
                    process.stdin.close()
                except BrokenPipeError as error:
                    _check(process.wait() or 1, errors, error)
                code = process.wait()
            finally:
                processes.stop(process, _STOP_GRACE)
            _check(code, errors)

    @contextmanager
    def reading(self, node: Any) -> Iterator[IO[bytes]]:
        """Standard output of the running command; its exit code is checked on leaving."""
        with _stderr() as errors:
            process = self._start(node, _GLOBAL, errors, stdout=subprocess.PIPE)
            assert process.stdout is not None
            try:
                yield process.stdout
                process.stdout.close()
                code = process.wait()
            finally:
                processes.stop(process, _STOP_GRACE)
            _check(code, errors)

    def _start(
        self,
        node: Any,
        options: tuple[str, ...],
        errors: IO[bytes],
        *,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.DEVNULL,
    ) -> subprocess.Popen[bytes]:
        argv = ffmpeg.compile(node.global_args(*options), cmd=self.executable)
        return processes.start_guarded(argv, stdin=stdin, stdout=stdout, stderr=errors)


@contextmanager
def _stderr() -> Iterator[IO[bytes]]:
    with tempfile.TemporaryFile() as errors:
        yield errors


def _check(code: int, errors: IO[bytes], cause: Exception | None = None) -> None:
    if code == 0:
        return
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    text = "; ".join(lines[-3:]) or f"exit code {code}"
    if code == 127 and text.startswith("cannot start"):
        raise SettingsError(f"ffmpeg {text}; reinstall it or set REELWRIGHT_FFMPEG") from cause
    if os.strerror(28) in text:
        raise DiskFullError(
            f"the disk is full; finished chunks are kept: free some room and run again ({text})"
        ) from cause
    raise MediaError(f"ffmpeg failed: {text}") from cause


def forced_input(path: Path, **options: Any) -> Any:
    """An input node that reads `path` as MP4 and nothing else, from local files only."""
    return ffmpeg.input(str(path.resolve()), f="mov", protocol_whitelist="file,pipe", **options)
