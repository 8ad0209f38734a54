"""Run as `python -m infra.apps.worker.child`: one flow run after another in one process.

Standard input brings a JSON line for each run, `{"flow_run": id, "environment": {…}}`; standard
output takes the reply, `{"code": 0, "retire": false, "rss": bytes}`. What a run prints goes to
standard error. One run is the body of Prefect's own `prefect.engine`.
"""

import gc
import json
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import IO, Any
from uuid import UUID

from infra.apps.worker.code import import_everything


def main() -> None:
    """Execute one flow run for each input line, until the worker closes our standard input."""
    replies = os.fdopen(os.dup(1), "w", buffering=1, encoding="ascii")
    commands = os.fdopen(os.dup(0), "r", encoding="utf-8")
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    import_everything()
    gc.freeze()  # what was imported stays, so that a collection looks at one run's objects only
    _reply(replies, {"ready": True})
    threads = _lasting_threads()
    for line in commands:
        command = json.loads(line)
        code, stopped = run_one(UUID(command["flow_run"]), command["environment"])
        gc.collect()  # Python's own turn comes after some 150 runs, each with 0.4 MB of cycles
        left = _lasting_threads() - threads
        # A thread that goes on would use the device under the next run.
        _reply(replies, {"code": code, "retire": stopped or bool(left), "rss": _rss()})


def run_one(flow_run_id: UUID, environment: dict[str, str]) -> tuple[int, bool]:
    """Execute one flow run. Returns its exit code, and whether it was stopped from outside."""
    from prefect._internal import control_listener
    from prefect._internal.metrics import RunMetrics
    from prefect.engine import _drive_run_flow_result, handle_engine_signals
    from prefect.exceptions import TerminationSignal
    from prefect.flow_engine import load_flow, load_flow_run, run_flow
    from prefect.logging.handlers import APILogHandler
    from prefect.logging.loggers import flow_run_logger

    before, path, folder = dict(os.environ), sys.path[:], Path.cwd()
    os.environ.update(environment)
    stopped = False
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
                stopped = True
                raise
        return 0, stopped
    except SystemExit as end:
        return (end.code if isinstance(end.code, int) else 1), stopped
    except BaseException as error:
        # Nobody told us to end, so the run has not: the worker must call it crashed.
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 128 + signal.SIGTERM, True
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
    hooks[:] = [hook for hook in hooks if not is_over(hook.func)]
    calls = get_global_loop()._on_shutdown
    calls[:] = [call for call in calls if not is_over(call.fn)]


def _terminated(_: int, __: FrameType | None) -> None:
    from prefect.exceptions import TerminationSignal

    raise TerminationSignal(signal=signal.SIGTERM)


def _reply(stream: IO[str], values: dict[str, Any]) -> None:
    stream.write(json.dumps(values) + "\n")


def _lasting_threads() -> set[int]:
    """Ids of the threads that keep the process from ending."""
    return {thread.native_id or 0 for thread in threading.enumerate() if not thread.daemon}


def _rss() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
