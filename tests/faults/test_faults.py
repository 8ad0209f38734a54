"""Every part of the studio is killed or stopped at every stage, and no work is lost.

`make test-faults`; FAULTS_REPORT names a file that takes one JSON line a case.
"""

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest

from tests.conftest import Cli
from tests.support.studio import STAGES, Studio, processes_of, start_studio, wait_for

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("faults"), pytest.mark.timeout(900)]

PARTS = ("child", "rtx-5090", "studio", "server", "database", "store")
CHILDREN = {
    "enhancer": ("llama_child", ("enhance",)),
    "ffmpeg": ("ffmpeg", ("chunk 2", "stitch", "upscale")),
}
CASES = [(part, stage) for part in PARTS for stage in STAGES]
CASES += [(child, stage) for child, (_, stages) in CHILDREN.items() for stage in stages]
STOPPED = 60.0


@pytest.fixture(scope="module")
def studio(operator: Cli) -> Iterator[Studio]:
    running = start_studio(operator)
    yield running
    running.stop()


def target(studio: Studio, part: str) -> psutil.Process:
    """The process to hurt, as soon as it is there."""
    if part == "child":
        return wait_for("the warm child", lambda: _below(studio, "worker.child"))  # type: ignore[no-any-return]
    if part in CHILDREN:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if found := _below(studio, CHILDREN[part][0]):
                return found
        raise AssertionError(f"no {part} was seen")
    return psutil.Process(studio.pid_of(part))


def _below(studio: Studio, word: str) -> psutil.Process | None:
    for pid in studio.children_of("rtx-5090"):
        try:
            process = psutil.Process(pid)
            if word in " ".join(process.cmdline()[:6]):
                return process
        except psutil.Error:
            continue
    return None


def hurt_at(studio: Studio, part: str, stage: str, act: Callable[[psutil.Process], None]) -> UUID:
    """Start a brief of four chunks and do `act` to `part` in `stage`."""
    mark = len(studio.gpu_log())
    run = studio.start(
        prompt=f"an orange triangle moves down {part} {stage} {act.__name__}",
        seconds=4,
        frames=17,
        upscale=2,
        style="calm",
    )
    studio.wait_until(STAGES[stage], mark)
    act(target(studio, part))
    return run


def begin(studio: Studio, label: str, stage: str) -> tuple[UUID, int]:
    """A brief of four chunks that has come to `stage`, and where its log begins."""
    mark = len(studio.gpu_log())
    run = studio.start(
        prompt=f"a yellow circle moves up {label}", seconds=4, frames=17, upscale=2, style="calm"
    )
    studio.wait_until(STAGES[stage], mark)
    return run, mark


def kill(process: psutil.Process) -> None:
    process.kill()


def stop_and_continue(process: psutil.Process) -> None:
    process.suspend()
    time.sleep(STOPPED)
    with contextlib.suppress(psutil.NoSuchProcess):  # whoever watches it had enough
        process.resume()


def check(studio: Studio, run: UUID, part: str, stage: str, act: str, mark: int) -> None:
    """What holds after every case, whatever was hurt; one line of the report."""
    brief, cause = check_it_completes(studio, run)
    check_one_video(studio, brief["prompt"], frames=64)
    made = check_chunks_are_kept(studio, mark)
    check_slots_are_free(studio)
    check_no_child_is_left(studio)
    check_no_upload_is_left(studio)
    _report(part, stage, act, cause, made)


def check_it_completes(studio: Studio, run: UUID) -> tuple[dict[str, Any], str]:
    """The run completes by itself, or fails with a reason and completes when it is started once
    more. Returns its brief and the reason, which is empty if it completed by itself."""
    found = studio.finish(run)
    assert found.state is not None
    brief, cause = found.parameters["brief"], ""
    if not found.state.is_completed():
        cause = found.state.message or ""
        assert cause, "the run failed without a reason"
        found = studio.finish(studio.start(**brief))
        assert found.state is not None
    assert found.state.is_completed(), found.state.message
    return brief, cause


def check_one_video(studio: Studio, prompt: str, frames: int) -> None:
    """One video of that brief is published, with all its frames."""
    found = [item.clip.frames for item in studio.manifests() if item.brief.prompt == prompt]
    assert found == [frames]


def check_chunks_are_kept(studio: Studio, mark: int) -> int:
    """At most one of four chunks is made a second time. Returns how many were made in all."""
    made = studio.gpu_log(mark).count("of 4: made")
    assert 4 <= made <= 5, f"{made} chunks were made for a video of 4"
    return made


def check_slots_are_free(studio: Studio) -> None:
    """No run holds a slot of a pool."""
    wait_for("the slots to be free", lambda: not _at_work(studio))


def check_no_child_is_left(studio: Studio) -> None:
    """No ffmpeg is left, and of language models only the one that waits for the next run."""
    assert _below(studio, "ffmpeg") is None
    enhancers = [item for item in processes_of(studio.cli.data) if "llama_child" in item]
    assert len(enhancers) <= 1


