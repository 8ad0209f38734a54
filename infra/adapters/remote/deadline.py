"""The most time that one HTTP request may take as a whole.

The timeouts of httpx hold for each read of the socket, so a server that sends a byte now and then
could hold a worker for ever. A timer ends the connection instead: a read that waits then returns.
"""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import httpcore
import httpx

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class Deadline:
    """A context around one request, which is given `trace` as its extension of that name.

    Raises httpx.ReadTimeout at the end of the block if the time was over: the answer is incomplete
    then, also where httpx took the end of the connection for the end of the answer.
    """

    def __init__(self, start: float, total: float) -> None:
        """`start`: seconds from the end of the request to the end of the answer's headers.
        `total`: seconds for everything, the answer's body included."""
        self._start, self._total = start, total
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._is_over = False
        self._timers: list[threading.Timer] = []

    def __enter__(self) -> Self:
        self._begin(self._total)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for timer in self._timers:
            timer.cancel()
        is_ours = error is None or isinstance(error, httpx.HTTPError)
        if self._is_over and is_ours and not isinstance(error, _NOT_SENT):
            raise httpx.ReadTimeout("the server took too long for its whole answer") from error

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """What httpcore calls at each step of the request."""
        match event:
            case "connection.connect_tcp.complete" | "connection.start_tls.complete":
                self._connected(info["return_value"])
            case "http11.receive_response_headers.started":
                self._begin(self._start)
            case "http11.receive_response_headers.complete":
                self._timers.pop().cancel()

    def _begin(self, seconds: float) -> None:
        timer = threading.Timer(seconds, self._end)
        timer.daemon = True
        timer.start()
        self._timers.append(timer)

    def _connected(self, stream: httpcore.NetworkStream) -> None:
        with self._lock:
            self._socket = stream.get_extra_info("socket")
        if self._is_over:
            self._end()

    def _end(self) -> None:
        with self._lock:
            self._is_over = True
            if self._socket is not None:
                with suppress(OSError):  # it is closed already
                    self._socket.shutdown(socket.SHUT_RDWR)
