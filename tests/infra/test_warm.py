"""Warm children of a worker: which run gets which process, and when a process is ended."""

import logging
import os
from pathlib import Path
from uuid import uuid4

import anyio
import anyio.abc
import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.runner._control_channel import ControlChannel
from prefect.runner._process_manager import ProcessHandle

from infra.apps.worker.children import WarmChildren
from infra.apps.worker.warm import Kind, WarmChild

FAKE = Kind("flows", program="tests.support.fake_child", code=lambda: "the code")


class Worker:
    """Runs in warm children, as a worker starts them."""

    def __init__(self, children: WarmChildren, channel: ControlChannel) -> None:
        self.children = children
        self._channel = channel

    async def begin(
        self, group: anyio.abc.TaskGroup, does: str = "", **environment: str
    ) -> ProcessHandle:
        """A run that has begun; its handle tells how it ended."""
        run = FlowRun(id=uuid4(), flow_id=uuid4())
        variables = {**os.environ, "PREFECT__FAKE": does, **environment}

        async def start(*, task_status: anyio.abc.TaskStatus[ProcessHandle]) -> None:
            await self.children.run(run, variables, self._channel, task_status)

        handle = await group.start(start)
        assert isinstance(handle, ProcessHandle)
        return handle

    async def run(self, does: str = "", **environment: str) -> ProcessHandle:
        """A run that has ended."""
        async with anyio.create_task_group() as group:
            ended = await self.begin(group, does, **environment)
        assert ended.returncode is not None
        return ended

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self.children.processes]


def with_children(limit: int, work, kind: Kind = FAKE) -> None:  # type: ignore[no-untyped-def]
    """Let `work` use a worker's children, and end them."""

    async def inside() -> None:
        children = WarmChildren(kind, limit)
        async with ControlChannel() as channel:
            try:
                await work(Worker(children, channel))
            finally:
                await children.close()
        assert not children.processes

    anyio.run(inside)


def test_runs_after_one_another_share_a_process_and_runs_at_once_do_not(tmp_path: Path) -> None:
    async def work(worker: Worker) -> None:
        first = await worker.run()
        assert (await worker.run()).pid == first.pid
        gate = tmp_path / "gate"
        async with anyio.create_task_group() as group:
            long = await worker.begin(group, f"wait {gate}")
            short = await worker.run()
            assert (long.pid, short.pid != first.pid) == (first.pid, True)
            assert (long.returncode, short.returncode) == (None, 0)
            gate.touch()
        # Now both are free, and the one that was used last goes first.
        assert (await worker.run()).pid == first.pid
        assert set(worker.pids) == {first.pid, short.pid}

    with_children(2, work)


def test_a_run_beyond_the_limit_waits_for_a_free_process(tmp_path: Path) -> None:
    async def work(worker: Worker) -> None:
        gate = tmp_path / "gate"
        async with anyio.create_task_group() as group:
            first = await worker.begin(group, f"wait {gate}")
            ended: list[ProcessHandle] = []

            async def second() -> None:
                ended.append(await worker.run())

            group.start_soon(second)
            while not worker.children.waiting:
                await anyio.sleep(0)
            assert (worker.pids, ended) == ([first.pid], [])
            gate.touch()
        assert [handle.pid for handle in ended] == [first.pid]
        assert worker.children.waiting == 0

    with_children(1, work)


def test_a_crash_ends_one_run_only(tmp_path: Path) -> None:
    async def work(worker: Worker) -> None:
        gate = tmp_path / "gate"
        async with anyio.create_task_group() as group:
            kept = await worker.begin(group, f"wait {gate}")
            lost = await worker.run("die 9")
            assert (lost.returncode, kept.returncode) == (9, None)
            gate.touch()
        assert kept.returncode == 0
        assert worker.pids == [kept.pid]

    with_children(2, work)


def test_a_cancel_ends_the_process_of_its_run_only(tmp_path: Path) -> None:
    async def work(worker: Worker) -> None:
        gate = tmp_path / "gate"
        async with anyio.create_task_group() as group:
            kept = await worker.begin(group, f"wait {gate}")
            cancelled = await worker.begin(group, "wait for ever")
            scope = cancelled.termination_scope
            assert scope is not None
            assert cancelled.pid is not None
            scope.hard_kill(cancelled.pid)
            while cancelled.returncode is None:
                await anyio.sleep(0.01)
            assert cancelled.returncode == -9
            gate.touch()
        assert (kept.returncode, worker.pids) == (0, [kept.pid])

    with_children(2, work)


