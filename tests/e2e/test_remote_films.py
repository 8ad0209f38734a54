"""Films that a server makes, in runs that a worker executes. Prefect's server, the worker and its
processes are the real ones."""

from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest
import yaml
from prefect.states import Cancelling

from flows.produce_content import produce_content
from pipelines.media.ffmpeg import Ffmpeg
from tests.conftest import Cli
from tests.infra.test_warm_worker import PATIENCE, Pool
from tests.infra.test_warm_worker import with_pool as with_pool
from tests.support.fake_videos import FakeVideos, fake_videos

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
ENTRY = {
    "name": "box-2",
    "kind": "videos",
    "dialect": "vllm-omni",
    "model": "Wan2.2-TI2V-5B",
    "fps": 16,
    "sizes": ["64x48"],
    "frames": 17,
    "max_frames": 81,
}


@pytest.fixture
def server(
    cli: Cli, ffmpeg: Ffmpeg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FakeVideos]:
    """A server, which the operator's file names to the worker's processes."""
    with fake_videos("vllm-omni", ffmpeg, tmp_path) as fake:
        path = tmp_path / "backends.yaml"
        path.write_text(yaml.safe_dump({"backends": [ENTRY | {"address": fake.url}]}))
        for name, value in (cli.env | {"REELWRIGHT_BACKENDS": str(path)}).items():
            if name.startswith("REELWRIGHT_"):
                monkeypatch.setenv(name, value)
        yield fake


def test_a_person_who_cancels_a_run_stops_its_job_on_the_server(
    with_pool: Callable[..., None], server: FakeVideos
) -> None:
    server.outcomes = ["endless"]
    brief = {"prompt": "a red fox", "preset": "box_2", "seconds": 1, "enhance": False}

    async def work(pool: Pool) -> None:
        run = await pool.start(produce_content, brief=brief)
        with anyio.fail_after(PATIENCE):
            while not any(job.looks for job in server.jobs.values()):
                await anyio.sleep(0.1)
        (job,) = server.jobs
        await pool.client.set_flow_run_state(run, Cancelling())
        assert (await pool.ended(run)).startswith("CANCELLED")
        assert server.deleted == [job]
        assert len(server.sent) == 1

    with_pool(work)
