"""CPU seconds of a studio's parts, with every process that they started, also those that ended."""

import contextlib

import psutil

from tests.support.studio import Studio

PARTS = ("server", "database", "store", "gateway", "studio", "rtx-5090")
WORK = {"GPU child": "worker.child", "enhancer": "llama_child"}
"""Processes below the GPU worker that do the work itself, by a word of their command lines."""


def seconds_of(studio: Studio) -> dict[str, float]:
    """CPU seconds since the start of each part; of the GPU worker without the processes of WORK,
    which are named by themselves."""
    found = {part: _with_children(psutil.Process(studio.pid_of(part))) for part in PARTS}
    for name, process in working(studio).items():
        with contextlib.suppress(psutil.Error):
            found[name] = _own(process)
    found["rtx-5090"] -= sum(found.get(name, 0.0) for name in WORK)
    with contextlib.suppress(psutil.Error):
        found["supervisor"] = sum(psutil.Process(studio.process.pid).cpu_times()[:2])
    return found


def working(studio: Studio) -> dict[str, psutil.Process]:
    """The processes of WORK that live."""
    found = {}
    for pid in studio.children_of("rtx-5090"):
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            words = " ".join(process.cmdline())
            name = next((name for name, word in WORK.items() if word in words), None)
            if name:
                found[name] = process
    return found


def _own(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _with_children(process: psutil.Process) -> float:
    """Of the process, of those below it, and of those that ended and were collected."""
    total = 0.0
    for item in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            total += sum(item.cpu_times()[:4])  # its own two, and those of collected children
    return total
