"""Processes are killed at every point of a paid job; each chunk is paid once, and the ledger right.

The service is the fake of Google's, which has a bill. Gates on the way to it and to the store hold
a request, or its answer, while the process that sent it is killed. The studio has no GPU host and
no models. Part of `make test-faults`.
"""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import psutil
import pytest
import yaml
from prefect.client.schemas.objects import FlowRun

from infra.adapters.ledger import LedgerLog
from infra.adapters.seaweed import SeaweedServer
from pipelines.costs.book import lines_of
from pipelines.costs.summary import Sum, sum_of
from pipelines.documents.manifest import Manifest
from pipelines.media.ffmpeg import Ffmpeg
from tests.conftest import Cli, operator_of
from tests.support.fake_google import KEY, FakeGoogle, fake_google
from tests.support.fake_google_clips import clip_of
from tests.support.gate import Gate
from tests.support.studio import Studio, start_studio

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("faults"), pytest.mark.timeout(900)]
PARTS = ("database", "server", "studio")
SECONDS = 3
"""Of a chunk: the shortest."""
PRICE = SECONDS * Decimal("0.07")
"""Of a chunk, in the backends file and on the bill."""
RESERVED = r"PUT /reelwright/ledger/\S+/[0-9]{8}\.json"
JOB = "PUT /reelwright/jobs/"
SUBMIT, LOOK = "POST /v1beta/interactions ", "GET /v1beta/interactions/"
FETCH = r"GET /v1beta/files/\S+:download"
CHUNK, FILM = r"PUT /reelwright/chunks/\S+\.mp4", r"PUT /reelwright/videos/\S+/video\.mp4"
MANIFEST = r"PUT /reelwright/videos/\S+/manifest\.json"


@dataclass(frozen=True)
class Point:
    """Where a process is killed."""

    server: str
    """`google` or `store`: who is sent the request that is held."""
    request: str
    skip: int = 0
    answered: bool = False
    """Whether the server has done what it was asked."""
    found: bool = True
    """Whether the next process can know of the job, or that there is none."""


POINTS = {
    "before it reserves": Point("store", RESERVED),
    "after it reserved": Point("store", RESERVED, answered=True),
    "before it claims the job": Point("store", JOB),
    "after it claimed the job": Point("store", JOB, answered=True, found=False),
    "before the job arrives": Point("google", SUBMIT, found=False),
    "after the job arrived": Point("google", SUBMIT, answered=True, found=False),
    "before it writes the id": Point("store", JOB, skip=1, found=False),
    "after it wrote the id": Point("store", JOB, skip=1, answered=True),
    "while it asks": Point("google", LOOK),
    "when the job is done": Point("google", LOOK, skip=1, answered=True),
    "before it settles": Point("store", RESERVED, skip=1),
    "after it settled": Point("store", RESERVED, skip=1, answered=True),
    "before it writes the end": Point("store", JOB, skip=2),
    "after it wrote the end": Point("store", JOB, skip=2, answered=True),
    "while it downloads": Point("google", FETCH, answered=True),
    "before it stores the chunk": Point("store", CHUNK),
    "after it stored the chunk": Point("store", CHUNK, answered=True),
    "before it stores the film": Point("store", FILM),
    "before it publishes": Point("store", MANIFEST),
}


@dataclass
class Paid:
    """A studio that pays, the service with its bill, and the gates between them."""

    studio: Studio
    google: FakeGoogle
    gates: dict[str, Gate]
    store: SeaweedServer
    backends: Path
    never_started: int = 0
    """Jobs that are in the ledger because nobody can know that they never began."""

    def start(self, words: str, chunks: int = 1, **more: Any) -> UUID:
        brief = {"preset": "omni_360p", "seconds": chunks * SECONDS, **more}
        return self.studio.start(prompt=words, **brief)

    def ledger(self) -> Sum:
        log = LedgerLog(self.studio.store, ZoneInfo("UTC"))
        return sum_of(lines_of([log.book(month) for month in log.months()]))

    def check_ledger(self) -> None:
        """It is the bill, and nothing in it waits for an end."""
        found = self.ledger()
        assert found.total == self.google.bill + self.never_started * PRICE
        assert found.reserved == 0

    def videos(self, words: str) -> list[Manifest]:
        return [item for item in self.studio.manifests() if item.brief.prompt == words]


