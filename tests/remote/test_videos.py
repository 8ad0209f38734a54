"""Servers that speak `/v1/videos`, each in its dialect, through the driver and over HTTP."""

import io
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from pipelines.backends.remote.driver import RemoteBackend, definition_of
from pipelines.backends.remote.file import read_backends
from pipelines.backends.remote.kinds import kinds
from pipelines.backends.remote.videos.config import LightX2VConfig, VideosConfig
from pipelines.backends.remote.videos.service import VideosService
from pipelines.errors import (
    AnswerLostError,
    BriefError,
    GenerationError,
    QuotaError,
    ReelwrightError,
    RefusedError,
    SettingsError,
    UnavailableError,
)
from pipelines.media.ffmpeg import Ffmpeg
from pipelines.schema.plan import ChunkSpec
from tests.conftest import REPOSITORY
from tests.remote.servers import (
    GOES_ON,
    PICTURE,
    SIZE,
    Host,
    Pictures,
    backend_of,
    config_of,
    generate,
    request_of,
)
from tests.support.fake_videos import FakeVideos, fake_videos
from tests.support.pictures import moving_frames
from tests.support.remote import World

DIALECTS = ("sglang", "vllm-omni", "fastvideo")


@pytest.fixture(scope="module")
def servers(
    ffmpeg: Ffmpeg, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, FakeVideos]]:
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(fake_videos(name, ffmpeg, tmp_path_factory.mktemp(name)))
            for name in DIALECTS
        }


@pytest.fixture(params=DIALECTS)
def fake(request: pytest.FixtureRequest, servers: dict[str, FakeVideos]) -> FakeVideos:
    return fresh(servers[request.param])


@pytest.fixture
def sglang(servers: dict[str, FakeVideos]) -> FakeVideos:
    return fresh(servers["sglang"])


def fresh(server: FakeVideos) -> FakeVideos:
    new = FakeVideos(server.dialect, server.tool, server.folder, url=server.url)
    server.__dict__.update(new.__dict__)
    return server


@pytest.fixture
def host(ffmpeg: Ffmpeg, tmp_path: Path) -> Host:
    return Host(World(paid=False), ffmpeg, tmp_path)


def config(fake: FakeVideos, **changes: Any) -> Any:
    return config_of("videos", fake.url, dialect=fake.dialect, **changes)


def service_of(fake: FakeVideos, host: Host, **changes: Any) -> VideosService:
    entry = config(fake, **changes)
    return VideosService(entry, host.connection(entry))


def fails(fake: FakeVideos, host: Host, kind: type[ReelwrightError], words: str) -> None:
    with pytest.raises(kind, match=words) as found:
        generate(config(fake), host, request_of())
    assert type(found.value) is kind


def test_everything_that_decides_pixels_is_sent_and_seconds_are_not(
    fake: FakeVideos, host: Host
) -> None:
    request = request_of(options={"steps": 12, "guidance": 4.5})
    _, frames = generate(config(fake), host, request)
    (sent,) = fake.sent
    assert {name: str(value) for name, value in sent.fields.items()} == {
        "prompt": "a red ball, é ☃",
        "model": "Wan2.2-TI2V-5B",
        "size": "64x48",
        "fps": "16",
        "num_frames": "9",
        "seed": str(2**32 - 1),
        "negative_prompt": "blue",
        "num_inference_steps": "12",
        "guidance_scale": "4.5",
    }
    assert sent.form == (fake.dialect == "vllm-omni")
    wanted = np.stack(list(moving_frames(SIZE, 9, seed=2**32 - 1))).astype(int)
    got = np.stack(frames).astype(int)
    assert got.shape == wanted.shape
    assert np.abs(got - wanted).mean() < 12  # the fake encodes blocks in 4:2:0
    assert fake.early == 0


def test_a_picture_is_sent_as_a_file_of_the_clip_s_size(fake: FakeVideos, host: Host) -> None:
    generate(config(fake), host, request_of(PICTURE))
    generate(config(fake), host, request_of(GOES_ON))
    first, second = fake.sent
    for sent, level in ((first, 90), (second, 200)):
        assert sent.form
        picture = np.asarray(Image.open(io.BytesIO(sent.picture)))
        assert picture.shape == (SIZE.height, SIZE.width, 3)
        assert (picture == level).all()
        assert (sent.fields["num_frames"], sent.fields["seed"]) == (9, 2**32 - 1)
        assert "input_reference" not in sent.fields  # which would be a path on the server


def test_a_job_that_a_restart_lost_is_submitted_anew(fake: FakeVideos, host: Host) -> None:
    fake.steps = 3
    done = host.access.pause

    def pause(seconds: float) -> None:
        done(seconds)
        if len(host.pauses) == 1:
            fake.restart()

    object.__setattr__(host.access, "pause", pause)
    _, frames = generate(config(fake), host, request_of())
    assert len(frames) == 9
    assert len(fake.sent) == 2
    assert fake.sent[0] == fake.sent[1]


