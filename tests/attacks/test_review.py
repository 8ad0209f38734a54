"""The attacks of the review, over HTTP, on a running `reelwright up`: each says what must hold."""

import asyncio
import http.client
import io
import json
import resource
import secrets
import struct
import zlib
from collections.abc import Callable, Iterator

import httpx
import pytest
from PIL import Image

from tests.attacks.review import SCOPES, Target, nested, operations, status_of
from tests.conftest import Cli
from tests.support.studio import start_studio, wait_for

pytestmark = [pytest.mark.attacks, pytest.mark.xdist_group("attacks"), pytest.mark.timeout(900)]

STREAMS, REPEATS = 600, 200
MEGABYTE = 1_000_000
REFUSED = range(400, 500)
BUSY = (429, 503)
"""How a gateway that has enough says so."""


@pytest.fixture(scope="module")
def target(operator: Cli) -> Iterator[Target]:
    operator.env["REELWRIGHT_GATEWAY_WRITES_PER_MINUTE"] = "100000"
    studio = start_studio(operator)
    yield Target(studio)
    studio.stop()


@pytest.fixture(scope="module")
def client(target: Target) -> Iterator[httpx.Client]:
    """Somebody with every right."""
    with target.client(*SCOPES) as client:
        yield client


def test_600_event_streams_at_once_leave_room_for_everybody_else(
    target: Target, client: httpx.Client
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    run = target.waiting_run(client)
    before, pid = target.gateway.num_fds(), target.gateway.pid
    ask = (
        f"GET /runs/{run}/events HTTP/1.1\r\nHost: 127.0.0.1:{target.port}\r\n"
        f"Authorization: {client.headers['authorization']}\r\n\r\n"
    ).encode()

    async def first_event(open_streams: list[asyncio.StreamWriter]) -> int:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
            open_streams.append(writer)
            writer.write(ask)
            status = status_of(await asyncio.wait_for(reader.readline(), 120))
            if status == 200:
                await asyncio.wait_for(reader.readuntil(b"event: run"), 120)
        except (ConnectionError, asyncio.IncompleteReadError):
            return BUSY[0]  # cut off without a word, as a limit of connections does
        return status

    async def attack() -> tuple[list[int], list[int]]:
        streams: list[asyncio.StreamWriter] = []
        statuses = await asyncio.gather(*(first_event(streams) for _ in range(STREAMS)))
        async with httpx.AsyncClient(
            base_url=target.url, timeout=60, headers=client.headers
        ) as other:
            meanwhile = [(await other.get(path)).status_code for path in ("/health", "/runs")]
        for writer in streams:
            writer.close()
        return statuses, meanwhile

    statuses, meanwhile = asyncio.run(attack())
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert set(statuses) <= {200, *BUSY}
    assert 200 in statuses
    assert set(meanwhile) <= {200, *BUSY}
    wait_for("the streams to be let go", lambda: target.gateway.num_fds() < before + 20)
    assert target.answers()
    assert target.gateway.pid == pid
    client.delete(f"/runs/{run}")


def test_200_repeats_at_once_of_one_request_are_one_run(
    target: Target, client: httpx.Client
) -> None:
    words = f"a blue ball moves left {secrets.token_hex(4)}"
    body = {"prompt": words, "seconds": 0.5, "frames": 9, "steps": 1}
    headers = dict(client.headers) | {"Idempotency-Key": secrets.token_hex(8)}

    async def attack() -> list[str]:
        limits = httpx.Limits(max_connections=REPEATS)
        async with httpx.AsyncClient(
            base_url=target.url, timeout=300, headers=headers, limits=limits
        ) as many:

            async def one() -> str:
                for _ in range(60):
                    answer = await many.post("/briefs", json=body)
                    if answer.status_code not in BUSY:
                        assert answer.status_code == 202, answer.text
                        return str(answer.json()["id"])
                    await asyncio.sleep(1)
                raise AssertionError("never served")

            return list(await asyncio.gather(*(one() for _ in range(REPEATS))))

    assert len(set(asyncio.run(attack()))) == 1
    listed = client.get("/runs", params={"limit": 100}).json()
    assert len([run for run in listed if run["prompt"] == words]) == 1


@pytest.mark.parametrize("length", ["announced", "hidden", "false"])
def test_an_upload_of_a_gigabyte_fills_neither_disk_nor_memory(
    target: Target, client: httpx.Client, length: str
) -> None:
    """What comes after the limit of 20 MB is thrown away or not read."""
    memory, uploads = target.memory(), target.uploads()
    written = target.gateway.io_counters().write_bytes
    announced = {"announced": 1000 * MEGABYTE, "false": 1000}.get(length)
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=60)
    connection.putrequest("POST", "/uploads")
    connection.putheader("Authorization", client.headers["authorization"])
    connection.putheader("Content-Type", "multipart/form-data; boundary=x")
    if announced is None:
        connection.putheader("Transfer-Encoding", "chunked")
    else:
        connection.putheader("Content-Length", str(announced))
    connection.endheaders()
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    status = 0
    try:
        for number in range(1000):
            block = (head if not number else b"") + b"\0" * MEGABYTE
            frame = b"%x\r\n%b\r\n" % (len(block), block) if announced is None else block
            connection.send(frame)
    except OSError:
        pass  # the gateway has closed it
    try:
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException):
        status = 413  # it was gone before we looked
    connection.close()
    assert status in REFUSED
    assert target.gateway.io_counters().write_bytes < written + 100 * MEGABYTE
    assert target.memory() < memory + 100 * MEGABYTE
    assert target.uploads() == uploads
    assert target.answers()