@pytest.fixture(scope="module")
def paid(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Ffmpeg) -> Iterator[Paid]:
    folder = tmp_path_factory.mktemp("paid")
    store = SeaweedServer(folder / "store")
    store.wait()
    with fake_google() as google:
        gates = {"google": Gate(google.url.rpartition("/")[2]), "store": Gate(store.endpoint)}
        google.url = f"http://{gates['google'].endpoint}"
        google.by_second = PRICE / SECONDS
        google.clip = lambda resolution, aspect, seconds: clip_of(
            ffmpeg.executable, resolution, aspect, seconds
        )
        backends = write_backends(folder, google.url)
        operator = operator_of(folder / "studio", folder / "no models")
        operator.env |= {
            **surroundings(store, gates["store"].endpoint, backends),
            "REELWRIGHT_STUDIO_BRIEFS": "2",
        }
        studio = start_studio(operator, *(word for part in PARTS for word in ("--with", part)))
        yield Paid(studio, google, gates, store, backends)
        studio.stop()
    for gate in gates.values():
        gate.close()
    store.stop()


def surroundings(store: SeaweedServer, endpoint: str, backends: Path) -> dict[str, str]:
    """Variables of a host that reaches the store at `endpoint`."""
    return {
        "REELWRIGHT_BACKENDS": str(backends),
        "REELWRIGHT_S3_ENDPOINT": endpoint,
        "REELWRIGHT_S3_ACCESS_KEY": store.credentials.access_key,
        "REELWRIGHT_S3_SECRET_KEY": store.credentials.secret_key,
    }


def write_backends(folder: Path, address: str) -> Path:
    (folder / "google.key").write_text(KEY)
    per_second = {"360p": str(PRICE / SECONDS)}
    entry = {
        "name": "omni",
        "kind": "google-omni",
        "address": address,
        "key": f"file:{folder / 'google.key'}",
        "timeout_seconds": 300,  # an answer is held while another host starts
        "resolutions": ["360p"],
        "seconds": SECONDS,
        "prices": {"as_of": "2026-11-27", "source": "a contract", "per_second": per_second},
    }
    path = folder / "backends.yaml"
    path.write_text(yaml.safe_dump({"backends": [entry]}))
    return path


def killed_at(paid: Paid, point: Point, words: str, chunks: int = 1) -> FlowRun:
    """Start a brief, kill the process that executes it at `point`, and wait for the run's end."""
    gate = paid.gates[point.server]
    with gate.holding(point.request, answered=point.answered, skip=point.skip) as hold:
        run = paid.start(words, chunks)
        process = hold.process()
        assert process.pid in paid.studio.children_of("studio")
        kill(process)
    return paid.studio.finish(run)


def kill(process: psutil.Process) -> None:
    process.kill()
    process.wait(60)


@pytest.mark.parametrize("name", POINTS)
def test_a_kill_at_any_point_pays_for_one_job(paid: Paid, name: str) -> None:
    point, jobs, words = POINTS[name], len(paid.google.jobs), f"a fox, killed {name}"
    asked = len(paid.google.created())
    run = killed_at(paid, point, words)
    assert run.state is not None
    assert run.run_count == 2
    paid.never_started += 1 + jobs - len(paid.google.jobs)
    if point.found:
        assert run.state.is_completed(), run.state.message
        (video,) = paid.videos(words)
        assert video.clip.frames == 24 * SECONDS
        assert video.costs is not None
        assert video.costs.total.amount == PRICE
        assert len(paid.google.jobs) == jobs + 1
    else:
        check_it_says_that_the_job_is_lost(run)
        assert not paid.videos(words)
    assert len(paid.google.created()) <= asked + 1
    paid.check_ledger()


