"""Run as `python -m infra.apps.worker.child ROOM [resting]`: one flow run after another in one
process.

ROOM says what is imported first: `models` for runs that use them, `flows` for runs that only wait
and publish. Standard input brings a JSON line for each run, `{"flow_run": id, "environment": {…}}`;
standard output takes the reply, `{"code": 0, "retire": "", "rss": bytes}`. `retire` says why the
process must not execute another run; it is empty if it may. `rss` is its memory without what idle
work added. What a run prints goes to standard error. One run is the body of Prefect's own
`prefect.engine`.

While no run comes, a process for models compiles them, one shape after another; a run that comes
meanwhile waits for the shape that has begun. A `resting` one follows a process that was ended for
its silence: it leaves the device alone until its first run.
"""

import gc
import inspect
import json
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import IO, Any
from uuid import UUID

from infra.adapters.settings import Settings
from infra.apps.worker import trouble
from infra.apps.worker.code import import_everything, import_flows

_ROOMS: dict[str, Callable[[], None]] = {"models": import_everything, "flows": import_flows}

_PAUSE = 5.0
"""Seconds without a run after which idle work is done."""
_DONE = object()


@dataclass(frozen=True)
class Ended:
    """How a flow run ended in this process."""

    code: int
    """The exit code that a process of its own would have had."""
    retire: str = ""
    """Why this process must not execute another run; empty if it may."""


class IdleWork(Iterator[object]):
    """Steps to do while no run comes. Counts their memory, which is not that of a leaking run."""

    def __init__(self, steps: Iterator[object]) -> None:
        self._steps = steps
        self.added = 0
        """Bytes."""

    def __next__(self) -> object:
        before = _rss()
        try:
            return next(self._steps)
        finally:
            self.added += _rss() - before


def main() -> None:
    """Execute one flow run for each input line, until the worker closes our standard input."""
    replies = os.fdopen(os.dup(1), "w", buffering=1, encoding="ascii")
    commands = os.fdopen(os.dup(0), "r", encoding="utf-8")
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    _ROOMS[sys.argv[1]]()
    gc.freeze()  # what was imported stays, so that a collection looks at one run's objects only
    _reply(replies, {"ready": True})
    idle = IdleWork(_idle_work(sys.argv[1]))
    for command in commands_of(commands, idle, resting=sys.argv[2:] == ["resting"]):
        ended = serve(command)
        gc.collect()  # Python's own turn comes after some 150 runs, each with 0.4 MB of cycles
        _reply(
            replies,
            {"code": ended.code, "retire": ended.retire, "rss": _rss() - idle.added},
        )


def serve(command: dict[str, Any]) -> Ended:
    """Execute the run that `command` names. The process must end after a run that leaves a thread:
    it would use the device under the next run. Those of the compiler's pools wait for its work."""
    # Counted before each run, because idle work leaves threads too. Counted once at the start, they
    # would be taken for the first run's.
    before = _lasting_threads()
    ended = run_one(UUID(command["flow_run"]), command["environment"])
    if ended.retire or not _lasting_threads() - before:
        return ended
    return replace(ended, retire="a run left a thread")


def commands_of(
    stream: IO[str], idle: Iterator[object], *, resting: bool = False
) -> Iterator[dict[str, Any]]:
    """The commands of `stream`. As long as none comes for _PAUSE seconds, a step of `idle` is done;
    if the process is `resting`, only after the first command.

    The worker sends a command only after the reply to the one before, so that none is in the
    stream's buffer, where `select` would not see it.
    """
    waiting = not resting
    while True:
        while waiting and not select.select([stream], [], [], _PAUSE)[0]:
            waiting = next(idle, _DONE) is not _DONE
        line = stream.readline()
        if not line:
            return
        yield json.loads(line)
        if resting:
            waiting, resting = True, False


def _idle_work(room: str) -> Iterator[object]:
    """What the process does while no run comes."""
    if room == "flows":
        return iter(())
    from infra.apps.worker.warming import steps

    return steps(Settings.load())


