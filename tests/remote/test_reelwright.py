"""One Reelwright as a backend of another, over its gateway's `/v1/videos`."""

import os
import secrets
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelled, Completed, Failed

from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import StoreSettings
from infra.apps.gateway import keys
from infra.apps.gateway.database import opened
from pipelines.backends.base import Frame
from pipelines.backends.remote.access import JobRecord
from pipelines.backends.remote.videos.service import VideosService
from pipelines.documents.brief import Brief
from pipelines.documents.manifest import Manifest
from pipelines.errors import GenerationError, SettingsError, UnavailableError
from pipelines.media.ffmpeg import Ffmpeg
from pipelines.publishing import make_manifest
from pipelines.schema.keys import ObjectKey
from pipelines.schema.sizes import Size
from tasks.publish import Published
from tests.conftest import Cli, operator_of
from tests.remote.servers import PICTURE, Host, Pictures, config_of, generate, request_of
from tests.support import films
from tests.support.gateway import Gateway, gateway
from tests.support.pictures import decode, numbered_frames, read_number, write_clip
from tests.support.remote import World
from tests.support.studio import Studio, start_studio, wait_for

SIZE = Size(64, 64)
SEED = 42
ENTRY: dict[str, Any] = {
    "dialect": "reelwright",
    "model": "demo",
    "sizes": ["64x64"],
    "frames": 17,
    "frame_step": 1,
    "max_frames": 240,
    "steps": 8,
}
TOLERANCE = 1.0
"""Levels of 255, on average over a film, which is encoded once more; 0.56 were measured."""
in_gateway = pytest.mark.xdist_group("gateway")