def test_a_process_with_a_reason_to_retire_is_replaced_and_the_log_says_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work(worker: Worker) -> None:
        first = await worker.run("retire the device reported an error")
        assert (first.returncode, worker.pids) == (0, [])
        assert (await worker.run()).pid != first.pid
        assert f"{first.pid} retired: the device reported an error" in caplog.text

    with caplog.at_level(logging.INFO, "reelwright.worker"):
        with_children(1, work)


def test_a_process_that_grew_is_ended_after_its_run() -> None:
    async def work(worker: Worker) -> None:
        first = await worker.run()
        (kept,) = worker.children.processes
        assert (kept.pid, kept.returncode) == (first.pid, None)
        assert (await worker.run("grow")).pid == first.pid
        assert (worker.pids, kept.returncode) == ([], -9)

    with_children(1, work)


def test_a_process_of_other_code_or_another_environment_gets_no_run() -> None:
    versions = ["the code at the start"]

    async def work(worker: Worker) -> None:
        first = await worker.run()
        assert (await worker.run(PREFECT__FLOW_RUN_ID="differs from run to run")).pid == first.pid
        second = await worker.run(REELWRIGHT_DTYPE="float32")
        assert second.pid != first.pid
        versions.append("the code after an upgrade")
        third = await worker.run(REELWRIGHT_DTYPE="float32")
        assert (third.pid != second.pid, worker.pids) == (True, [third.pid])

    kind = Kind("flows", program="tests.support.fake_child", code=lambda: versions[-1])
    with_children(1, work, kind)


def test_processes_that_had_nothing_to_do_are_ended_and_one_at_work_is_not(tmp_path: Path) -> None:
    async def work(worker: Worker) -> None:
        gate = tmp_path / "gate"
        async with anyio.create_task_group() as group:
            busy = await worker.begin(group, f"wait {gate}")
            silent = await worker.run()
            assert worker.pids == [busy.pid, silent.pid]
            await worker.children.retire_idle()
            assert worker.pids == [busy.pid]
            gate.touch()
        assert busy.returncode == 0

    kind = Kind("flows", idle_seconds=0.0, program="tests.support.fake_child", code=lambda: "")
    with_children(2, work, kind)


def test_after_a_long_silence_a_process_that_leaves_the_device_alone_takes_its_place() -> None:
    """It has its imports done, and is not replaced again before it has had a run."""

    def arguments(pid: int) -> list[str]:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[-2:-1]

    async def work(worker: Worker) -> None:
        first = await worker.run()
        assert first.pid is not None
        assert arguments(first.pid) == ["models"]
        await worker.children.retire_idle()
        (rests,) = worker.pids
        assert rests != first.pid
        assert arguments(rests) == ["resting"]
        await worker.children.retire_idle()
        assert worker.pids == [rests]
        assert (await worker.run()).pid == rests
        await worker.children.retire_idle()
        assert worker.pids != [rests]

    program = "tests.support.fake_child"
    with_children(1, work, Kind("models", 0.0, rests=True, program=program, code=lambda: ""))


def test_a_worker_that_stops_waiting_ends_the_process_of_the_run() -> None:
    """Nobody would read its reply, so the next run must not get that process."""

    async def work(worker: Worker) -> None:
        with anyio.move_on_after(60) as scope:
            async with anyio.create_task_group() as group:
                await worker.begin(group, "wait for ever")
                (process,) = worker.children.processes
                scope.cancel()
        assert worker.pids == []
        assert await process.wait() == -9

    with_children(1, work)


@pytest.mark.slow
def test_the_real_process_is_retired_when_it_must_not_go_on() -> None:
    """With its imports; `versions` stands for an upgrade of the source files."""
    versions = ["the code at the start"]

    async def work() -> None:
        child = WarmChild(Kind(idle_seconds=0.0, code=lambda: versions[-1]))
        env = dict(os.environ)

        async def prepared(**changes: str) -> anyio.abc.Process:
            await child.prepare(env | changes)
            assert child.process is not None
            return child.process

        first = await prepared()
        assert await prepared(PREFECT__FLOW_RUN_ID="differs from run to run") is first
        second = await prepared(REELWRIGHT_DTYPE="float32")
        assert (second is first, first.returncode) == (False, -9)
        versions.append("the code after an upgrade")
        third = await prepared(REELWRIGHT_DTYPE="float32")
        assert (third is second, second.returncode) == (False, -9)
        await child.retire_if_idle()
        assert (child.process, third.returncode) == (None, -9)

    anyio.run(work)