def run_one(flow_run_id: UUID, environment: dict[str, str]) -> Ended:
    """Execute one flow run.

    An error of the flow is read here, because Prefect tells the exit code nothing of it: the code
    of a run whose failure the server knows is 0.
    """
    from prefect._internal import control_listener
    from prefect._internal.metrics import RunMetrics
    from prefect.engine import _drive_run_flow_result, handle_engine_signals
    from prefect.exceptions import TerminationSignal
    from prefect.flow_engine import load_flow, load_flow_run, run_flow
    from prefect.logging.handlers import APILogHandler
    from prefect.logging.loggers import flow_run_logger

    before, path, folder = dict(os.environ), sys.path[:], Path.cwd()
    os.environ.update(environment)
    raised: Exception | None = None
    stopped = ""
    signal.signal(signal.SIGTERM, _terminated)  # until the engine sets its own
    try:
        control_listener.configure_from_env()
        with handle_engine_signals(flow_run_id):
            try:
                flow_run = load_flow_run(flow_run_id=flow_run_id)
                logger = flow_run_logger(flow_run=flow_run)
                flow = load_flow(flow_run)
                with RunMetrics(flow_run, flow):
                    result = run_flow(flow, flow_run=flow_run, error_logger=logger)  # type: ignore[arg-type]
                    _drive_run_flow_result(flow, result)
            except (TerminationSignal, KeyboardInterrupt):
                stopped = "a run was stopped in it"
                raise
            except Exception as error:
                raised = error
                raise
        return Ended(0, trouble.after(None))
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
        return Ended(code, stopped or trouble.after(raised))
    except BaseException as error:
        # Nobody told us to end, so the run has not: the worker must call it crashed.
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return Ended(128 + signal.SIGTERM, "a run was ended in it")
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        control_listener.stop()
        APILogHandler().flush()  # stops the run's services once all of theirs is sent
        release_stopped_services()
        os.environ.clear()
        os.environ.update(before)
        sys.path[:] = path
        os.chdir(folder)


def release_stopped_services() -> None:
    """Let go of what Prefect keeps until the process exits: each run's stopped services, with
    their connections and a copy of the run's context, 2 MB in all. At exit they do nothing."""
    from prefect._internal.concurrency.services import _QueueServiceBase
    from prefect._internal.concurrency.threads import get_global_loop

    def is_over(hook: Any) -> bool:
        service = getattr(hook, "__self__", None)
        return isinstance(service, _QueueServiceBase) and service._stopped

    hooks: list[Any] = threading._threading_atexits  # type: ignore[attr-defined]
    hooks[:] = [hook for hook in hooks if not is_over(_called_by(hook))]
    calls = get_global_loop()._on_shutdown
    calls[:] = [call for call in calls if not is_over(call.fn)]


def _called_by(hook: Any) -> Any:
    """The function that a hook of `threading` calls. Until Python 3.12 the hook is a partial, from
    3.13 on a closure."""
    if isinstance(hook, partial):
        return hook.func
    return inspect.getclosurevars(hook).nonlocals.get("func")


def _terminated(_: int, __: FrameType | None) -> None:
    from prefect.exceptions import TerminationSignal

    raise TerminationSignal(signal=signal.SIGTERM)


def _reply(stream: IO[str], values: dict[str, Any]) -> None:
    stream.write(json.dumps(values) + "\n")


def _lasting_threads() -> set[int]:
    """Ids of the threads that keep the process from ending, without those of torch's compiler."""
    threads = {thread for thread in threading.enumerate() if not thread.daemon}
    return {thread.native_id or 0 for thread in threads - _compiler_threads()}


def _compiler_threads() -> set[threading.Thread]:
    """Of the pools that torch's compiler keeps once a run or idle work has compiled something."""
    module = sys.modules.get("torch._inductor.async_compile")
    if module is None:
        return set()
    compiler = module.AsyncCompile
    kept = [pool for pool in (compiler.pool, compiler.thread_pool) if pool.cache_info().currsize]
    return {thread for pool in kept for thread in pool()._threads}


def _rss() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
