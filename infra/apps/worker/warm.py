"""One child that executes one flow run after another, as a starter for Prefect's executor.

It keeps its imports and, on the GPU host, the loaded models between runs. A crash or a cancel ends
the child and nothing else; the next run gets a new one. So does a run after the code, the
environment or the child's memory changed, after an error that the device may remember, or after a
long silence: then it holds the device for nobody. `children.py` has several of them.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import anyio
import anyio.abc
from prefect.runner._process_manager import ProcessHandle
from prefect.utilities.processutils import sanitize_subprocess_env

from infra.apps.worker.code import fingerprint
from pipelines import processes
from pipelines.schema.plan import digest_of

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun
    from prefect.runner._control_channel import ControlChannel

_PRIVATE = "PREFECT__"
"""Prefix of the variables that differ from run to run."""
WARM_PROGRAM = "infra.apps.worker.child"
"""The module that the child runs; its docstring states the protocol."""


@dataclass
class Attempt:
    """One run in the child, as Prefect's process manager sees a process."""

    pid: int
    returncode: int | None = None

    def signal(self, how: signal.Signals) -> None:
        if self.returncode is None:
            os.kill(self.pid, how)


class AttemptScope:
    """Limits a cancel to the attempt: the child lives on after it, so its pid does not tell
    whether the attempt has ended."""

    wait_after_graceful_kill = True

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    def is_alive(self, _: int) -> bool:
        return self._attempt.returncode is None

    def graceful_kill(self, _: int) -> None:
        self._attempt.signal(signal.SIGTERM)

    def hard_kill(self, _: int) -> None:
        self._attempt.signal(signal.SIGKILL)

    def close(self) -> None:
        """Do nothing: the scope holds no resource."""


@dataclass(frozen=True)
class Kind:
    """What a child is for."""

    room: Literal["models", "flows"] = "models"
    """What it imports first; `child.py` explains it."""
    idle_seconds: float = 900.0
    """Silence after which it is ended."""
    rests: bool = False
    """Whether another one takes its place then, which has its imports done and leaves the device
    alone until its first run. It is not ended for its silence."""
    max_growth: int = 2_000_000_000
    """Bytes by which its memory may exceed what it was after its first run."""
    program: str = WARM_PROGRAM
    code: Callable[[], str] = fingerprint
    """A fingerprint of the code on disk: a child that was started with another one is replaced
    before the next run."""


