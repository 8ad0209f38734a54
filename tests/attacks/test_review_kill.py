"""Everything is killed at once, and nothing is lost."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.review import SCOPES, Target
from tests.conftest import Cli
from tests.support.studio import STAGES, Studio, processes_of, start_studio, wait_for

pytestmark = [pytest.mark.attacks, pytest.mark.xdist_group("attacks"), pytest.mark.timeout(1800)]


@pytest.fixture
def studio(operator: Cli) -> Iterator[Studio]:
    running = start_studio(operator)
    yield running
    running.stop()


def kill_everything(data: Path) -> int:
    """SIGKILL to every process that names `data`, all stopped first so that none sees another
    end. Returns how many there were."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            words = (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes()
            if folder.name.isdecimal() and str(data).encode() in words:
                found.append(int(folder.name))
    for how in (signal.SIGSTOP, signal.SIGKILL):
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, how)
    return len(found)


def test_all_processes_killed_at_once_lose_nothing(studio: Studio) -> None:
    """Published videos, keys, a run on the GPU and one that asks a person: all are there again."""
    target = Target(studio)
    done = studio.finish(studio.start(prompt="a red circle moves left", seconds=1, frames=17))
    assert done.state is not None
    assert done.state.is_completed()
    before = {item.content_id for item in studio.manifests()}
    with target.client(*SCOPES) as client:
        asks = target.waiting_run(client)
        mark = len(studio.gpu_log())
        run = studio.start(
            prompt="a yellow square moves up", seconds=4, frames=17, upscale=2, style="calm"
        )
        studio.wait_until(STAGES["chunk 2"], mark)
        assert kill_everything(studio.cli.data) >= 7
        studio.process.communicate(timeout=60)
        wait_for("everything to end", lambda: not processes_of(studio.cli.data))
        studio.process = start_studio(studio.cli).process
        found = studio.finish(run)
        assert found.state is not None
        assert found.state.is_completed(), found.state.message
        assert studio.gpu_log(mark).count("of 4: made") <= 5
        assert before < {item.content_id for item in studio.manifests()}
        assert client.get(f"/runs/{asks}").json()["state"] == "awaiting_approval"
        answer = client.post(f"/runs/{asks}/answer", json={"decision": "reject"})
        assert answer.status_code == 202, answer.text
        wait_for("its end", lambda: client.get(f"/runs/{asks}").json()["state"] == "rejected")
