"""The whole studio on one machine, as its operator and its editors meet it."""

import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx
import psutil
import pytest
from prefect.exceptions import PrefectHTTPStatusError
from prometheus_client.parser import text_string_to_metric_families

from pipelines.documents.manifest import Film, Manifest
from pipelines.schema.keys import ObjectKey
from reelwright.client import Client
from tasks.discard import is_there
from tests.conftest import operator_of
from tests.support.dashboard import missing, queries, series_of
from tests.support.prometheus import BINARY, prometheus
from tests.support.studio import Studio, descendants, processes_of, start_studio, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("studio"), pytest.mark.timeout(1800)]

RED = "a red ball moves to the right over a dark blue background"


@pytest.fixture(scope="module", params=["warm", "cold"])
def studio(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, demo_models: Path
) -> Iterator[Studio]:
    """Everything holds with our warm worker and with one process a run."""
    folder = tmp_path_factory.mktemp(request.param)
    folder.chmod(0o755)  # as an older version made it
    operator = operator_of(folder, demo_models)
    operator.env["REELWRIGHT_RETENTION_CHUNKS_DAYS"] = "91"
    running = start_studio(operator, *(["--cold"] if request.param == "cold" else []))
    yield running
    if running.process.poll() is None:
        running.stop()


def published(studio: Studio, words: str) -> list[Manifest]:
    return [item for item in studio.manifests() if item.brief.prompt == words]


def test_a_brief_from_the_form_ends_as_a_published_video(studio: Studio) -> None:
    run = studio.start(prompt=RED, seconds=4, upscale=2, joins="continue")
    found = studio.finish(run)
    assert found.state is not None
    assert found.state.is_completed(), found.state.message
    (manifest,) = published(studio, RED)
    assert manifest.clip.frames == 64
    (child,) = studio.children(run)
    assert child.work_queue_name == "normal"
    page, gpu_page = studio.artifacts(run), studio.artifacts(child.id)
    assert {"progress", "storyboard", "contact-sheet", "video", "joins", "cost"} <= set(page)
    assert {"progress", "storyboard"} <= set(gpu_page)
    assert manifest.address in (page["video"].description or "")


def test_every_query_of_the_dashboard_has_data_after_a_brief(studio: Studio) -> None:
    key = studio.cli("keys", "add", "prometheus", "--scope", "metrics").out.strip()
    with httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:

        def counted() -> str:
            text = client.get(f"{studio.gateway}/metrics").text
            found = {
                (sample.name, *sorted(sample.labels.items())): sample.value
                for family in text_string_to_metric_families(text)
                for sample in family.samples
            }
            chunks = ("device", "cpu"), ("stage", "chunks")
            made = found[("reelwright_stage_seconds_count", *chunks)]
            ended = found[("reelwright_briefs_ended_total", ("outcome", "completed"))]
            return text if made and ended else ""

        text = wait_for("the brief in the figures", counted)
    assert missing(text) == []
    folders = {labels.get("folder") for _, labels in series_of(text)}
    assert {"data", "models", "store"} <= folders


@pytest.mark.skipif(BINARY is None, reason="Prometheus is not installed here")
def test_a_real_prometheus_answers_every_query_of_the_dashboard(
    studio: Studio, tmp_path: Path
) -> None:
    assert BINARY is not None
    key = studio.cli("keys", "add", "grafana", "--scope", "metrics").out.strip()
    target = studio.gateway.removeprefix("http://")
    with prometheus(tmp_path, target, key, BINARY) as found:
        studio.finish(studio.start(prompt=f"{RED}, for Prometheus", seconds=1, frames=17))
        for query in queries():
            wait_for(query, lambda query=query: found.has_data(query))


def test_a_run_is_named_by_its_brief_s_words(studio: Studio) -> None:
    run = studio.finish(studio.start(prompt=f"{RED} once more", seconds=1, frames=17))
    assert run.name.startswith("red-ball-moves-to-the-right-over-a-dark-")
    (child,) = studio.children(run.id)
    assert child.name == f"{run.name} (render 1)"
    assert "waiting for you" not in run.tags
    log = studio.cli("logs", "--run", str(run.id), "--lines", "1000")
    assert f"{studio.gateway}/watch/" in log.out
    assert "chunk 1 of" in log.out  # of the run on the GPU


