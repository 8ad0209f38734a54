"""What a client may cost before anybody knows who it is."""

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from infra.apps.gateway.connections import Connections, client_of
from infra.apps.gateway.problems import ProblemError
from infra.apps.gateway.readiness import Readiness
from infra.apps.gateway.store_work import THREADS, StoreWork
from tests.attacks.sockets import connect, crowd, drip, exchange, read_all, silent_server, status_of
from tests.conftest import Cli
from tests.support.gateway import Gateway, brief, gateway
from tests.support.hooks import PAYLOAD, Sender, settings_of
from tests.support.studio import wait_for

pytestmark = pytest.mark.xdist_group("gateway")
LIMITS = {
    "REELWRIGHT_GATEWAY_HEADER_SECONDS": "1",
    "REELWRIGHT_GATEWAY_BODY_SECONDS": "1",
    "REELWRIGHT_GATEWAY_KEEP_ALIVE_SECONDS": "1",
    "REELWRIGHT_GATEWAY_CONNECTIONS_PER_CLIENT": "20",
}
HEAD = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = b"POST /login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
LONG = b"x" * 40_000


@pytest.fixture(scope="module")
def asked(deployed: Cli, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(deployed, tmp_path_factory.mktemp("edge"), **LIMITS) as found:
        yield found


@pytest.fixture
def client(asked: Gateway) -> Iterator[httpx.Client]:
    with asked.client() as client:
        yield client


TOO_LARGE = {
    "one header": HEAD + b"X: " + LONG + b"\r\n\r\n",
    "many headers": HEAD + b"X: y\r\n" * 7_000 + b"\r\n",
    "a header without an end": HEAD + b"X: " + LONG,
    "the address": b"GET /" + LONG + b" HTTP/1.1\r\n\r\n",
    "a chunk's extension": CHUNKED + b"5;" + LONG,
    "trailers": CHUNKED + b"0\r\n" + b"X: y\r\n" * 7_000,
    "one trailer": CHUNKED + b"0\r\nX: " + LONG,
}


@pytest.mark.parametrize("data", TOO_LARGE.values(), ids=TOO_LARGE)
def test_a_head_has_a_size(asked: Gateway, data: bytes) -> None:
    assert status_of(exchange(asked.url, data)) in (431, 400)  # 400: httptools has limits too


def test_a_head_within_the_size_is_read(client: httpx.Client) -> None:
    assert client.get("/health", headers={"X": "y" * 30_000}).status_code == 200


LATE = {
    "a head": HEAD + b"X: ",
    "a body": b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nkey=",
    "a chunk": CHUNKED + b"5\r\nke",
}


@pytest.mark.parametrize("data", LATE.values(), ids=LATE)
def test_who_does_not_finish_is_told_and_hung_up_on(asked: Gateway, data: bytes) -> None:
    reply = exchange(asked.url, data)
    assert b"408" in reply
    assert b"too_slow" in reply


@pytest.mark.parametrize(
    "start", [b"", b"\r\n", HEAD + b"\r\n", HEAD + b"\r\n" + HEAD], ids=range(4)
)
def test_a_connection_that_asks_nothing_is_closed(asked: Gateway, start: bytes) -> None:
    with connect(asked.url) as connection:
        connection.sendall(start)
        reply = read_all(connection)
        assert reply.count(b" 200 OK") == start.count(HEAD + b"\r\n")
        assert connection.recv(1) == b""  # closed by the gateway


@pytest.mark.parametrize("start", [HEAD, HEAD + b"\r\n" + b"\r\n"], ids=["head", "between"])
def test_a_byte_now_and_then_does_not_hold_a_connection(asked: Gateway, start: bytes) -> None:
    with connect(asked.url) as connection:
        connection.sendall(start)
        assert drip(connection, b"\r\n" if start.endswith(b"\r\n\r\n") else b"a", 0.2, 60)


def test_the_slow_make_room_for_others(asked: Gateway, client: httpx.Client) -> None:
    with crowd(asked.url, 60, HEAD):
        assert client.get("/health").status_code == 200
        assert client.get("/login").status_code == 200


def test_event_streams_keep_their_places(asked: Gateway, client: httpx.Client) -> None:
    run = client.post("/briefs", json=brief()).json()["id"]
    ask = f"GET /runs/{run}/events HTTP/1.1\r\nHost: localhost:1\r\n\r\n".encode()
    with crowd(asked.url, 18, ask) as streams:
        for stream in streams:
            first = b""
            while b"accepted" not in first:  # it may come with the head, or after it
                block = stream.recv(65536)
                assert block
                first += block
        # Each with a connection of its own: an idle one may be pushed out.
        with crowd(asked.url, 30), asked.client() as another:
            assert another.get("/health").status_code == 200
        with asked.client() as another:
            another.delete(f"/runs/{run}")
        for stream in streams:  # to the end: the slow did not push them out
            stream.sendall(b"")
            last = b""
            while b"cancelled" not in last:
                block = stream.recv(65536)
                assert block
                last += block


def test_without_room_the_next_is_told_so(asked: Gateway, client: httpx.Client) -> None:
    run = client.post("/briefs", json=brief()).json()["id"]
    client.close()
    ask = f"GET /runs/{run}/events HTTP/1.1\r\nHost: localhost:1\r\n\r\n".encode()
    with crowd(asked.url, 20, ask) as streams:
        for stream in streams:
            assert stream.recv(100)
        with connect(asked.url) as late:
            assert status_of(read_all(late)) == 503
    with asked.client() as again:
        again.delete(f"/runs/{run}")


def test_every_answer_keeps_other_sites_out(asked: Gateway, client: httpx.Client) -> None:
    for path in ("/health", "/static/style.css", "/login", "/nowhere", "/runs", "/openapi.json"):
        answer = client.get(path)
        assert answer.headers["x-frame-options"] == "DENY", path
        assert answer.headers["x-content-type-options"] == "nosniff", path
    for data in (b"\x00\r\n\r\n", TOO_LARGE["one header"], LATE["a body"]):
        assert b"x-frame-options: deny" in exchange(asked.url, data).lower()


def test_a_page_of_another_site_cannot_show_what_this_machine_may_see(
    client: httpx.Client,
) -> None:
    """A page of this host at another port, as Prefect's, may; and a link to us is followed."""
    elsewhere = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    assert client.get("/runs", headers=elsewhere).status_code == 401
    for allowed in (
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    ):
        assert client.get("/runs", headers=allowed).status_code == 200


def test_it_may_open_as_many_files_as_the_system_allows(asked: Gateway) -> None:
    soft, hard = psutil.Process(asked.process.pid).rlimit(psutil.RLIMIT_NOFILE)
    assert soft == hard


# A store that stands still, a full disk -------------------------------------------------------


@pytest.fixture(scope="module")
def stuck(deployed: Cli, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """With a store that takes connections and answers nothing, and no room on its disk."""
    folder = tmp_path_factory.mktemp("stuck")
    with silent_server() as address:
        env = settings_of(folder, []) | {
            "REELWRIGHT_S3_ENDPOINT": address,
            "REELWRIGHT_GATEWAY_STORE_SECONDS": "1",
            "REELWRIGHT_GATEWAY_FREE_MB": "1000000000",
        }
        with gateway(deployed, folder, **env) as found:
            yield found
            found.process.kill()  # its threads still wait for the store


def test_a_store_that_stands_still_stops_nobody_else(stuck: Gateway) -> None:
    names = [f"/videos/{number:064x}.mp4" for number in range(60)]

    def ask(path: str) -> int:
        return httpx.get(f"{stuck.url}{path}", timeout=60).status_code

    with ThreadPoolExecutor(60) as pool:
        waiting = [pool.submit(ask, name) for name in names]
        for path in ("/health", "/login", "/runs", "/new", "/models"):
            assert ask(path) == 200, path
        assert {answer.result() for answer in waiting} == {503}
    ready = {"prefect": True, "store": False}
    wait_for("Prefect alone", lambda: httpx.get(f"{stuck.url}/ready", timeout=60).json() == ready)


def test_a_brief_for_a_full_disk_is_refused_whichever_way_it_comes(stuck: Gateway) -> None:
    before = len(stuck.runs())
    with stuck.client() as client:
        answers = [
            client.post("/briefs", json=brief()),
            client.post("/generate/text-to-video", json=brief()),
            client.post("/uploads", files={"file": b"x"}),
            Sender(client).send(PAYLOAD),
        ]
        for answer in answers:
            assert answer.status_code == 507
            assert answer.json()["error"]["code"] == "disk_full"
            assert "1,000,000,000 MB are needed" in answer.json()["error"]["message"]
        page = client.post("/new", data={"prompt": "a red ball"})
        assert page.status_code == 507
        assert "MB are free" in page.text
    assert len(stuck.runs()) == before


# The parts by themselves ----------------------------------------------------------------------


class Opened:
    """A connection that remembers whether it had to give way."""

    evicted = False

    def evict(self) -> None:
        self.evicted = True


def test_who_waits_longest_gives_way_and_who_works_does_not() -> None:
    connections = Connections(3, 100, 10_000)
    first, second, third, fourth, fifth = (Opened() for _ in range(5))
    assert all(connections.enter(item, "192.0.2.1") for item in (first, second, third))
    connections.work(first)
    assert connections.enter(fourth, "192.0.2.1")
    assert [item.evicted for item in (first, second, third)] == [False, True, False]
    assert connections.enter(Opened(), "192.0.2.2")  # another client has room of its own
    for item in (third, fourth):
        connections.work(item)
    assert not connections.enter(fifth, "192.0.2.1")
    connections.leave(third)
    assert connections.enter(fifth, "192.0.2.1")


def test_when_all_places_are_taken_the_busiest_client_makes_room() -> None:
    connections = Connections(100, 10, 10_000)
    many = [Opened() for _ in range(9)]
    few = Opened()
    for item in many:
        connections.enter(item, "192.0.2.1")
    connections.enter(few, "192.0.2.2")
    assert connections.enter(Opened(), "192.0.2.3")
    assert many[0].evicted
    assert not few.evicted


def test_a_client_of_ipv6_has_a_network() -> None:
    assert client_of("2001:db8::1") == client_of("2001:db8::ffff") != client_of("2001:db8:0:1::1")
    assert client_of("::ffff:192.0.2.1") == client_of("192.0.2.1") == "192.0.2.1"
    assert client_of("::1") != client_of("127.0.0.1")


def test_calls_that_hang_keep_their_threads_and_no_more() -> None:
    stop, started = threading.Event(), threading.Semaphore(0)

    def hang() -> str:
        started.release()
        stop.wait(60)
        return "late"

    async def ask(work: StoreWork) -> None:
        with pytest.raises(ProblemError) as refused:
            await work.run(hang, patience=0.2)
        assert (refused.value.status, refused.value.headers["Retry-After"]) == (503, "5")

    async def main() -> None:
        work = StoreWork(60)
        await asyncio.gather(*(ask(work) for _ in range(2 * THREADS)))
        assert all(started.acquire(timeout=60) for _ in range(THREADS))
        assert not started.acquire(blocking=False)
        stop.set()
        assert await work.run(lambda: "at once") == "at once"
        work.close()

    asyncio.run(main())


def test_many_who_ask_whether_it_is_ready_ask_once() -> None:
    async def main() -> None:
        calls: list[str] = []
        never = asyncio.Event()

        async def good() -> bool:
            calls.append("good")
            return True

        async def bad() -> bool:
            calls.append("bad")
            raise OSError("gone")

        async def stuck() -> bool:
            calls.append("stuck")
            await never.wait()
            return True

        readiness = Readiness(good=good, bad=bad)
        answers = await asyncio.gather(*(readiness.look() for _ in range(50)))
        assert all(answer == {"good": True, "bad": False} for answer in answers)
        assert calls == ["good", "bad"]
        slow = Readiness(stuck=stuck)
        assert await slow.look() == {"stuck": False}
        slow._when = float("-inf")
        assert await slow.look() == {"stuck": False}
        assert calls.count("stuck") == 1
        never.set()

    asyncio.run(main())


def test_the_gateway_s_log_stays_empty(asked: Gateway) -> None:
    """The last of these tests: nothing above is worth a line each."""
    exchange(asked.url, b"\x00\r\n\r\n")
    log = Path(asked.cli.env["REELWRIGHT_DATA_DIR"]) / "gateway.log"
    assert "Traceback" not in log.read_text()
    assert "Invalid HTTP" not in log.read_text()
    assert json.loads(httpx.get(f"{asked.url}/health", timeout=60).content) == {"status": "ok"}
