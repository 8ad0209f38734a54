"""Clients that keep to no rule: raw sockets, slow ones, and servers that say nothing.

Loopback only, and every loop ends by itself.
"""

import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import urlsplit

PATIENCE = 60.0
"""Seconds after which a socket gives up; nothing is asserted about speed."""
_MOST = 1_000_000


def connect(url: str) -> socket.socket:
    """A connection to the server of `url`."""
    parts = urlsplit(url)
    assert parts.hostname in ("127.0.0.1", "localhost"), "loopback only"
    return socket.create_connection((parts.hostname, parts.port or 80), timeout=PATIENCE)


def read_all(connection: socket.socket) -> bytes:
    """What the server says until it hangs up; also what came before a reset."""
    blocks: list[bytes] = []
    while sum(map(len, blocks)) < _MOST:
        try:
            block = connection.recv(65536)
        except ConnectionError:
            break
        if not block:
            break
        blocks.append(block)
    return b"".join(blocks)


def exchange(url: str, data: bytes) -> bytes:
    """What the server of `url` says to `data` until it hangs up. The client waits for that."""
    with connect(url) as connection:
        with suppress(ConnectionError):  # it may have hung up already
            connection.sendall(data)
        return read_all(connection)


def status_of(reply: bytes) -> int:
    """The status of a raw answer; 0 if there is none."""
    return int(reply.split(b" ", 2)[1]) if reply.startswith(b"HTTP/1.1 ") else 0


def flood(url: str, start: bytes, block: bytes, most: int) -> tuple[int, bytes]:
    """Send `start`, then `block` until the server hangs up or `most` bytes were sent.

    Returns how many were sent, and what the server said.
    """
    with connect(url) as connection:
        connection.sendall(start)
        sent = 0
        try:
            while sent < most and not select.select([connection], [], [], 0)[0]:
                connection.sendall(block)
                sent += len(block)
        except (ConnectionError, TimeoutError):
            pass
        return sent, read_all(connection)


def drip(connection: socket.socket, data: bytes, pause: float, seconds: float) -> bytes:
    """Send `data` a byte at a time, again and again, until the server hangs up or `seconds` are
    over. Returns what it said."""
    end, number = time.monotonic() + seconds, 0
    while time.monotonic() < end and not select.select([connection], [], [], pause)[0]:
        try:
            connection.send(data[number % len(data) : number % len(data) + 1])
        except ConnectionError:
            break
        number += 1
    return read_all(connection) if time.monotonic() < end else b""


@contextmanager
def crowd(url: str, count: int, start: bytes = b"") -> Iterator[list[socket.socket]]:
    """`count` open connections, each of which has said `start` and no more."""
    with ExitStack() as stack:
        opened = []
        for _ in range(count):
            connection = stack.enter_context(connect(url))
            if start:
                connection.sendall(start)
            opened.append(connection)
        yield opened


@contextmanager
def silent_server() -> Iterator[str]:
    """`host:port` of a server that takes connections and never says a word, as a stopped process
    does."""
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def tunnel(url: str) -> Iterator[str]:
    """The address of a proxy that hands on bytes and adds nothing, as an SSH tunnel does."""
    parts = urlsplit(url)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                try:
                    client, _ = server.accept()
                except TimeoutError:
                    continue
                threading.Thread(target=_hand_on, args=(client, parts.port), daemon=True).start()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            stop.set()
            thread.join()


def _hand_on(client: socket.socket, port: int) -> None:
    with client, socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as target:
        other = {client: target, target: client}
        while True:
            ready, _, _ = select.select(list(other), [], [], PATIENCE)
            for source in ready:
                data = source.recv(65536)
                if not data:
                    return
                other[source].sendall(data)
            if not ready:
                return
