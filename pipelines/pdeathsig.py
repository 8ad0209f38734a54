"""Run as a script: arranges to be killed when the parent dies (Linux), then executes argv[3:].

argv[1] is the parent's process id. argv[2] is `user` for programs that refuse to run as root. They
then run as an ordinary user of a user namespace; outside of it that user is root.
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
    """Become an ordinary user in a new user namespace. Outside of it, this user's files belong to
    root.

    Ends the process with a message if the kernel refuses that.
    """
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
            leave_root()  # first: a change of user would reset the signal of the next line
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(f"the parent process {parent} is gone")
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        sys.stderr.write(f"cannot start {argv[0]}: {error.strerror}\n")
        sys.exit(127)