def check_it_says_that_the_job_is_lost(run: FlowRun) -> None:
    assert run.state is not None
    assert run.state.is_failed(), run.state.name
    assert "may have started a paid job that cannot be found" in (run.state.message or "")
    assert "its price stays in the ledger" in (run.state.message or "")


def test_a_lost_second_chunk_costs_once_more_and_the_first_one_nothing(paid: Paid) -> None:
    words, jobs = "a hare, lost in its second shot", len(paid.google.jobs)
    run = killed_at(paid, Point("google", SUBMIT, skip=1, answered=True), words, chunks=2)
    check_it_says_that_the_job_is_lost(run)
    assert len(paid.google.jobs) == jobs + 2
    paid.check_ledger()
    again = paid.studio.finish(paid.start(words, chunks=2))
    assert again.state is not None
    assert again.state.is_completed(), again.state.message
    (video,) = paid.videos(words)
    assert (video.clip.frames, video.run.chunks_made) == (48 * SECONDS, 1)
    assert len(paid.google.jobs) == jobs + 3
    paid.check_ledger()


def test_a_killed_worker_goes_on_with_the_job(paid: Paid) -> None:
    words, jobs = "a crane, whose worker is killed", len(paid.google.jobs)
    with paid.gates["google"].holding(LOOK) as hold:
        run = paid.start(words)
        process = hold.process()
        kill(psutil.Process(paid.studio.pid_of("studio")))
        process.wait(60)  # no process outlives its worker
    ended = paid.studio.finish(run)
    assert ended.state is not None
    assert ended.state.is_completed(), ended.state.message
    assert len(paid.videos(words)) == 1
    assert len(paid.google.jobs) == jobs + 1
    paid.check_ledger()


def test_two_hosts_with_the_same_brief_pay_once(paid: Paid, tmp_path: Path) -> None:
    """The second one comes while the first one submits: it waits, and goes on with that job."""
    words, jobs = "an owl on two hosts", len(paid.google.jobs)
    gate = Gate(paid.store.endpoint)
    other = operator_of(tmp_path / "other", tmp_path / "no models")
    other.env |= surroundings(paid.store, gate.endpoint, paid.backends)
    with paid.gates["google"].holding(SUBMIT, answered=True) as submitting:
        run = paid.start(words)
        submitting.process()
        with gate.holding("GET /reelwright/jobs/") as reading:
            second = start_make(other, words)
            reading.process()
    out, errors = second.communicate(timeout=300)
    ended = paid.studio.finish(run)
    gate.close()
    assert ended.state is not None
    assert ended.state.is_completed(), ended.state.message
    assert second.returncode == 0, errors
    assert "videos/" in out
    assert len(paid.videos(words)) == 1
    assert len(paid.google.jobs) == jobs + 1
    paid.check_ledger()


def start_make(cli: Cli, words: str) -> "subprocess.Popen[str]":
    return cli.start("make", words, "--preset", "omni_360p", "--seconds", str(SECONDS))


def test_over_ten_briefs_with_failures_the_ledger_is_the_bill(paid: Paid) -> None:
    """Of the first twelve requests five go wrong, and one clip breaks off on its way. Which brief
    meets which fault is left to chance: four run at a time."""
    google, jobs = paid.google, len(paid.google.jobs)
    google.modes = [
        *("ok", "failed", "ok", "lost", "ok", "503", "refused", "ok", "truncated-once"),
        *("failed", "ok", "ok"),
    ]
    runs = [paid.start(f"a flock of {number} starlings") for number in range(10)]
    ends = [paid.studio.finish(run) for run in runs]
    assert not google.modes
    messages = [run.state.message or "" for run in ends if run.state and run.state.is_failed()]
    assert len(messages) == 3, messages
    assert sum(run.state is not None and run.state.is_completed() for run in ends) == 7
    said = " ".join(messages)
    for words in ("refuses the content", "cannot be found", "is overloaded"):
        assert words in said
    # Ten briefs, and two failed jobs that were made again; the 503 took none.
    assert len(google.jobs) == jobs + 11
    paid.check_ledger()
    assert sum(len(paid.videos(f"a flock of {number} starlings")) for number in range(10)) == 7
