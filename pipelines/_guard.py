"""Run as a script: die with the parent (Linux), then become the program in argv[3:].

argv[1] is the parent's pid. argv[2] is `user` for programs that refuse to run as root: they
then see an ordinary user, in a user namespace in which that user is root outside.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_CLONE_NEWUSER = 0x10000000
_ORDINARY = 1000


def leave_root() -> None:
    """Be an ordinary user in a namespace of our own, whose files are root's outside."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER) != 0:
        reason = os.strerror(ctypes.get_errno())
        sys.exit(f"this program must not run as root, and cannot leave it here ({reason})")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{_ORDINARY} 0 1"),
        ("gid_map", f"{_ORDINARY} 0 1"),
    ):
        Path("/proc/self", name).write_text(text, encoding="ascii")


if __name__ == "__main__":
    parent, who, argv = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    if sys.platform == "linux":
        if who == "user" and os.geteuid() == 0:
            leave_root()  # first: a change of user takes the next line back
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(f"the parent process {parent} is gone")
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        sys.stderr.write(f"cannot start {argv[0]}: {error.strerror}\n")
        sys.exit(127)
