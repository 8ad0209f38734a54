"""Child processes that end with this process, and that Ctrl-C in the terminal does not reach.

Every child runs in a session of its own, so that the terminal sends SIGINT to this process only. It
starts through `pdeathsig.py`, which asks the kernel to kill it when this process dies, even by
SIGKILL. The kernel ties that to the *thread* that started the child, so start long-lived children
from the main thread.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

_PDEATHSIG = Path(__file__).with_name("pdeathsig.py")


def with_pdeathsig(argv: Sequence[str], *, ordinary_user: bool = False) -> list[str]:
    """The command that runs `argv` until this process ends. With `ordinary_user`, root becomes
    another user."""
    who = "user" if ordinary_user else "same"
    return [sys.executable, "-I", "-S", str(_PDEATHSIG), str(os.getpid()), who, *argv]


def start_child(
    argv: Sequence[str],
    *,
    ordinary_user: bool = False,
    stdin: int | IO[Any] = subprocess.DEVNULL,
    stdout: int | IO[Any] = subprocess.DEVNULL,
    stderr: int | IO[Any] = subprocess.DEVNULL,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    umask: int = -1,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start `argv` as a child that dies with this process.

    A program that does not exist raises nothing: the child exits with code 127. `umask` -1 keeps
    the umask of this process. The child inherits the file descriptors `pass_fds`.
    """
    return subprocess.Popen(
        with_pdeathsig(argv, ordinary_user=ordinary_user),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=env,
        cwd=cwd,
        umask=umask,
        pass_fds=pass_fds,
        start_new_session=True,
    )


def stop(
    process: subprocess.Popen[bytes], grace: float, how: signal.Signals = signal.SIGTERM
) -> int:
    """Send the signal `how`, and after `grace` seconds SIGKILL to the child's whole process group.

    Returns the child's exit code.
    """
    if process.poll() is None:
        process.send_signal(how)
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
    return process.wait()
