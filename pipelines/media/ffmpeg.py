"""The only module that runs ffmpeg. ffmpeg-python builds the command lines.

ffmpeg exits with 0 after many kinds of loss (a missing, empty or truncated clip). So every call
uses `-xerror`, and callers count what was written. stderr goes to a file, because a full pipe would
block ffmpeg.
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
"""Seconds. The output of an interrupted ffmpeg is discarded, so it is killed at once."""


def find_ffmpeg(override: str = "") -> "Ffmpeg":
    """The program `override`, or else the ffmpeg that imageio-ffmpeg contains.

    Raises SettingsError if there is no such program.
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
    """An ffmpeg program."""

    executable: str

    def run(self, node: Any) -> None:
        """Run the command that `node` describes, until it ends.

        Raises MediaError with ffmpeg's message if it fails, DiskFullError if the disk is full, and
        SettingsError if the program does not start.
        """
        with _stderr() as errors:
            process = self._start(node, _GLOBAL, errors)
            try:
                code = process.wait()
            finally:
                processes.stop(process, _STOP_GRACE)
            _check(code, errors)

    @contextmanager
    def feeding(self, node: Any) -> Iterator[IO[bytes]]:
        """Start the command and yield its standard input. The exit waits for its end, and raises as
        `run`."""
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
        """Start the command and yield its standard output. The exit waits for its end, and raises
        as `run`."""
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
        return processes.start_child(argv, stdin=stdin, stdout=stdout, stderr=errors)


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
    """An input node that reads `path` as MP4 only, and local files only."""
    return ffmpeg.input(str(path.resolve()), f="mov", protocol_whitelist="file,pipe", **options)


FOREIGN_FORMATS = "mov,matroska,avi,mpegts,mpeg,flv,asf,ogg,gif"
"""Containers that hold their own pictures and sound. Other formats, such as HLS, DASH, SDP and
ffconcat, are lists of files and addresses: a file from outside could make ffmpeg open these."""


def foreign_input(path: Path, **options: Any) -> Any:
    """An input node for a video from outside. It reads FOREIGN_FORMATS only, and local files
    only."""
    return ffmpeg.input(
        str(path.resolve()),
        format_whitelist=FOREIGN_FORMATS,
        protocol_whitelist="file,pipe",
        **options,
    )
