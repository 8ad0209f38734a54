"""The heavy attacks on the gateway's edge. Loopback only; every one of them ends by itself."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from infra.adapters.object_store import ObjectStore
from infra.adapters.seaweed import SeaweedServer
from infra.adapters.settings import StoreSettings
from tests.attacks.sockets import crowd, flood, read_all, status_of
from tests.conftest import Cli
from tests.support.gateway import Gateway, brief, gateway
from tests.support.studio import wait_for

pytestmark = [pytest.mark.attacks, pytest.mark.xdist_group("gateway")]
HEAD = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
BODY = b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000\r\n\r\nkey="
MOST = 150_000_000


@pytest.fixture(scope="module")
def asked(deployed: Cli, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """With the limits that it has by default."""
    with gateway(deployed, tmp_path_factory.mktemp("attacked")) as found:
        yield found


def answers(found: Gateway) -> None:
    for path in ("/health", "/login", "/runs"):
        assert httpx.get(f"{found.url}{path}", timeout=60).status_code == 200, path


@pytest.mark.parametrize(
    ("start", "block"),
    [
        (HEAD, b"X: " + b"y" * 65_000 + b"\r\n"),
        (HEAD + b"X: ", b"y" * 65_536),
        (b"GET /", b"y" * 65_536),
        (
            b"POST /login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            b"X: " + b"y" * 65_000 + b"\r\n",
        ),
    ],
    ids=["headers", "one header", "address", "trailers"],
)
def test_150_mb_of_headers_are_not_swallowed(asked: Gateway, start: bytes, block: bytes) -> None:
    memory = psutil.Process(asked.process.pid)
    before = memory.memory_info().rss
    sent, reply = flood(asked.url, start, block, MOST)
    assert sent < 10_000_000
    assert status_of(reply) in (0, 400, 431)  # 0: hung up on while it was still sending
    assert memory.memory_info().rss - before < 50e6
    answers(asked)


@pytest.mark.parametrize("start", [b"", HEAD, HEAD + b"X: ", BODY], ids=range(4))
def test_hundreds_of_slow_sockets_leave_it_answering(asked: Gateway, start: bytes) -> None:
    with crowd(asked.url, 1_500, start):
        answers(asked)


def test_slow_sockets_are_hung_up_on(asked: Gateway) -> None:
    with crowd(asked.url, 300, HEAD) as slow:
        for connection in slow:
            assert b"408" in read_all(connection)


async def _watched(url: str, run: str, count: int) -> list[str]:
    """The last state that each of `count` streams of one address told."""
    limits = httpx.Limits(max_connections=count + 1)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=240) as client:
        begun = asyncio.Semaphore(0)

        async def watch() -> str:
            last = ""
            async with client.stream("GET", f"/runs/{run}/events") as stream:
                begun.release()
                async for line in stream.aiter_lines():
                    if line.startswith("data:"):
                        last = line
            return last

        streams = [asyncio.create_task(watch()) for _ in range(count)]
        for _ in range(count):
            await begun.acquire()
        assert (await client.get("/health")).status_code == 200
        await client.delete(f"/runs/{run}")
        return await asyncio.gather(*streams)


def test_600_event_streams_of_one_address(asked: Gateway) -> None:
    run = httpx.post(f"{asked.url}/briefs", json=brief(), timeout=60).json()["id"]
    ends = asyncio.run(_watched(asked.url, run, 600))
    assert len(ends) == 600
    assert all('"state":"cancelled"' in end for end in ends)


def test_streams_among_slow_sockets(asked: Gateway) -> None:
    run = httpx.post(f"{asked.url}/briefs", json=brief(), timeout=60).json()["id"]
    with crowd(asked.url, 900, HEAD):
        ends = asyncio.run(_watched(asked.url, run, 100))
    assert all('"state":"cancelled"' in end for end in ends)


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process stands still, as if its machine hung."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_stopped_store_stops_nobody_else(deployed: Cli, tmp_path: Path) -> None:
    """With many who ask for videos all the time; then it goes on, and so do they."""
    server = SeaweedServer(tmp_path / "store")
    server.wait()
    settings = StoreSettings(
        endpoint=server.endpoint,
        access_key=server.credentials.access_key,
        secret_key=server.credentials.secret_key,  # type: ignore[arg-type]
    )
    ObjectStore(settings).ensure_bucket()
    env = {
        "REELWRIGHT_S3_ENDPOINT": settings.endpoint,
        "REELWRIGHT_S3_ACCESS_KEY": settings.access_key,
        "REELWRIGHT_S3_SECRET_KEY": settings.secret_key.get_secret_value(),
        "REELWRIGHT_S3_BUCKET": settings.bucket,
    }
    done, codes = threading.Event(), []

    def look(url: str, number: int) -> None:
        while not done.wait(0.1):
            codes.append(httpx.get(f"{url}/videos/{number:064x}.mp4", timeout=120).status_code)

    try:
        with gateway(deployed, tmp_path / "data", **env) as found:
            lookers = [threading.Thread(target=look, args=(found.url, n)) for n in range(60)]
            with stopped(server.server.pid):
                for looker in lookers:
                    looker.start()
                for _ in range(10):
                    answers(found)
                ready = httpx.get(f"{found.url}/ready", timeout=60)
                assert (ready.status_code, ready.json()["store"]) == (503, False)
                wait_for("a refusal", lambda: 503 in codes)
                done.set()
            for looker in lookers:
                looker.join()
            wait_for(
                "the store", lambda: httpx.get(f"{found.url}/ready", timeout=60).status_code == 200
            )
            assert httpx.get(f"{found.url}/videos/{0:064x}.mp4", timeout=60).status_code == 404
            log = (tmp_path / "data" / "gateway.log").read_text()
            assert "Connection pool is full" not in log
            assert "Traceback" not in log
    finally:
        done.set()
        server.stop()


def test_many_downloads_at_once_leave_no_warnings(asked: Gateway) -> None:
    async def ask() -> set[int]:
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(base_url=asked.url, limits=limits, timeout=120) as client:
            names = [f"/videos/{number:064x}.mp4" for number in range(400)]
            return {a.status_code for a in await asyncio.gather(*map(client.get, names))}

    assert asyncio.run(ask()) <= {404, 503}
    log = Path(asked.cli.env["REELWRIGHT_DATA_DIR"]) / "gateway.log"
    assert "Connection pool is full" not in log.read_text()
