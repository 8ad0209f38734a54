"""Runs a command and reports its error or interruption as one line and an exit code."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn

import typer

from infra.adapters.disk import is_full_disk
from infra.apps.console import say
from pipelines.errors import BriefError, DiskFullError, ReelwrightError

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as shells report it."""
PATIENCE = 4.0
"""Seconds that an interrupted command may take to stop its servers in order."""


class Interruption:
    """Ctrl-C, remembered: on its way up, libraries turn KeyboardInterrupt into errors of their
    own or swallow it. If the orderly way out takes too long, the process leaves without it: the
    kernel then ends its children, and nothing half-written has a final name."""

    def __init__(self) -> None:
        self.came = False

    def __call__(self, *_: object) -> None:
        self.came = True
        timer = threading.Timer(PATIENCE, self.leave)
        timer.daemon = True
        timer.start()
        raise KeyboardInterrupt

    def leave(self) -> NoReturn:
        """Say the one line and end the process."""
        say("reelwright: stopped; finished chunks are kept, give the same brief again to go on")
        os._exit(INTERRUPTED)


def run_command(command: Callable[..., Any]) -> NoReturn:
    """Run a Typer command and end the process with its exit code."""
    interruption = Interruption()
    signal.signal(signal.SIGINT, interruption)
    try:
        # Outside its standalone mode, Typer returns the code of an Exit instead of raising it.
        code = command(standalone_mode=False)
    except (typer.Abort, KeyboardInterrupt):
        interruption.leave()
    except Exception as error:
        code = INTERRUPTED if interruption.came else explain(error)
    if interruption.came:
        interruption.leave()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: background threads of libraries could hold the process for seconds.
    os._exit(code if isinstance(code, int) else 0)


def explain(error: Exception) -> int:
    """Say `error` in one line. Returns its exit code."""
    if isinstance(error, ReelwrightError):
        say(f"reelwright: {error}")
        return error.exit_code
    if isinstance(error, typer.TyperException):
        text = getattr(error, "format_message", error.__str__)()
        say(f"reelwright: {text} Run with --help to see what is offered.")
        return BriefError.exit_code
    if is_full_disk(error):
        say(f"reelwright: the disk is full ({error}); finished chunks are kept: free some room")
        return DiskFullError.exit_code
    logging.getLogger("reelwright").exception("unexpected error", exc_info=error)
    say(f"reelwright: unexpected {type(error).__name__}: {error}; the log has the details")
    return 1