def test_a_warm_worker_loads_each_model_once_and_a_cold_one_for_every_run(studio: Studio) -> None:
    mark = len(studio.gpu_log())
    for number in (1, 2):
        found = studio.finish(studio.start(prompt=f"{RED} {number}", seconds=1, upscale=2))
        assert found.state is not None
        assert found.state.is_completed(), found.state.message
    log = studio.gpu_log(mark if studio.is_cold else 0)
    assert ("warm process" in log) != studio.is_cold
    times = 2 if studio.is_cold else 1
    assert log.count("loading the video model") == times
    assert log.count("loading the upscaler model") == times


def test_made_again_a_video_gets_one_new_chunk_for_one_shot_or_two_seconds(
    studio: Studio,
) -> None:
    with Client(studio.gateway, studio.variables["REELWRIGHT_GATEWAY_TOKEN"]) as client:
        first = client.wait(client.start(f"{RED}, then stops", preset="demo", seconds=8))
        remade = client.wait(client.again(first, take=7, shots=[2]))
        longer = client.wait(client.again(first, longer=2))
        runs = (first, remade, longer)
        assert [run.state for run in runs] == ["completed"] * 3, [run.detail for run in runs]
        made = [[chunk["made"] for chunk in client.manifest(run)["chunks"]] for run in runs]
    assert made[0] == [True] * 4
    assert made[1] == [False, True, False, False]
    assert made[2] == [False] * 4 + [True]


def test_a_cancel_reaches_the_gpu_and_the_next_brief_has_it(studio: Studio) -> None:
    mark = len(studio.gpu_log())
    run = studio.start(prompt="a green square moves up", seconds=8, upscale=4)
    studio.wait_until("chunk 2 of 4", mark)
    studio.cancel(run)
    found = studio.finish(run)
    assert found.state is not None
    assert found.state.is_cancelled()
    (child,) = studio.children(run)
    ended = studio.finish(child.id)
    assert ended.state is not None
    assert ended.state.is_cancelled()
    assert not published(studio, "a green square moves up")
    following = studio.finish(studio.start(prompt="a blue square moves up", seconds=1))
    assert following.state is not None
    assert following.state.is_completed(), following.state.message


def test_a_bad_brief_is_refused_when_the_form_is_sent(studio: Studio) -> None:
    """By Prefect, with the schema of the deployment's parameters, before a run exists."""
    with pytest.raises(PrefectHTTPStatusError) as refusal:
        studio.start(prompt=RED, seconds=-1)
    assert refusal.value.response.status_code == 409
    assert "seconds" in refusal.value.response.text


def test_status_tells_parts_pools_and_errors(studio: Studio) -> None:
    result = studio.cli("status")
    assert result.code == 0, result.err
    assert "pool rtx-5090" in result.out
    assert "rtx-5090-" in result.out  # its worker
    assert "ENDED" not in result.out


def test_a_second_start_is_refused_with_a_reason(studio: Studio) -> None:
    result = studio.cli("up")
    assert result.code == 1
    assert "runs already" in result.err


def test_the_command_uses_the_studio_that_runs(studio: Studio) -> None:
    result = studio.cli("make", "a purple square moves down", "--seconds", "1", "--frames", "17")
    assert result.code == 0, result.err
    assert len(published(studio, "a purple square moves down")) == 1


def test_passwords_are_ours_alone_and_the_api_wants_them(studio: Studio) -> None:
    path = studio.cli.data / "studio" / "studio.env"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(studio.cli.data.stat().st_mode) == 0o700
    answer = httpx.post(
        f"{studio.variables['PREFECT_API_URL']}/flow_runs/filter", json={}, timeout=60
    )
    assert answer.status_code == 401


def test_every_process_puts_on_disk_what_the_store_takes(studio: Studio) -> None:
    assert studio.variables["REELWRIGHT_S3_DATA_DIR"] == str(studio.cli.data / "store" / "data")


def test_what_a_backup_or_a_purge_has_to_know_is_noted(studio: Studio) -> None:
    assert studio.variables["REELWRIGHT_RETENTION_CHUNKS_DAYS"] == "91"


def test_the_gateway_wants_the_token_which_stays_from_start_to_start(studio: Studio) -> None:
    with httpx.Client(base_url=studio.gateway, timeout=60) as nobody:
        assert nobody.get("/videos").status_code == 401
        assert nobody.get(studio.link).status_code == 303
        assert nobody.get("/").status_code == 200
    with studio.editor() as editor:
        assert editor.get("/videos").status_code == 200
    token = studio.variables["REELWRIGHT_GATEWAY_TOKEN"]
    assert studio.cli("login", "--token").out.strip() == token
    assert studio.cli("login").out.startswith(f"{studio.gateway}/login?token=")


