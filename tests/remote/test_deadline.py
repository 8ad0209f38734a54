"""A server that sends a byte now and then holds no worker."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from infra.adapters.remote.breaker import Breaker
from infra.adapters.remote.connection import HttpConnection
from pipelines.backends.remote.config import RemoteConfig
from pipelines.errors import AnswerLostError, MediaError, UnavailableError

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n"
STARTS = {
    "its headers": HEAD + b"X-Slow: ",
    "a body of a known length": HEAD + b"Content-Length: 1000000\r\n\r\n",
    "a body that the connection's end ends": HEAD + b"Connection: close\r\n\r\n",
}


@pytest.fixture
def trickling() -> Iterator[Callable[[bytes], str]]:
    """Starts a server that sends the given bytes and then one byte each 10 ms, without an end.
    Returns its address."""
    stop, threads, sockets = threading.Event(), list[threading.Thread](), list[socket.socket]()

    def serve(listener: socket.socket, start: bytes) -> None:
        with suppress(OSError):
            while True:
                taken, _ = listener.accept()
                with taken, suppress(OSError):
                    taken.recv(65536)
                    taken.sendall(start)
                    while not stop.wait(0.01):
                        taken.sendall(b"x")

    def go(start: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        sockets.append(listener)
        threads.append(threading.Thread(target=serve, args=(listener, start)))
        threads[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield go
    stop.set()
    for listener in sockets:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    for thread in threads:
        thread.join()


def connection(address: str) -> HttpConnection:
    """Its limits are short, and much longer than the pause between two bytes."""
    config = RemoteConfig(
        name="slow", kind="any", address=address, timeout_seconds=0.1, job_seconds=0.2
    )
    return HttpConnection(config, breaker=Breaker(), pause=lambda _: None)


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_an_answer_that_trickles_is_given_up(
    trickling: Callable[[bytes], str], start: bytes
) -> None:
    link = connection(trickling(start))
    with pytest.raises(AnswerLostError, match=r"no whole answer \(ReadTimeout\)"):
        link.send("POST", "/jobs", json={})
    with pytest.raises(UnavailableError, match=r"no whole answer \(ReadTimeout\)"):
        link.send("GET", "/jobs/1")


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_a_clip_that_trickles_is_given_up_and_leaves_no_file(
    trickling: Callable[[bytes], str], tmp_path: Path, start: bytes
) -> None:
    link = connection(trickling(start))
    with pytest.raises((MediaError, UnavailableError)):
        link.download("/clip.mp4", tmp_path / "clip.mp4", limit=10**9)
    assert list(tmp_path.iterdir()) == []