class WarmChild:
    """The child process. All methods belong to the worker's event loop."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._process: anyio.abc.Process | None = None
        self._lines: Any = None
        self._key = ""
        self._shared: dict[str, str | None] = {}
        self._first_rss = 0
        self._used = time.monotonic()
        self._resting = False
        self._busy = anyio.Lock()
        self._log = logging.getLogger("reelwright.worker")

    @property
    def process(self) -> anyio.abc.Process | None:
        """The process that the next run would use; None if one would have to be started."""
        return self._process

    async def run(
        self,
        flow_run: "FlowRun",
        environment: Mapping[str, str | None],
        channel: "ControlChannel",
        task_status: anyio.abc.TaskStatus[ProcessHandle],
    ) -> None:
        """Send the run to the child and wait for its reply, or for the child's end.

        Raises RuntimeError if the child ends while it starts.
        """
        async with self._busy:
            process = await self._ready(environment)
            port, token = channel.register(flow_run.id)
            own = {k: v for k, v in environment.items() if k.startswith(_PRIVATE) and v is not None}
            own |= {
                "PREFECT__FLOW_RUN_ID": str(flow_run.id),
                "PREFECT__ENABLE_CANCELLATION_AND_CRASHED_HOOKS": "false",
                "PREFECT__CONTROL_PORT": str(port),
                "PREFECT__CONTROL_TOKEN": token,
            }
            attempt = Attempt(process.pid)
            self._resting = False
            await self._send(process, {"flow_run": str(flow_run.id), "environment": own})
            scope = AttemptScope(attempt)
            task_status.started(ProcessHandle(attempt, termination_scope=scope))  # type: ignore[arg-type]
            try:
                attempt.returncode = await self._finish(process)
            except BaseException:  # the worker ends, or an answer was no JSON
                with anyio.CancelScope(shield=True):
                    # Nobody may take it for one that waits for a run.
                    await self._retire("nobody waits for its run")
                raise
            self._used = time.monotonic()

    async def prepare(self, environment: Mapping[str, str | None]) -> None:
        """Start the child before the first run needs it."""
        async with self._busy:
            await self._ready(environment)

    async def retire_if_idle(self) -> None:
        """End a child that had nothing to do for its kind's `idle_seconds`, which frees what it
        holds: memory, the device."""
        if self._busy.locked() or self._process is None or self._resting:
            return
        if time.monotonic() - self._used > self._kind.idle_seconds:
            async with self._busy:
                await self._retire("it was idle")
                if not self._kind.rests:
                    return
                try:
                    await self._ready(self._shared, resting=True)
                except RuntimeError as error:
                    self._log.warning("%s; the next run starts another one", error)

    async def close(self) -> None:
        """End the child."""
        await self._retire("the worker ends")

    async def _ready(
        self, environment: Mapping[str, str | None], *, resting: bool = False
    ) -> anyio.abc.Process:
        shared = {k: v for k, v in environment.items() if not k.startswith(_PRIVATE)}
        key = digest_of([self._kind.code(), sorted((k, v or "") for k, v in shared.items())])
        if self._process and self._process.returncode is not None:
            await self._retire("it ended")
        if self._process and key != self._key:
            changed = {k for k in {*shared, *self._shared} if shared.get(k) != self._shared.get(k)}
            what = ", ".join(sorted(changed)) or "the code"
            await self._retire(f"{what} changed")
        if self._process is None:
            self._key, self._shared, self._first_rss = key, shared, 0
            self._resting = resting
            argv = [sys.executable, "-m", self._kind.program, self._kind.room]
            self._process = await anyio.open_process(
                processes.with_pdeathsig([*argv, "resting"] if resting else argv),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=None,
                env=sanitize_subprocess_env(shared),
                start_new_session=True,
            )
            self._lines = _Lines(self._process)
            if await self._lines.next() is None:
                code = await self._process.wait()
                self._process = None
                raise RuntimeError(f"the warm process ended with code {code} while starting")
            self._log.info("warm process %s started", self._process.pid)
        return self._process

    async def _finish(self, process: anyio.abc.Process) -> int:
        reply = await self._lines.next()
        if reply is None:
            code = await process.wait()
            self._process = None
            return code or 1
        self._first_rss = self._first_rss or reply["rss"]
        if reply["retire"]:
            await self._retire(reply["retire"])
        elif reply["rss"] > self._first_rss + self._kind.max_growth:
            await self._retire(f"it grew to {reply['rss'] / 1e9:.1f} GB")
        return int(reply["code"])

    async def _send(self, process: anyio.abc.Process, values: dict[str, Any]) -> None:
        assert process.stdin is not None
        await process.stdin.send(json.dumps(values).encode() + b"\n")

    async def _retire(self, reason: str) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        self._log.info("warm process %s retired: %s", process.pid, reason)
        if process.returncode is None:
            process.kill()  # it holds nothing but models
        await process.wait()


class _Lines:
    """JSON lines from a process."""

    def __init__(self, process: anyio.abc.Process) -> None:
        self._stream = process.stdout
        self._buffer = b""

    async def next(self) -> dict[str, Any] | None:
        """The next line; None when the process has closed its end."""
        assert self._stream is not None
        while b"\n" not in self._buffer:
            try:
                self._buffer += await self._stream.receive()
            except (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
                return None
        line, _, self._buffer = self._buffer.partition(b"\n")
        values: dict[str, Any] = json.loads(line)
        return values