def test_nothing_listens_beyond_this_machine(studio: Studio) -> None:
    """Every listening socket of every process of the studio, whatever this host's name is."""
    listening = {
        (connection.laddr.ip, connection.laddr.port)
        for pid in [studio.process.pid, *descendants(studio.process.pid)]
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert {ip for ip, _ in listening} <= {"127.0.0.1", "::1"}
    parts = ("PREFECT", "S3", "GATEWAY")
    ports = {int(studio.cli.env[f"REELWRIGHT_STUDIO_{part}_PORT"]) for part in parts}
    assert ports <= {port for _, port in listening}


def test_the_calendar_starts_what_is_due_once(studio: Studio, tmp_path: Path) -> None:
    file = tmp_path / "calendar.yaml"
    file.write_text(
        "entries: [{name: every-minute, cron: '* * * * *', priority: batch,"
        " brief: {prompt: 'a purple circle moves right, {name}', seconds: 0.5, frames: 9}}]"
    )
    assert studio.cli("calendar", "put", str(file)).code == 0
    assert "every-minute: next" in studio.cli("calendar", "check").out

    def started() -> list[str]:
        lines = studio.cli("calendar", "next", "every-minute").out.splitlines()
        return [line.split()[-1] for line in lines if "  start: it is due" in line]

    (first, *_) = wait_for("the first start", started)
    file.write_text("entries: []")
    assert studio.cli("calendar", "put", str(file)).code == 0
    found = studio.finish(UUID(first))
    assert found.state is not None
    assert found.state.is_completed(), found.state.message
    assert found.work_queue_name == "batch"
    assert {"calendar", "calendar:every-minute"} <= set(found.tags)


@pytest.mark.parametrize(("outcome", "name"), [("approve", "Completed"), ("reject", "Rejected")])
def test_silence_is_settled_as_the_brief_says(studio: Studio, outcome: str, name: str) -> None:
    run = studio.start(
        prompt=f"a white square moves up, {outcome}",
        seconds=1,
        approval="video",
        approval_hours=0.01,
        on_silence=outcome,
    )
    found = studio.finish(run)
    assert found.state is not None
    assert found.state.name == name, found.state.message
    assert len(published(studio, f"a white square moves up, {outcome}")) == (outcome == "approve")
    (child,) = studio.children(run)
    data = studio.store.get_bytes(ObjectKey.film(child.id))
    assert data is not None
    cid = Film.model_validate_json(data).plan.content_id
    assert is_there(studio.store, cid) == (outcome == "approve")  # a rejected film is removed


def test_a_brief_that_waits_holds_no_slot(studio: Studio) -> None:
    """More of them than the studio takes at once, and others go past."""
    words = [f"a cyan circle moves left, {number}" for number in range(4)]
    runs = [studio.start(prompt=text, seconds=1, approval="storyboard") for text in words]

    def all_wait() -> bool:
        found = [studio.look(run) for run in runs]
        return all(run and run.state and run.state.is_paused() for run in found)

    wait_for("four drafts", all_wait)
    for run, text in zip(runs, words, strict=True):
        found = studio.look(run)
        assert found is not None
        assert found.name.startswith("waiting for you: cyan-circle-moves-left-" + text[-1])
        assert "waiting for you" in found.tags
        assert "waiting-for-you" in studio.artifacts(run)
    other = studio.finish(studio.start(prompt="a cyan square moves left", seconds=1))
    assert other.state is not None
    assert other.state.is_completed(), other.state.message
    assert all_wait()
    with studio.client() as client:
        for run in runs:
            client.resume_flow_run(run, run_input={"decision": "reject", "reason": "enough"})
    for run in runs:
        ended = studio.finish(run)
        assert ended.state is not None
        assert ended.state.name == "Rejected"
        assert ended.name.startswith("cyan-circle-moves-left-")
        assert "waiting-for-you" not in studio.artifacts(run)


def test_stopped_it_leaves_nothing_and_started_again_it_has_everything(studio: Studio) -> None:
    """The last of these tests: it ends the studio of the others."""
    operator = studio.cli
    before = {manifest.content_id for manifest in studio.manifests()}
    said = studio.stop(signal.SIGINT)
    assert studio.process.returncode == 0, said
    wait_for("all processes to end", lambda: not processes_of(operator.data))
    again = start_studio(operator)
    try:
        assert {manifest.content_id for manifest in again.manifests()} == before
        name = "REELWRIGHT_GATEWAY_TOKEN"
        assert again.variables[name] == studio.variables[name]
        found = again.finish(again.start(prompt="a white circle moves left", seconds=1))
        assert found.state is not None
        assert found.state.is_completed(), found.state.message
    finally:
        again.stop()
    wait_for("all processes to end", lambda: not processes_of(operator.data))
