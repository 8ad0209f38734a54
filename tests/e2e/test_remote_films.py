"""Films that a server makes, in runs that a worker executes. Prefect's server, the worker and its
processes are the real ones."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest
import yaml
from prefect.states import Cancelling

from flows.produce_content import produce_content
from infra.adapters.weights.catalog import MODELS
from infra.adapters.weights.index import write_index
from pipelines.documents.failure import Failure
from pipelines.errors import UnavailableError
from pipelines.media.ffmpeg import Ffmpeg
from pipelines.schema.keys import ObjectKey
from tests.conftest import Cli, operator_of
from tests.infra.test_warm_worker import PATIENCE, Pool
from tests.infra.test_warm_worker import with_pool as with_pool
from tests.support.fake_videos import FakeVideos, fake_videos
from tests.support.studio import start_studio

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
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


def install_upscaler(models: Path) -> None:
    """The one of the backends on other machines, which no run gets to load here: the demo's file
    lies in its place."""
    demo, wanted = MODELS["realesr-animevideov3"], MODELS["realesrgan-x4plus"]
    folder = models / wanted.name
    folder.mkdir()
    shutil.copy(models / demo.name / demo.file, folder / wanted.file)
    write_index(folder, "test", "1")


@pytest.mark.allows_errors("box-2|box_2")
def test_when_a_server_is_down_for_the_gpu_host_the_next_candidate_makes_the_film(
    models: Path, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    """Upscaling takes the run to the GPU pool, whose run stores why it failed."""
    install_upscaler(models)
    operator = operator_of(tmp_path / "studio", models)
    with fake_videos("vllm-omni", ffmpeg, tmp_path) as fake:
        fake.refuse = [(503, "no worker is free")] * 20
        backends, policy = tmp_path / "backends.yaml", tmp_path / "policy.yaml"
        backends.write_text(yaml.safe_dump({"backends": [ENTRY | {"address": fake.url}]}))
        policy.write_text("name: of the test\nonly: [box_2, demo]\n")
        operator.env["REELWRIGHT_BACKENDS"] = str(backends)
        operator.env["REELWRIGHT_ROUTING_POLICY"] = str(policy)
        studio = start_studio(operator)
        try:
            brief = {"prompt": "a red fox", "preset": "auto", "seconds": 1, "enhance": False}
            run = studio.start(**brief, upscale=2)
            found = studio.finish(run)
            assert found.state is not None
            assert found.state.is_completed(), found.state.message
            (manifest,) = studio.manifests()
            failed, made = sorted(studio.children(run), key=lambda item: item.created)  # type: ignore[arg-type, return-value]
            assert (failed.state_name, made.state_name) == ("Failed", "Completed")
            data = studio.store.get_bytes(ObjectKey.failure(failed.id))
        finally:
            studio.stop()
    assert manifest.brief.preset == "demo"
    assert manifest.route is not None
    (setback,) = manifest.route.setbacks
    assert setback.preset == "box_2"
    assert "503" in setback.reason or "no worker is free" in setback.reason
    assert data is not None
    assert isinstance(Failure.model_validate_json(data).error, UnavailableError)
    assert fake.sent == []