def check_no_upload_is_left(studio: Studio) -> None:
    """The store holds no part of an upload that was broken off."""
    assert studio.store.abort_stale_uploads(timedelta(0)) == 0


def _at_work(studio: Studio) -> list[object]:
    result = studio.cli("status", "--json")
    if result.code:
        return ["no answer"]
    return [run for pool in json.loads(result.out)["pools"] for run in pool["at_work"]]


def _report(part: str, stage: str, act: str, cause: str, made: int) -> None:
    path = os.environ.get("FAULTS_REPORT")
    if path:
        line = {"part": part, "stage": stage, "act": act, "retried": bool(cause), "made": made}
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line | {"cause": cause[:200]}) + "\n")


@pytest.mark.parametrize(("part", "stage"), CASES, ids=lambda value: str(value))
def test_a_killed_part_costs_no_work(studio: Studio, part: str, stage: str) -> None:
    mark = len(studio.gpu_log())
    run = hurt_at(studio, part, stage, kill)
    check(studio, run, part, stage, "kill", mark)


@contextlib.contextmanager
def uploading_slowly(studio: Studio, mark: int) -> Iterator[None]:
    """The store stands still from the last joining on: the upload would end before the cancel."""
    studio.wait_until(STAGES["upscale"], mark)
    studio.wait_until(STAGES["stitch"], len(studio.gpu_log()))
    store = psutil.Process(studio.pid_of("store"))
    store.suspend()
    try:
        yield
    finally:
        store.resume()


@pytest.mark.parametrize("stage", STAGES)
def test_a_cancel_ends_the_run_on_the_gpu(studio: Studio, stage: str) -> None:
    """How long that takes stands in the report; the next case needs the GPU."""
    mark = len(studio.gpu_log())
    words = f"a brief to cancel {stage}"
    run = studio.start(prompt=words, seconds=4, frames=17, upscale=2)
    with uploading_slowly(studio, mark) if stage == "upload" else contextlib.nullcontext():
        studio.wait_until(STAGES[stage], mark)
        began = time.monotonic()
        studio.cancel(run)
        (child,) = wait_for("the child", lambda: studio.children(run))
        ended = studio.finish(child.id)
        seconds = time.monotonic() - began
        parent = studio.finish(run)
    assert ended.state is not None
    assert parent.state is not None
    assert ended.state.is_cancelled()
    assert parent.state.is_cancelled()
    assert not [item for item in studio.manifests() if item.brief.prompt == words]
    wait_for("the slots to be free", lambda: not _at_work(studio))
    _report("parent", stage, f"cancel, {seconds:.1f} s", "", 0)


@pytest.mark.parametrize(("part", "stage"), CASES, ids=lambda value: str(value))
def test_a_part_that_hangs_for_a_minute_costs_no_work(
    studio: Studio, part: str, stage: str
) -> None:
    mark = len(studio.gpu_log())
    run = hurt_at(studio, part, stage, stop_and_continue)
    check(studio, run, part, stage, "stop", mark)


@pytest.mark.parametrize("stage", ["chunk 2", "upload"])
def test_both_workers_killed_at_once_cost_no_work(studio: Studio, stage: str) -> None:
    run, mark = begin(studio, f"both workers {stage}", stage)
    workers = [psutil.Process(studio.pid_of(part)) for part in ("studio", "rtx-5090")]
    for worker in workers:
        worker.kill()
    check(studio, run, "both workers", stage, "kill", mark)


@pytest.mark.parametrize("stage", ["chunk 2", "upload"])
def test_killed_processes_of_the_studio_pool_cost_no_work(studio: Studio, stage: str) -> None:
    """All that serve its runs: the one of the brief, and others that wait for a run."""
    run, mark = begin(studio, f"studio's processes {stage}", stage)
    served = [psutil.Process(pid) for pid in studio.children_of("studio")]
    assert served
    for process in served:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    check(studio, run, "studio child", stage, "kill", mark)


def test_a_database_that_is_restarted_during_the_upload_costs_no_work(studio: Studio) -> None:
    """As an upgrade of it does: in order, with every connection closed."""
    run, mark = begin(studio, "database restarted", "upload")
    psutil.Process(studio.pid_of("database")).send_signal(signal.SIGINT)
    check(studio, run, "database", "upload", "restart", mark)


@pytest.mark.parametrize("stage", ["chunk 2", "upload"])
def test_a_killed_supervisor_takes_its_parts_along_and_is_started_again(
    studio: Studio, stage: str
) -> None:
    """No part outlives it, so the next one finds ports, locks and database free, at once."""
    run, mark = begin(studio, f"supervisor {stage}", stage)
    studio.process.kill()
    studio.process.communicate(timeout=60)
    wait_for("its parts to end", lambda: not processes_of(studio.cli.data))
    studio.process = start_studio(studio.cli).process
    check(studio, run, "supervisor", stage, "kill", mark)