def test_a_job_is_taken_up_by_the_next_run(
    fake: FakeVideos, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    """Killed after the job was submitted: the journal has its id."""
    world = World(paid=False)

    class Killed(BaseException):
        pass

    def kill(_: float) -> None:
        raise Killed

    first = Host(world, ffmpeg, tmp_path)
    object.__setattr__(first.access, "pause", kill)
    with pytest.raises(Killed):
        generate(config(fake), first, request_of())
    _, frames = generate(config(fake), Host(world, ffmpeg, tmp_path, run="run-2"), request_of())
    assert len(frames) == 9
    assert len(fake.sent) == 1


def test_an_answer_that_a_proxy_lost_costs_another_job_and_no_film(
    fake: FakeVideos, host: Host
) -> None:
    fake.lose = 1
    _, frames = generate(config(fake), host, request_of())
    assert len(frames) == 9
    assert len(fake.sent) == 2  # nobody can tell which job was ours, and they cost nothing


def test_a_job_that_fails_is_tried_again_and_its_words_are_told(
    fake: FakeVideos, host: Host
) -> None:
    fake.outcomes = ["failed"] * 3
    fails(fake, host, UnavailableError, "the model failed on")
    assert len(fake.sent) == 3


def test_content_that_is_refused_is_not_asked_for_again(fake: FakeVideos, host: Host) -> None:
    fake.outcomes = ["blocked"]
    fails(fake, host, RefusedError, "refuses the content of this shot")
    assert len(fake.sent) == 1


@pytest.mark.parametrize(
    ("outcome", "words"), [("short", "8 frames of 64"), ("wide", r"80\*48")], ids=["short", "wide"]
)
def test_a_clip_that_is_not_what_was_asked_for_is_refused(
    sglang: FakeVideos, host: Host, outcome: str, words: str
) -> None:
    sglang.outcomes = [outcome]
    fails(sglang, host, GenerationError, words)


def test_a_download_that_was_cut_off_is_repeated(sglang: FakeVideos, host: Host) -> None:
    sglang.outcomes = ["cut"]
    _, frames = generate(config(sglang), host, request_of())
    assert (len(frames), sglang.downloads, len(sglang.sent)) == (9, 2, 1)


def test_a_clip_in_cloud_storage_needs_the_operator_s_word(sglang: FakeVideos, host: Host) -> None:
    sglang.outcomes = ["cloud"]
    fails(sglang, host, SettingsError, r"https://bucket\.example.*add it to download_hosts")


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (400, GenerationError, "calls the request invalid: too many pixels"),
        (422, GenerationError, "calls the request invalid: too many pixels"),
        (401, SettingsError, "does not accept our key"),
        (403, SettingsError, "does not accept our key"),
        (404, UnavailableError, "without /v1"),
        (429, QuotaError, "takes no more requests"),
        (500, UnavailableError, "cannot work now: too many pixels"),
        (503, UnavailableError, "cannot work now: too many pixels"),
        (307, UnavailableError, "redirection"),
    ],
)
def test_a_refusal_is_told_by_its_status(
    fake: FakeVideos, host: Host, status: int, kind: type[ReelwrightError], words: str
) -> None:
    fake.refuse = [(status, "too many\n\x1b[31mpixels")]
    with pytest.raises(kind) as found:
        service_of(fake, host).submit(request_of(), Pictures(), "key")
    assert type(found.value) is kind
    assert words in str(found.value).replace("[31m", "")
    assert str(found.value).isprintable()
    assert fake.sent == []


def test_an_answer_without_an_id_is_a_lost_one(
    sglang: FakeVideos, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeVideos, "shown", lambda *_: {"object": "video"})
    with pytest.raises(AnswerLostError, match="did not say under which id"):
        service_of(sglang, host).submit(request_of(), Pictures(), "key")