def picture(width: int = 8, height: int = 8) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(target, format="png")
    return target.getvalue()


def part(name: str = 'name="file"; filename="a.png"', data: bytes = picture()) -> bytes:
    return b"--x\r\nContent-Disposition: form-data; " + name.encode() + b"\r\n\r\n" + data


MULTIPARTS: dict[str, tuple[str, bytes]] = {
    "no boundary": ("multipart/form-data", part() + b"\r\n--x--\r\n"),
    "another boundary": ("multipart/form-data; boundary=y", part() + b"\r\n--x--\r\n"),
    "an endless boundary": ("multipart/form-data; boundary=" + "x" * 5000, part()),
    "a boundary of quotes": ('multipart/form-data; boundary="', part() + b"\r\n--x--\r\n"),
    "never ended": ("multipart/form-data; boundary=x", part()),
    "empty": ("multipart/form-data; boundary=x", b""),
    "nothing but the end": ("multipart/form-data; boundary=x", b"--x--\r\n"),
    "no file": ("multipart/form-data; boundary=x", part('name="file"') + b"\r\n--x--\r\n"),
    "no name": ("multipart/form-data; boundary=x", part('filename="a"') + b"\r\n--x--\r\n"),
    "10,000 parts": (
        "multipart/form-data; boundary=x",
        (part('name="a"', b"1") + b"\r\n") * 10_000,
    ),
    "2,000 files": ("multipart/form-data; boundary=x", (part(data=b"1") + b"\r\n") * 2_000),
    "an endless header": (
        "multipart/form-data; boundary=x",
        b"--x\r\nX-A: " + b"a" * 500_000 + b"\r\n\r\n1\r\n--x--\r\n",
    ),
    "a header without colon": (
        "multipart/form-data; boundary=x",
        b"--x\r\nnothing\r\n\r\n1\r\n--x--",
    ),
    "bare line feeds": (
        "multipart/form-data; boundary=x",
        part().replace(b"\r\n", b"\n") + b"\n--x--",
    ),
    "in another multipart": (
        "multipart/form-data; boundary=x",
        part().replace(b"\r\n\r\n", b"\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n", 1),
    ),
    "another type": ("application/json", part() + b"\r\n--x--\r\n"),
    "what is no text": ("multipart/form-data; boundary=x", b"\xff\xfe\x00--x" * 1000),
}


@pytest.mark.parametrize(("kind", "data"), MULTIPARTS.values(), ids=MULTIPARTS)
def test_a_malformed_multipart_is_refused_and_keeps_nothing(
    target: Target, client: httpx.Client, kind: str, data: bytes
) -> None:
    uploads = target.uploads()
    answer = client.post("/uploads", content=data, headers={"Content-Type": kind})
    assert answer.status_code in REFUSED, answer.text
    assert set(answer.json()) == {"error"}
    assert target.uploads() == uploads


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a\0.png", "x" * 5000, "…"])
def test_the_name_of_an_uploaded_file_decides_nothing(
    target: Target, client: httpx.Client, name: str
) -> None:
    answer = client.post("/uploads", files={"file": (name, picture(), "image/png")})
    if answer.status_code == 201:
        key = answer.json()["image_path"]
        assert key.startswith("uploads/")
        assert len(key) == len("uploads/") + 64 + len(".png")
        assert key in target.uploads()
    else:
        assert answer.status_code in REFUSED


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))


