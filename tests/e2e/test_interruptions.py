"""Killed at any stage and started again, a brief is finished; at most one chunk is made twice."""

import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from infra.adapters.object_store import ObjectStore
from tests.conftest import Cli, slow

BRIEF = (
    *("make", "a red fox in the snow", "--seconds", "3", "--frames", "17"),
    *("--steps", "8", "--upscale", "2"),
)
STAGES = {
    "starting": "",
    "enhance": "progress: enhance 1/3",
    "chunk 2": "progress: chunks 1/3",
    "stitch": "progress: stitch 0/1",
    "upscale": "progress: upscale 20/48",
    "upload": "progress: upload 0/3",
}


def wait_for(cli: Cli, process: subprocess.Popen[str], words: str) -> None:
    while words not in cli.log if words else not (cli.data / "store" / "data").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def ours(cli: Cli) -> list[psutil.Process]:
    """Living processes of this test: all carry its data directory in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            mine = str(cli.data) in " ".join(process.environ().values())
            if mine and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def gone(cli: Cli) -> bool:
    deadline = time.monotonic() + 30
    while ours(cli):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def kept_chunks(cli: Cli) -> int:
    return cli.log.count(": made")


def kill_at(cli: Cli, stage: str, *brief: str) -> int:
    """Start `brief`, kill it at `stage`. Returns the chunks that it had reported as stored."""
    process = cli.start(*brief)
    wait_for(cli, process, STAGES[stage])
    process.kill()
    process.communicate()
    assert gone(cli), ours(cli)
    return kept_chunks(cli)


def finish(cli: Cli, before: int, *brief: str) -> None:
    """The same brief again: completes, remakes at most the chunk in hand, leaves nothing."""
    again = cli(*brief)
    assert again.code == 0, again.err
    made = 3 - before
    assert f"{made} chunks made, {before} reused" in again.out or (
        # the chunk was stored, but the kill came before that was reported
        f"{made - 1} chunks made, {before + 1} reused" in again.out
    )
    assert gone(cli), ours(cli)
    assert list((cli.data / "scratch").glob("run-*")) == []


@pytest.mark.parametrize("stage", [slow("starting"), slow("chunk 2"), slow("upscale")])
def test_a_killed_run_is_finished_by_the_next(started_cli: Cli, stage: str) -> None:
    """With servers of its own, which die with it."""
    brief = (*BRIEF, "--no-enhance")
    before = kill_at(started_cli, stage, *brief)
    finish(started_cli, before, *brief)
    with sqlite3.connect(started_cli.data / "prefect" / "prefect.db") as connection:
        states = {state for (state,) in connection.execute("SELECT state_type FROM flow_run")}
    assert states <= {"COMPLETED", "CRASHED"}  # the history does not claim that it goes on


@pytest.mark.parametrize("stage", [slow("enhance"), slow("stitch"), "upload"])
def test_a_killed_run_of_shared_servers_is_finished_by_the_next(
    cli: Cli, store: ObjectStore, stage: str
) -> None:
    brief = BRIEF if stage == "enhance" else (*BRIEF, "--no-enhance")
    before = kill_at(cli, stage, *brief)
    assert [key for key in store.list_keys("videos/") if key.endswith("manifest.json")] == []
    finish(cli, before, *brief)


def interrupt_at(cli: Cli, stage: str) -> None:
    process = cli.start(*BRIEF)
    wait_for(cli, process, STAGES[stage])
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert err.strip().splitlines() == [
        "reelwright: stopped; finished chunks are kept, give the same brief again to go on"
    ]
    assert gone(cli), ours(cli)


@pytest.mark.allows_errors("aborted by an interrupt signal")  # if Prefect is quick enough
@pytest.mark.slow
def test_ctrl_c_ends_with_one_line_and_no_server_left(started_cli: Cli) -> None:
    interrupt_at(started_cli, "chunk 2")


@pytest.mark.allows_errors("aborted by an interrupt signal")  # if Prefect is quick enough
@pytest.mark.parametrize("stage", ["enhance", slow("upscale")])
def test_ctrl_c_ends_with_one_line_at_any_stage(cli: Cli, stage: str) -> None:
    interrupt_at(cli, stage)


def test_ctrl_c_cannot_be_swallowed(tmp_path: Path) -> None:
    """A library that turns the interruption into an error of its own, and one that hangs."""
    script = """
import sys, time, typer
from infra.apps import cli_errors
cli_errors.PATIENCE = 0.5
def command(standalone_mode):
    print("ready", flush=True)
    try:
        time.sleep(600)
    except KeyboardInterrupt:
        if sys.argv[1] == "hang":
            time.sleep(600)
        raise RuntimeError("something else")
cli_errors.run_command(command)
"""
    for way in ("turn", "hang"):
        process = subprocess.Popen(
            [sys.executable, "-c", script, way],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert (process.returncode, len(err.strip().splitlines())) == (130, 1)
