"""Killed at any stage and started again, a brief is finished; at most one chunk is made twice."""

import signal
import subprocess
import time

import psutil
import pytest

from tests.conftest import Cli

BRIEF = (
    *("make", "a red fox in the snow", "--seconds", "3", "--frames", "17"),
    *("--steps", "8", "--upscale", "4"),
)
STAGES = {
    "starting": "",
    "enhance": "progress: enhance 1/3",
    "chunk 2": "progress: chunks 1/3",
    "stitch": "progress: stitch 0/1",
    "upscale": "progress: upscale 20/48",
    "upload": "progress: upload 0/2",
}


def wait_for(cli: Cli, process: subprocess.Popen[str], words: str) -> None:
    while words not in cli.log if words else not (cli.data / "store").exists():
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


@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_run_is_finished_by_the_next(started_cli: Cli, stage: str) -> None:
    process = started_cli.start(*BRIEF)
    wait_for(started_cli, process, STAGES[stage])
    process.kill()
    process.communicate()
    assert gone(started_cli), ours(started_cli)
    before = kept_chunks(started_cli)

    again = started_cli(*BRIEF)
    assert again.code == 0, again.err
    made = 3 - before
    assert f"{made} chunks made, {before} reused" in again.out or (
        # the last chunk was stored, but the kill came before it was reported
        f"{made - 1} chunks made, {before + 1} reused" in again.out
    )
    assert gone(started_cli), ours(started_cli)
    assert list((started_cli.data / "scratch").iterdir()) == []


@pytest.mark.parametrize("stage", ["enhance", "chunk 2", "upscale"])
def test_ctrl_c_ends_with_one_line_and_nothing_behind(started_cli: Cli, stage: str) -> None:
    process = started_cli.start(*BRIEF)
    wait_for(started_cli, process, STAGES[stage])
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert err.strip().splitlines() == [
        "reelwright: stopped; finished chunks are kept, give the same brief again to go on"
    ]
    assert gone(started_cli), ours(started_cli)


def test_a_killed_runs_history_does_not_claim_to_go_on(started_cli: Cli) -> None:
    process = started_cli.start(*BRIEF)
    wait_for(started_cli, process, STAGES["chunk 2"])
    process.kill()
    process.communicate()
    assert started_cli(*BRIEF).code == 0
    database = started_cli.data / "prefect" / "prefect.db"
    import sqlite3

    with sqlite3.connect(database) as connection:
        states = dict(connection.execute("SELECT id, state_type FROM flow_run").fetchall())
    assert sorted(states.values()) == ["COMPLETED", "COMPLETED", "CRASHED", "CRASHED"]
