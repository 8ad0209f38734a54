"""Child processes that never outlive us, and that a Ctrl-C at the terminal does not hit.

Every child starts in a session of its own (the terminal's SIGINT goes to us alone) through
`_guard.py`, which asks the kernel to kill it when we die: also by SIGKILL. The kernel ties
that to the *thread* that started the child, so start long-lived children from the main thread.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

_GUARD = Path(__file__).with_name("_guard.py")


def guarded(argv: Sequence[str], *, ordinary_user: bool = False) -> list[str]:
    """The command that runs `argv` until this process ends; root becomes an `ordinary_user`."""
    who = "user" if ordinary_user else "same"
    return [sys.executable, "-I", "-S", str(_GUARD), str(os.getpid()), who, *argv]


def start_guarded(
    argv: Sequence[str],
    *,
    ordinary_user: bool = False,
    stdin: int | IO[Any] = subprocess.DEVNULL,
    stdout: int | IO[Any] = subprocess.DEVNULL,
    stderr: int | IO[Any] = subprocess.DEVNULL,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    umask: int = -1,
) -> subprocess.Popen[bytes]:
    """Start `argv` as a guarded child. A program that is not there exits with code 127.

    `umask` -1 keeps ours.
    """
    return subprocess.Popen(
        guarded(argv, ordinary_user=ordinary_user),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=env,
        cwd=cwd,
        umask=umask,
        start_new_session=True,
    )


def stop(
    process: subprocess.Popen[bytes], grace: float, how: signal.Signals = signal.SIGTERM
) -> int:
    """Signal `how`, then SIGKILL to the child's whole group after `grace` seconds.

    Returns its exit code.
    """
    if process.poll() is None:
        process.send_signal(how)
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
    return process.wait()
