"""The gateway's contract, asked as its clients ask it."""

import asyncio
import http.client
import io
import json
import re
import shutil
import struct
import subprocess
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest
from PIL import Image

from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import StoreSettings
from pipelines.schema.keys import ObjectKey
from pipelines.schema.plan import digest_of
from tests.conftest import Cli
from tests.support.gateway import Gateway, brief, gateway
from tests.support.studio import wait_for

pytestmark = pytest.mark.xdist_group("gateway")
WAN = {
    "task": "t2v-1.3B",
    "prompt": "a red ball moves right",
    "size": "1280*720",
    "frame_num": 33,
    "sample_steps": 25,
    "sample_guide_scale": 7.5,
    "base_seed": 42,
}
ASYNC = {"Prefer": "respond-async"}


@pytest.fixture(scope="module")
def asked(deployed: Cli, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(deployed, tmp_path_factory.mktemp("gateway")) as found:
        yield found


@pytest.fixture
def client(asked: Gateway) -> Iterator[httpx.Client]:
    with asked.client() as client:
        yield client


def error_of(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["code"]
    return str(error["message"])


def test_it_is_healthy_and_ready(client: httpx.Client) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    ready = {"prefect": True, "store": True}
    wait_for("both", lambda: client.get("/ready").json() == ready)  # a busy server takes its time


def test_models_say_who_answers_for_whom(client: httpx.Client) -> None:
    tasks = {item["task"]: item for item in client.get("/models").json()["tasks"]}
    assert tasks["t2v-1.3B"]["answered_by"] == "demo"
    assert tasks["s2v-14B"]["answered_by"] == ""


def test_a_request_as_the_wan_service_takes_it_starts_one_run(
    client: httpx.Client, asked: Gateway
) -> None:
    answers = [client.post("/generate/text-to-video", json=WAN, headers=ASYNC) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {202}
    (run,) = {answer.headers["location"] for answer in answers}
    body = answers[0].json()
    assert body["stands_in_for"] == "Wan2.1-T2V-1.3B"
    assert body["model"] == "demo"
    brief = asked.brief_of(run)
    assert (brief["seed"], brief["seconds"], brief["frames"]) == (42, 2.0625, 33)
    assert brief["size"] == "preset"  # the demo's own
    other = client.post("/generate/text-to-video", json=WAN | {"base_seed": 43}, headers=ASYNC)
    assert other.headers["location"] != run


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl here")
def test_curl_as_in_the_guide(asked: Gateway) -> None:
    done = subprocess.run(
        [
            *("curl", "-s", "-X", "POST", f"{asked.url}/generate/text-to-video"),
            *("-H", "Content-Type: application/json", "-H", "Prefer: respond-async"),
            *("-d", json.dumps(WAN)),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["run"].startswith("/runs/")


def png(colour: str = "red", side: int = 100) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(target, "png")
    return target.getvalue()


def claiming(side: int) -> bytes:
    """A small PNG whose header says that it has `side` pixels each way."""
    data = png()
    header = data[12:16] + struct.pack(">II", side, side) + data[24:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


def test_an_uploaded_picture_begins_a_video(client: httpx.Client, asked: Gateway) -> None:
    sent = client.post("/uploads", files={"file": ("../../x.png", png(), "image/png")})
    assert sent.status_code == 201, sent.text
    path = sent.json()["image_path"]
    assert re.fullmatch(r"uploads/[0-9a-f]{64}\.png", path)
    body = WAN | {"task": "i2v-14B", "image_path": path}
    run = client.post("/generate/image-to-video", json=body, headers=ASYNC).json()["run"]
    assert asked.brief_of(run)["image"] == path


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "POST /uploads"),
        ("../../etc/passwd", "is no uploaded file"),
        ("http://169.254.169.254/latest", "is no uploaded file"),
        (f"videos/{'0' * 64}/video.mp4", "is no uploaded file"),
        (f"uploads/{'0' * 64}.png", "was not uploaded"),
    ],
)
def test_a_picture_that_was_not_uploaded_is_refused(
    client: httpx.Client, path: str, words: str
) -> None:
    body = WAN | {"task": "", "image_path": path}
    assert words in error_of(client.post("/generate/image-to-video", json=body), 422)


@pytest.mark.parametrize(
    "data", [b"", b"not a picture", b"<svg/>", png()[:60], b"GIF89a" + bytes(100)], ids=range(5)
)
def test_what_is_no_picture_is_refused(client: httpx.Client, data: bytes) -> None:
    answer = client.post("/uploads", files={"file": ("x.png", data, "image/png")})
    assert "no PNG" in error_of(answer, 422)


@pytest.mark.parametrize("side", [5_000, 15_000, 60_000])
def test_a_picture_that_unpacks_to_too_much_is_refused(client: httpx.Client, side: int) -> None:
    answer = client.post("/uploads", files={"file": ("x.png", claiming(side), "image/png")})
    assert "4096" in error_of(answer, 422)


@pytest.mark.parametrize("path", ["speech-to-video", "animation"])
def test_a_model_that_is_not_here_is_no_pretence(client: httpx.Client, path: str) -> None:
    body = WAN | {"task": "", "image_path": "../../etc/passwd"}
    assert "not here" in error_of(client.post(f"/generate/{path}", json=body), 409)


def test_the_demo_set_says_for_whom_it_stands(client: httpx.Client) -> None:
    answer = client.post("/generate/text-to-video", json=WAN | {"task": "t2v-14B"}, headers=ASYNC)
    assert answer.json()["stands_in_for"] == "Wan2.1-T2V-14B"


BAD = {
    "frames": ({"frame_num": 0}, "frame_num"),
    "steps": ({"sample_steps": 0}, "sample_steps"),
    "size": ({"size": "1*1"}, "1*1"),
    "odd size": ({"size": "1000*500"}, "'1000*500' is not offered"),
    "seed": ({"base_seed": -5}, "base_seed"),
    "task": ({"task": "t2v-99B"}, "t2v-99B"),
    "no prompt": ({"prompt": ""}, "prompt"),
    "control character": ({"prompt": "a\u0007"}, "U+0007"),
}


@pytest.mark.parametrize(("change", "words"), BAD.values(), ids=BAD)
def test_a_bad_value_is_named_and_starts_nothing(
    client: httpx.Client, asked: Gateway, change: dict[str, object], words: str
) -> None:
    before = len(asked.runs())
    assert words in error_of(client.post("/generate/text-to-video", json=WAN | change), 422)
    assert len(asked.runs()) == before


def test_without_the_stand_in_it_says_what_to_install(deployed: Cli, tmp_path: Path) -> None:
    with gateway(deployed, tmp_path, REELWRIGHT_GATEWAY_STAND_IN="false") as found:
        answer = httpx.post(f"{found.url}/generate/text-to-video", json=WAN, timeout=60)
        assert "reelwright models download t2v-1.3B" in error_of(answer, 409)


def test_a_killed_gateway_is_asked_again_and_gives_the_same_run(
    deployed: Cli, tmp_path: Path
) -> None:
    """Killed while a client waits for its video."""
    body = WAN | brief()

    def ours(found: Gateway) -> list[str]:
        runs = [run for run in found.runs() if run.parameters["brief"]["prompt"] == body["prompt"]]
        return [f"/runs/{run.id}" for run in runs]

    with gateway(deployed, tmp_path) as first, ThreadPoolExecutor() as pool:
        waiting = pool.submit(httpx.post, f"{first.url}/generate/text-to-video", json=body)
        (run,) = wait_for("the run", lambda: ours(first))
        first.process.kill()
        assert isinstance(waiting.exception(), httpx.TransportError)
    with gateway(deployed, tmp_path) as second, second.client() as client:
        again = client.post("/generate/text-to-video", json=body, headers=ASYNC)
        assert again.json()["run"] == run
        assert ours(second) == [run]


def test_a_key_for_another_body_is_refused(client: httpx.Client) -> None:
    key = {"Idempotency-Key": "order 18"}
    assert client.post("/briefs", json=brief(), headers=key).status_code == 202
    assert "another request" in error_of(client.post("/briefs", json=brief(), headers=key), 409)


def test_a_cancelled_run_makes_room_for_another_attempt(client: httpx.Client) -> None:
    body = WAN | brief()
    first = client.post("/generate/text-to-video", json=body, headers=ASYNC).json()["run"]
    assert client.delete(first).status_code == 202
    wait_for("the cancel", lambda: client.get(first).json()["state"] == "cancelled")
    second = client.post("/generate/text-to-video", json=body, headers=ASYNC).json()["run"]
    assert second != first


def test_progress_comes_as_events(client: httpx.Client) -> None:
    run = client.post("/briefs", json=brief()).json()["id"]
    seen = []
    with client.stream("GET", f"/runs/{run}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            if line.startswith("data:"):
                seen.append(json.loads(line[5:])["state"])
                if len(seen) == 1:
                    client.delete(f"/runs/{run}")
    assert seen[0] == "accepted"
    assert seen[-1] == "cancelled"


def test_an_answer_to_a_run_that_does_not_wait_is_refused(client: httpx.Client) -> None:
    run = client.post("/briefs", json=brief()).json()["id"]
    answer = client.post(f"/runs/{run}/answer", json={"decision": "approve"})
    assert "does not wait" in error_of(answer, 409)


def test_routing_says_what_it_would_take_and_why(client: httpx.Client) -> None:
    query = {"query": "a fox", "modality": "video", "context": {"prefer_quality": True}}
    found = client.post("/api/v1/route", json=query).json()
    assert found["preset"] == "demo"
    assert found["stands_in_for"] == "Wan2.1-T2V-1.3B"
    assert any("not installed" in reason for reason in found["reasons"])
    short = client.post("/api/v1/route", json=query | {"context": {"max_duration": 2}}).json()
    assert short["seconds"] == 2


@pytest.fixture
def video(gateway_store: StoreSettings) -> str:
    cid = digest_of("a video of this test")
    store = ObjectStore(gateway_store)
    store.put_bytes(ObjectKey.video(cid), bytes(range(200)), "video/mp4")
    return f"/videos/{cid}.mp4"


def test_a_player_can_seek(client: httpx.Client, video: str) -> None:
    whole = client.get(video)
    assert (whole.status_code, len(whole.content)) == (200, 200)
    assert whole.headers["content-type"] == "video/mp4"
    for wanted, start, end in (
        ("0-9", 0, 9),
        ("190-", 190, 199),
        ("-5", 195, 199),
        ("5-999", 5, 199),
    ):
        part = client.get(video, headers={"Range": f"bytes={wanted}"})
        assert part.status_code == 206
        assert part.headers["content-range"] == f"bytes {start}-{end}/200"
        assert part.content == bytes(range(start, end + 1))
    assert client.get(video, headers={"Range": "bytes=200-"}).status_code == 416
    assert client.get(video, headers={"Range": "lines=1"}).status_code == 200
    assert client.head(video).headers["content-length"] == "200"
    assert client.get(video, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304


def test_a_deleted_video_is_gone(client: httpx.Client, video: str) -> None:
    assert client.delete(video).status_code == 200
    assert client.get(video).status_code == 404
    assert client.delete(video).status_code == 404


TRICKS = ["..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd", "chunks%2fa.mp4", "a.mp4%00.jpg"]
TRICKS += ["....//", "manifest.json", "\u202e.mp4", "a" * 5000, "%ff%fe", "http:%2f%2fevil%2fa.mp4"]


@pytest.mark.parametrize("name", TRICKS, ids=range(len(TRICKS)))
def test_no_name_leads_out_of_the_videos(client: httpx.Client, name: str) -> None:
    for path in (f"/videos/{name}", f"/watch/{name}", f"/stills/{name}", f"/static/{name}"):
        answer = client.get(path)
        assert answer.status_code in (404, 422, 307), path
        assert b"root:" not in answer.content


def test_a_large_body_is_refused_before_it_is_read(client: httpx.Client, asked: Gateway) -> None:
    connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port, timeout=60)
    connection.putrequest("POST", "/briefs")
    connection.putheader("Content-Length", "5000000")
    connection.endheaders()  # and not a byte of it
    assert connection.getresponse().status == 413
    memory = psutil.Process(asked.process.pid).memory_info().rss
    blocks = (b"x" * 65536 for _ in range(4000))  # 262 MB, if it were read
    try:
        undeclared = client.post("/briefs", content=blocks)
        assert undeclared.status_code == 413
    except httpx.TransportError:
        pass  # it hung up on us, which is early too
    assert psutil.Process(asked.process.pid).memory_info().rss - memory < 50e6


# Who may ask ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:80"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
    ],
    ids=str,
)
def test_no_web_page_rides_in_on_this_machine(
    client: httpx.Client, headers: dict[str, str]
) -> None:
    assert error_of(client.post("/briefs", json=brief(), headers=headers), 401)


def test_keys_have_scopes_and_can_be_revoked(deployed: Cli, tmp_path: Path) -> None:
    with gateway(deployed, tmp_path, REELWRIGHT_GATEWAY_TRUST_LOCAL="false") as found:
        with found.client() as nobody:
            error_of(nobody.get("/videos"), 401)
            error_of(nobody.post("/briefs", json=brief()), 401)
            assert nobody.get("/", follow_redirects=True).url.path == "/login"
        key = found.cli("keys", "add", "cms", "--scope", "read").out.strip()
        assert key not in Path(tmp_path / "gateway" / "gateway.db").read_bytes().decode("latin-1")
        with found.client(Authorization=f"Bearer {key}") as cms:
            assert cms.get("/videos").status_code == 200
            assert "'make'" in error_of(cms.post("/briefs", json=brief()), 403)
        assert found.cli("keys", "list").out.split()[:2] == ["cms", "read"]
        assert found.cli("keys", "revoke", "cms").code == 0
        with found.client(Authorization=f"Bearer {key}") as cms:
            error_of(cms.get("/videos"), 401)
        assert found.cli("keys", "revoke", "cms").code == 2
        assert found.cli("keys", "add", "x", "--scope", "root").code == 2


def test_a_browser_logs_in_once(deployed: Cli, tmp_path: Path) -> None:
    with gateway(deployed, tmp_path, REELWRIGHT_GATEWAY_TRUST_LOCAL="false") as found:
        key = found.cli("keys", "add", "ann", "--scope", "read").out.strip()
        with found.client() as browser:
            assert browser.post("/login", data={"key": "rw_wrong"}).status_code == 401
            done = browser.post("/login", data={"key": key, "to": "//evil.example"})
            assert done.headers["location"] == "/"
            cookie = done.headers["set-cookie"].lower()
            assert "httponly" in cookie
            assert "samesite=strict" in cookie
            assert browser.get("/").status_code == 200
            foreign = browser.get("/videos", headers={"Origin": "https://evil.example"})
            assert foreign.status_code == 401


def test_too_many_writes_are_told_to_wait(deployed: Cli, tmp_path: Path) -> None:
    with (
        gateway(deployed, tmp_path, REELWRIGHT_GATEWAY_WRITES_PER_MINUTE="3") as found,
        found.client() as client,
    ):
        codes = [client.post("/briefs", json={}).status_code for _ in range(5)]
        assert codes == [422, 422, 422, 429, 429]
        assert client.get("/videos").status_code == 200


async def _many(url: str, count: int) -> list[int]:
    limits = httpx.Limits(max_connections=count)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=120) as client:
        paths = ["/health", "/runs", "/videos"]
        answers = await asyncio.gather(*(client.get(paths[n % 3]) for n in range(count)))
    return [answer.status_code for answer in answers]


def test_many_who_ask_at_once_all_get_an_answer(asked: Gateway) -> None:
    assert set(asyncio.run(_many(asked.url, 200))) == {200}
