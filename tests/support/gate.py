"""A gate on the way to a server: it holds a request there until a test lets it go on.

So a test can kill a process exactly when its request has not arrived yet, or when the server has
done what it asked but the answer has not arrived.
"""

import contextlib
import re
import select
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import psutil

from tests.support.studio import wait_for


@dataclass
class Hold:
    """Which requests are held, and those that are held now."""

    pattern: re.Pattern[bytes]
    """Of the beginning of a request: method, space, path."""
    answered: bool
    """Whether the server gets the request, and only its answer is held."""
    skip: int
    """How many requests go through before."""
    free: threading.Event = field(default_factory=threading.Event)
    ports: list[int] = field(default_factory=list)
    """Where the held requests come from."""

    def processes(self, count: int = 1) -> list[psutil.Process]:
        """Who sent the held requests, as soon as they are `count`."""
        ports = wait_for(f"{count} x {self.pattern.pattern!r}", lambda: self._some(count))
        found = [_process_at(port) for port in ports]
        assert all(found), "whoever sent a held request has ended"
        return [item for item in found if item]

    def process(self) -> psutil.Process:
        """Who sent the held request, as soon as there is one."""
        return self.processes()[0]

    def _some(self, count: int) -> list[int]:
        return self.ports[:count] if len(self.ports) >= count else []


class Gate:
    """Hands everything on to `target`, a host and a port, and holds what a test says."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._hold: Hold | None = None
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.endpoint = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    @contextlib.contextmanager
    def holding(self, request: str, *, answered: bool = False, skip: int = 0) -> Iterator[Hold]:
        """Hold requests that begin with the regular expression `request`, as long as the block
        lasts. Then they go on, unless whoever sent them has been killed."""
        self._hold = hold = Hold(re.compile(request.encode()), answered, skip)
        try:
            yield hold
        finally:
            self._hold = None
            hold.free.set()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(self._target) as server:
            held: list[Hold] = []
            back = threading.Thread(target=self._answer, args=(server, client, held), daemon=True)
            back.start()
            self._ask(client, server, held)
            back.join()

    def _ask(self, client: socket.socket, server: socket.socket, held: list[Hold]) -> None:
        """Hand requests on. A client sends the head of each one in a block of its own."""
        with contextlib.suppress(OSError):
            while block := client.recv(65_536):
                hold = self._hold_for(block)
                if hold and hold.answered:
                    held.append(hold)
                elif hold:
                    hold.ports.append(client.getpeername()[1])
                    hold.free.wait()
                    if _is_closed(client):
                        break
                server.sendall(block)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _answer(self, server: socket.socket, client: socket.socket, held: list[Hold]) -> None:
        with contextlib.suppress(OSError):
            while block := server.recv(65_536):
                if held:
                    hold = held.pop()
                    hold.ports.append(client.getpeername()[1])
                    hold.free.wait()
                client.sendall(block)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_WR)

    def _hold_for(self, block: bytes) -> Hold | None:
        with self._lock:
            hold = self._hold
            if hold is None or not hold.pattern.match(block):
                return None
            hold.skip -= 1
            return hold if hold.skip < 0 else None


def _is_closed(client: socket.socket) -> bool:
    """Whether the other end has closed the connection, also if what it sent before waits here."""
    poll = select.poll()
    poll.register(client, select.POLLRDHUP)
    return bool(poll.poll(0))


def _process_at(port: int) -> psutil.Process | None:
    for item in psutil.net_connections("tcp4"):
        if item.laddr and item.laddr.port == port and item.pid:
            return psutil.Process(item.pid)
    return None