@pytest.fixture(scope="module")
def asked(deployed: Cli, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    env = {"REELWRIGHT_GATEWAY_TRUST_LOCAL": "false"}
    with gateway(deployed, tmp_path_factory.mktemp("first"), **env) as found:
        yield found


@pytest.fixture
def entry(asked: Gateway, tmp_path: Path) -> Callable[..., Any]:
    """The entry of the first studio, with a key of the test's own."""
    with opened(Path(asked.cli.env["REELWRIGHT_DATA_DIR"])) as database:
        key = keys.add(database, f"second-{secrets.token_hex(4)}", ["read", "make"])
    path = tmp_path / "key"
    path.write_text(key)

    def made(**changes: Any) -> Any:
        return config_of("videos", asked.url, **{**ENTRY, "key": f"file:{path}", **changes})

    return made


@pytest.fixture
def host(ffmpeg: Ffmpeg, tmp_path: Path) -> Host:
    return Host(World(paid=False), ffmpeg, tmp_path)


def request() -> Any:
    words = f"a red ball moves right {secrets.token_hex(6)}"
    return request_of(prompt=words, size=SIZE, seed=SEED, frames=17, options={"steps": 8})


def end(asked: Gateway, run: str, state: Any) -> None:
    """What a worker does at the end of a run; this studio has none."""
    with (
        temporary_settings({PREFECT_API_URL: asked.cli.env["PREFECT_API_URL"]}),
        get_client(sync_client=True) as prefect,
    ):
        prefect.set_flow_run_state(run, state, force=True)  # type: ignore[arg-type]


def complete(asked: Gateway, store: ObjectStore, run: str, video: bytes) -> None:
    """Publish `video` for a run, and end it."""
    found = asked.run_of(run)
    brief = Brief.model_validate(found.parameters["brief"])
    film = films.film_of(store, brief)
    stored = store.put_bytes(film.video.key, video, "video/mp4")
    manifest = make_manifest(brief, film.model_copy(update={"video": stored}), store.bucket)
    films.write(store, manifest)
    note = Published(content_id=manifest.content_id).model_dump_json().encode()
    store.put_bytes(ObjectKey.published(found.id), note, "application/json")
    end(asked, run, Completed())


@in_gateway
def test_a_clip_comes_back_with_the_frames_that_were_published(
    asked: Gateway,
    entry: Callable[..., Any],
    host: Host,
    gateway_store: StoreSettings,
    ffmpeg: Ffmpeg,
    tmp_path: Path,
) -> None:
    """The first one's worker is played by the pause between two questions."""
    path = write_clip(ffmpeg, tmp_path / "x.mp4", numbered_frames(SIZE, 17), SIZE, 17)
    waited = host.access.pause

    def pause(seconds: float) -> None:
        waited(seconds)
        if len(host.pauses) == 1:
            (record,) = host.world.records.values()
            complete(asked, ObjectStore(gateway_store), record.operation, path.read_bytes())

    object.__setattr__(host.access, "pause", pause)
    wanted = request()
    _, frames = generate(entry(), host, wanted)
    assert [read_number(frame) for frame in frames] == list(range(17))
    (record,) = host.world.records.values()
    brief = Brief.model_validate(asked.run_of(record.operation).parameters["brief"])
    (shot,) = brief.storyboard
    assert (shot.prompt, shot.seed, brief.steps) == (wanted.prompt, SEED, 8)


@in_gateway
def test_a_job_is_found_by_the_key_it_was_submitted_with(
    asked: Gateway, entry: Callable[..., Any], host: Host
) -> None:
    config = entry()
    service = VideosService(config, host.connection(config))
    assert service.finds
    assert service.availability().available
    wanted = request()
    assert service.find("key-1") is None
    job = service.submit(wanted, Pictures(), "key-1")
    assert service.find("key-1") == job
    assert service.submit(wanted, Pictures(), "key-1") == job
    assert service.look(job).state == "queued"
    with pytest.raises(GenerationError, match="another request"):
        service.submit(request(), Pictures(), "key-1")
    service.cancel(job)
    assert service.look(job).state == "gone"
    begun = service.submit(wanted.model_copy(update={"inputs": (PICTURE,)}), Pictures(), "key-2")
    brief = Brief.model_validate(asked.run_of(begun).parameters["brief"])
    assert brief.inputs == {"text", "first_frame"}
    end(asked, begun, Failed(message="the card caught fire"))
    assert service.look(begun).message == "the card caught fire"


@in_gateway
@pytest.mark.parametrize(
    "state",
    [
        Failed(message="Flow run encountered an exception: RefusedError: not this content"),
        Cancelled(name="Rejected", message="not this content"),
    ],
)
def test_what_the_first_one_refuses_is_refused_by_the_second_one_too(
    asked: Gateway, entry: Callable[..., Any], host: Host, state: Any
) -> None:
    """Otherwise the second one would give the words to a laxer backend of its own."""
    config = entry()
    service = VideosService(config, host.connection(config))
    job = service.submit(request(), Pictures(), secrets.token_hex(4))
    end(asked, job, state)
    found = service.look(job)
    assert (found.state, found.message) == ("refused", "not this content")


@in_gateway
def test_what_the_first_one_cannot_do_is_told_as_what_it_is(
    entry: Callable[..., Any], host: Host, tmp_path: Path
) -> None:
    def submit(**changes: Any) -> None:
        config = entry(**changes)
        VideosService(config, host.connection(config)).submit(request(), Pictures(), "key")

    with pytest.raises(UnavailableError, match="reelwright models download t2v-A14B"):
        submit(model="video_best")
    with pytest.raises(GenerationError, match="'sora-2' is no preset"):
        submit(model="sora-2")
    (tmp_path / "wrong").write_text("rw_wrong")
    with pytest.raises(SettingsError, match="is not known here, or was revoked"):
        submit(key=f"file:{tmp_path / 'wrong'}")


# The pair, whole ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, demo_models: Path) -> Iterator[Studio]:
    """The studio that makes the clips, on the CPU with the demo set."""
    studio = start_studio(operator_of(tmp_path_factory.mktemp("first"), demo_models))
    yield studio
    if studio.process.poll() is None:
        studio.stop()


@pytest.fixture
def second(cli: Cli, first: Studio, tmp_path: Path) -> Cli:
    """The command of another Reelwright, with other servers and no model of its own."""
    added = first.cli("keys", "add", "second", "--scope", "read", "--scope", "make")
    assert added.code == 0, added.err
    key = next(word for word in added.out.split() if word.startswith("rw_"))
    (tmp_path / "key").write_text(key)
    values = ENTRY | {
        "name": "other-studio",
        "kind": "videos",
        "address": first.gateway,
        "key": f"file:{tmp_path / 'key'}",
        "fps": 16,
        "inputs": ["first_frame", "continuation"],
    }
    path = tmp_path / "backends.yaml"
    path.write_text(yaml.safe_dump({"backends": [values]}))
    cli.env["REELWRIGHT_BACKENDS"] = str(path)
    cli.env["REELWRIGHT_MODELS_DIR"] = str(tmp_path / "no-models")
    return cli


MAKE = (
    *("make", "a red ball moves to the right over a dark blue background"),
    *("--preset", "other_studio", "--seconds", "2.0625", "--seed", "42"),
    *("--joins", "continue", "--no-enhance"),
)


def records(store: ObjectStore) -> list[JobRecord]:
    found = [key for key in store.list_keys() if key.startswith("jobs/")]
    return [JobRecord.model_validate_json(store.get_bytes(key) or b"") for key in found]


def distance(got: list[Frame], wanted: list[Frame]) -> float:
    """Mean difference in levels of 255."""
    assert len(got) == len(wanted)
    return float(np.abs(np.stack(got).astype(int) - np.stack(wanted).astype(int)).mean())


@pytest.mark.slow
@pytest.mark.xdist_group("studio")
@pytest.mark.timeout(1200)
def test_two_studios_make_one_film_through_a_kill_and_a_restart(
    first: Studio, second: Cli, store: ObjectStore, tmp_path: Path
) -> None:
    """The second one is killed while the first makes chunk 1; then it goes on with the same job,
    and the first one's gateway is killed while it makes chunk 2."""
    process = second.start(*MAKE)
    wait_for("the first job", lambda: [r for r in records(store) if r.state == "submitted"])
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (before,) = records(store)
    again = subprocess.Popen(
        second.argv(*MAKE, "--out", str(tmp_path / "film.mp4")),
        env=second.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(
        "the second job",
        lambda: (
            again.poll() is not None
            or [r for r in records(store) if r.state == "submitted" and r.digest != before.digest]
        ),
    )
    gateway_before = first.pid_of("gateway")
    os.kill(gateway_before, signal.SIGKILL)
    _, errors = again.communicate(timeout=600)
    assert again.returncode == 0, errors
    made = {record.digest: record for record in records(store)}
    assert made[before.digest].operation == before.operation
    assert [record.attempt for record in made.values()] == [1, 1]
    with first.editor() as editor:
        assert first.pid_of("gateway") != gateway_before
        jobs = editor.get("/v1/videos", params={"order": "asc"}).json()["data"]
        assert {job["id"] for job in jobs} == {record.operation for record in made.values()}
        clips = []
        for job in jobs:
            path = tmp_path / f"{job['id']}.mp4"
            path.write_bytes(editor.get(f"/v1/videos/{job['id']}/content").content)
            clips.append(decode(path))
    film = decode(tmp_path / "film.mp4")
    assert [len(clip) for clip in clips] == [17, 17]
    found = distance(film, [*clips[0], *clips[1][1:]])
    print(f"the film differs by {found:.3f} levels of 255")
    assert found < TOLERANCE
    manifest = Manifest.model_validate_json((tmp_path / "film.json").read_text())
    assert [model.name for model in manifest.models if model.role == "video"] == ["demo"]