def test_availability_needs_the_address_the_path_and_the_key(
    fake: FakeVideos, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOX_KEY", "sk-do-not-show-this")
    fake.key = "sk-do-not-show-this"
    assert service_of(fake, host, key="env:BOX_KEY").availability().available
    without = service_of(fake, host).availability()
    assert not without.available
    assert "does not accept our key" in without.reason
    below = config_of("videos", f"{fake.url}/v1", dialect=fake.dialect, key="env:BOX_KEY")
    assert "without /v1" in VideosService(below, host.connection(below)).availability().reason
    absent = config_of("videos", "http://127.0.0.1:9", dialect=fake.dialect)
    nowhere = VideosService(absent, host.connection(absent)).availability()
    assert "check that it runs" in nowhere.reason
    assert "sk-do-not" not in f"{without} {nowhere}"


def test_cancelling_deletes_the_job_and_complains_of_nothing(fake: FakeVideos, host: Host) -> None:
    fake.outcomes = ["endless"]
    service = service_of(fake, host)
    job = service.submit(request_of(), Pictures(), "key")
    assert service.look(job).state == "queued" or fake.dialect == "vllm-omni"
    service.cancel(job)
    assert fake.deleted == [job]
    assert service.look(job).state == "gone"
    service.cancel(job)
    absent = config_of("videos", "http://127.0.0.1:9", dialect=fake.dialect)
    VideosService(absent, host.connection(absent)).cancel("x")


def test_an_id_stays_within_the_path(sglang: FakeVideos, host: Host) -> None:
    assert service_of(sglang, host).look("../../admin?x=").state == "gone"


def test_sound_is_asked_of_vllm_omni_by_name(servers: dict[str, FakeVideos], host: Host) -> None:
    fake = fresh(servers["vllm-omni"])
    clip, _ = generate(config(fake, sound=True), host, request_of())
    assert fake.sent[0].fields["generate_sound"] == "true"
    assert clip.sound is not None  # silent, because this server made none
    assert len(clip.sound.samples) == round(9 / 16 * clip.sound.rate)


def test_fastvideo_has_no_flow_shift(servers: dict[str, FakeVideos], host: Host) -> None:
    request = request_of(options={"flow_shift": 3.0})
    with pytest.raises(BriefError, match="has no such option"):
        generate(config(fresh(servers["fastvideo"])), host, request)


def test_another_size_or_length_is_refused_before_anything_is_sent(
    sglang: FakeVideos, host: Host
) -> None:
    with pytest.raises(BriefError, match="4k\\+1 from 5 to 81"):
        generate(config(sglang), host, request_of(frames=10))
    with pytest.raises(BriefError, match="16 frames a second"):
        generate(config(sglang), host, request_of(fps=24))
    with pytest.raises(BriefError, match="not first_frame"):
        generate(config(sglang, inputs=[]), host, request_of(PICTURE))
    assert sglang.sent == []


def test_an_entry_is_a_backend_with_a_preset_and_costs_nothing(
    sglang: FakeVideos, host: Host
) -> None:
    entry = config(sglang, preset="720p", title="The second box")
    found = definition_of(entry, kinds()["videos"])
    (preset,) = found.presets
    assert (found.name, found.title, preset.name) == ("box-2", "The second box", "box_2_720p")
    assert (preset.size, preset.frames, preset.options.identity()) == (SIZE, 9, {"steps": 12})
    can = found.capabilities
    assert can.inputs == {"text", "first_frame", "continuation"}
    assert (can.overlap, can.location, can.stills) == (1, "remote", False)
    backend = backend_of(entry, host)
    price = backend.effort([request_of(), request_of()]).price
    assert price is not None
    assert price.amount == 0


def test_the_model_is_the_identity_and_the_address_is_not(host: Host) -> None:
    def digest(**changes: Any) -> str:
        address = changes.pop("address", "http://127.0.0.1:1")
        backend = backend_of(config_of("videos", address, dialect="sglang", **changes), host)
        assert isinstance(backend, RemoteBackend)
        identity = backend.identity(backend.definition.presets[0].options)
        return ChunkSpec(backend="box-2", identity=identity, request=request_of()).digest

    same = digest()
    assert digest(address="https://elsewhere.example", title="x", key="env:X") == same
    assert same not in (digest(model="Wan2.1"), digest(revision="4"))


def test_the_entries_of_the_document_are_backends() -> None:
    page = (REPOSITORY / "docs" / "servers.md").read_text(encoding="utf-8")
    text = page.partition("```yaml\n")[2].partition("```")[0]
    found = read_backends(text, "docs/servers.md")
    assert [preset.name for item in found for preset in item.presets] == [
        "box_2",
        "studio_2",
        "x2v",
    ]
    fields = {*VideosConfig.model_fields, *LightX2VConfig.model_fields} - {"name", "kind"}
    assert [
        name for name in sorted(fields) if f"`{name}`" not in page and f"{name}:" not in page
    ] == []


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "dialect": ({"dialect": "sora"}, "dialect"),
    "size": ({"sizes": ["64 by 64"]}, "'64 by 64' is no size; write it as 832x480"),
    "side": ({"sizes": ["64x50"]}, "size 64x50 has a side that is no multiple of side_step 16"),
    "frames": ({"frames": 10}, "frames 10 is no length of this entry .*set 9 or 13"),
    "rule": (
        {"frame_step": 100, "frame_offset": 90, "max_frames": 80},
        "no length from min_frames 5 to max_frames 80",
    ),
    "too long": ({"max_frames": 9_601}, "more than 600 s at fps 16; set at most 9600"),
    "picture": ({"needs_picture": True, "inputs": []}, "inputs has no first_frame; add it"),
    "last frame": ({"inputs": ["last_frame"]}, "first_frame"),
    "shift": ({"dialect": "fastvideo", "flow_shift": 3.0}, "fastvideo has no such field"),
    "short": (
        {"dialect": "reelwright", "fps": 60},
        r"min_frames 5 is less than the 0\.25 s .*set at least 15",
    ),
    "model": ({"model": ""}, "model"),
    "unknown": ({"colour": "red"}, "colour"),
}


@pytest.mark.parametrize(("change", "words"), BAD.values(), ids=BAD)
def test_an_entry_that_cannot_work_is_refused_with_its_rule(
    change: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        config_of("videos", "http://127.0.0.1:1", **{"dialect": "sglang", **change})
