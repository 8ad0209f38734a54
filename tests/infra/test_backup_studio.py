"""A studio is saved while it works, and goes on in an empty directory on other ports."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun

from infra.adapters.databases import Postgres
from infra.adapters.postgres import PostgresServer
from pipelines.schema.keys import ObjectKey
from tests.conftest import Cli, operator_of
from tests.support.studio import STAGES, Studio, start_studio, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("backup-studio"),
    pytest.mark.timeout(900),
]
MARK = ObjectKey("calendar/marks/once.json")


def gateway(studio: Studio, key: str) -> httpx.Client:
    port = studio.cli.env["REELWRIGHT_STUDIO_GATEWAY_PORT"]
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60)


def put_calendar(studio: Studio, folder: Path, moment: datetime) -> None:
    """One entry, due at that moment and made up for if nobody was there."""
    file = folder / "calendar.yaml"
    file.write_text(
        f"entries: [{{name: once, dates: ['{moment:%Y-%m-%dT%H:%M:%S}'], missed: all, "
        "brief: {prompt: a blue square moves up, seconds: 1, preset: demo, enhance: false}}]"
    )
    done = studio.cli("calendar", "put", str(file))
    assert done.code == 0, done.err


def seen_by(studio: Studio) -> datetime | None:
    data = studio.store.get_bytes(MARK)
    return datetime.fromisoformat(json.loads(data)["seen"]) if data else None


def runs_of_entry(studio: Studio) -> list[FlowRun]:
    with studio.client() as client:
        theirs = FlowRunFilterTags(all_=["calendar:once"])
        return client.read_flow_runs(flow_run_filter=FlowRunFilter(tags=theirs))


def make(studio: Studio, **brief: Any) -> UUID:
    run = studio.start(preset="demo", enhance=False, **brief)
    ended = studio.finish(run)
    assert ended.state is not None
    assert ended.state.is_completed(), ended.state.message
    return run


@pytest.fixture
def used(operator: Cli, tmp_path: Path) -> Iterator[Studio]:
    """A studio with a video, an entry of the calendar that was started, and its mark before it."""
    studio = start_studio(operator)
    try:
        put_calendar(studio, tmp_path, datetime.now(UTC) + timedelta(days=300))
        make(studio, prompt="a red circle moves right", seconds=1)
        first = wait_for("the first look at the calendar", lambda: seen_by(studio))
        before = studio.store.get_bytes(MARK)
        assert before is not None
        put_calendar(studio, tmp_path, first + timedelta(seconds=2))
        (run,) = wait_for("the entry's run", lambda: runs_of_entry(studio))
        studio.finish(run.id)
        # As a backup finds it that reads the mark just before the entry is started.
        studio.store.put_bytes(MARK, before, "application/json")
        yield studio
    finally:
        studio.stop()


def states(data: Path) -> dict[str, int]:
    """How many flow runs the restored history has in each state."""
    server = PostgresServer(data / "studio" / "postgres")
    server.wait()
    try:
        said = Postgres.embedded(server).ask(
            "select state_type, count(*) from flow_run group by state_type"
        )
    finally:
        server.stop()
    return {line.split("|")[0]: int(line.split("|")[1]) for line in said.splitlines()}


def test_a_studio_that_works_is_saved_and_goes_on(
    used: Studio, tmp_path: Path, demo_models: Path
) -> None:
    key = used.cli("keys", "add", "editor").out.strip()
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse battery staple\n")
    mark = len(used.gpu_log())
    brief = {"prompt": "a green triangle moves left", "preset": "demo", "enhance": False}
    run = used.start(**brief, seconds=12, frames=17, upscale=2)
    used.wait_until(STAGES["chunk 2"].replace("/4", "/12"), mark)
    options = ["--passphrase-file", str(secret), "--json"]
    saved = used.cli("backup", str(tmp_path / "backup"), *options)
    assert saved.code == 0, saved.err
    with gateway(used, key) as client:
        gallery = client.get("/videos").json()
    assert len(gallery) == 2, "the run was over before the backup"
    used.stop()

    cli = operator_of(tmp_path / "restored", demo_models)
    done = cli("restore", str(tmp_path / "backup"), *options)
    assert done.code == 0, done.err
    assert json.loads(done.out)["runs"] >= 2  # the brief and its run on the GPU host
    assert not {"RUNNING", "PENDING", "CANCELLING"} & states(cli.data).keys()
    again = cli("restore", str(tmp_path / "backup"), *options)
    assert "is not empty" in again.err

    studio = start_studio(cli)
    try:
        before = datetime.now(UTC)
        assert (
            studio.variables["PREFECT_API_AUTH_STRING"]
            == (used.variables["PREFECT_API_AUTH_STRING"])
        )
        with gateway(studio, key) as client:
            assert [item for item in client.get("/videos").json() if item in gallery] == gallery
            ended = studio.finish(run)
            assert ended.state is not None
            assert ended.state.is_completed(), ended.state.message
            # The list follows a publication a moment later.
            more = len(gallery) + 1
            wait_for("the new video", lambda: len(client.get("/videos").json()) == more)
        wait_for("a look at the calendar", lambda: (seen_by(studio) or before) > before)
        assert len(runs_of_entry(studio)) == 1
        for manifest in studio.manifests():
            for item in manifest.objects:
                studio.store.verify(item)
    finally:
        studio.stop()