def png(width: int, height: int, *more: bytes) -> bytes:
    """A PNG whose pixels are all zero, which hardly takes any room until it is unpacked; of a
    large one only the beginning is there."""
    rows = zlib.compressobj(9)
    line = b"\0" * min(1 + 3 * width, MEGABYTE)
    data = b"".join(rows.compress(line) for _ in range(min(height, 200))) + rows.flush()
    head = struct.pack("!IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pieces = chunk(b"IHDR", head) + b"".join(more) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + pieces


def zipped(size: int) -> bytes:
    """So many zeros, compressed."""
    packer = zlib.compressobj(9)
    block = bytes(MEGABYTE)
    return b"".join(packer.compress(block) for _ in range(size // MEGABYTE)) + packer.flush()


BOMBS: dict[str, Callable[[], bytes]] = {
    "50,000 pixels wide": lambda: png(50_000, 50_000),
    "two thousand million pixels wide": lambda: png(2**31 - 1, 1),
    "a quarter of a gigabyte of text": lambda: png(
        8, 8, chunk(b"zTXt", b"a\0\0" + zipped(250 * MEGABYTE))
    ),
    "a colour profile of that size": lambda: png(
        8, 8, chunk(b"iCCP", b"a\0\0" + zipped(250 * MEGABYTE))
    ),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_picture_that_unpacks_to_gigabytes_is_refused_or_harmless(
    target: Target, client: httpx.Client, bomb: Callable[[], bytes]
) -> None:
    data, memory, uploads = bomb(), target.memory(), target.uploads()
    answer = client.post("/uploads", files={"file": ("a.png", data, "image/png")})
    assert answer.status_code == 201 or answer.status_code in REFUSED, answer.text
    assert target.memory() < memory + 150 * MEGABYTE
    if answer.status_code == 201:  # its pixels are few: nothing else of the file was kept
        key = answer.json()["image_path"]
        found = target.studio.store.get_bytes(key)
        assert found is not None
        assert len(found) < 1000
    else:
        assert target.uploads() == uploads


JSON_BOMBS: dict[str, bytes] = {
    "100,000 lists": nested(100_000),
    "never ended": b'{"prompt":' + b"[" * 100_000,
    "a million digits": b'{"prompt": "a", "seed": ' + b"9" * 900_000 + b"}",
    "1e999": b'{"prompt": "a", "seconds": 1e999}',
    "NaN": b'{"prompt": "a", "seconds": NaN}',
    "minus infinity": b'{"prompt": "a", "guidance": -Infinity}',
    "the same name twice": b'{"prompt": "a", "seconds": 1, "seconds": -1}',
    "a hundred thousand names": json.dumps(
        {"prompt": "a"} | {f"n{number}": 0 for number in range(60_000)}
    ).encode(),
    "half a character": b'{"prompt": "\\ud800"}',
    "a NUL": b'{"prompt": "a\\u0000b"}',
    "no UTF-8": b'{"prompt": "\xff"}',
    "a list": b"[]",
    "null": b"null",
}


@pytest.mark.parametrize("data", JSON_BOMBS.values(), ids=JSON_BOMBS)
def test_a_hostile_json_starts_nothing(target: Target, client: httpx.Client, data: bytes) -> None:
    memory, runs = target.memory(), target.runs()
    header = {"Content-Type": "application/json"}
    assert client.post("/briefs", content=data, headers=header).status_code in REFUSED
    assert client.post("/api/v1/route", content=data, headers=header).status_code < 500
    assert target.runs() == runs
    # The Wan contract ignores names that it does not know: what is left may be a video of "a".
    answer = client.post("/generate/text-to-video", content=data, headers=header)
    assert answer.status_code < 500, answer.text
    assert target.memory() < memory + 150 * MEGABYTE


BRIEFS: dict[str, object] = {
    "seconds": [-1, 0, 1e9, float("nan"), float("inf"), "NaN", 10**400, [], {}],
    "seed": [-2, 2**64, 1.5, "x", 10**400],
    "frames": [0, -4, 32, 81, 10**9, 2.5],
    "steps": [-2, 0, 10**6],
    "guidance": [-2, float("nan"), 1e9],
    "upscale": [0, -2, 3, 400],
    "size": ["0*0", "99999*99999", "../x", "832*480*3", "", "-832*480"],
    "campaign": ["x" * 10_000, "a\r\nSet-Cookie: a=b", "a\0b", 5],
    "prompt": ["", " ", "x" * 100_000, "a\x1b[31m", 5, None],
    "style": ["x" * 100_000],
    "approval": ["root", 1],
    "approval_hours": [-1, float("nan"), 1e9],
    "priority": ["urgent", "../rush"],
    "image": ["../../etc/passwd", "http://127.0.0.1/", "videos/x", "uploads/../x.png"],
    "shots": [[{"shot": -1}], [{"shot": 10**9, "seed": 1}], [{"shot": 1, "seed": -5}], "x"],
    "nothing like it": [1],
}


@pytest.mark.parametrize("name", BRIEFS)
def test_a_value_beyond_its_bounds_is_named_and_starts_nothing(
    target: Target, client: httpx.Client, name: str
) -> None:
    runs = target.runs()
    for value in BRIEFS[name]:  # type: ignore[attr-defined]
        body = json.dumps({"prompt": "a red ball"} | {name: value}).encode()
        answer = client.post("/briefs", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422, (value, answer.text)
        assert name in answer.json()["error"]["message"], (value, answer.text)
    assert target.runs() == runs


def test_every_operation_has_an_owner(target: Target) -> None:
    """The document is what the other tests go by, so an attacker may read it too."""
    found = operations(httpx.get(f"{target.url}/openapi.json", timeout=60).json())
    assert len(found) > 15
