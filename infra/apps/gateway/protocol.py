"""HTTP with limits: what a client may cost before anybody knows who it is.

uvicorn's protocol waits for ever for the rest of a head or body and keeps every header that comes.
Here a head has a size and a deadline, a body must make progress, an answer must be read, and
connections are counted. Where there are too many of them, the one that has said nothing
complete for longest gives way, so that slow clients cannot keep the others out.
"""

import asyncio
import json
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from infra.adapters.settings import GatewaySettings
from infra.apps.gateway.connections import Connections

_BODY_RATE = 1_000
"""Bytes a second that a body must bring on average."""
_FRAMING = 6
"""Bytes of chunk headers beside each byte of a body, where every chunk has one byte."""
_UNREAD = 40_000_000
"""Bytes of a body that are swallowed after its request was answered."""
_LINGER = 1.0
"""Seconds in which a refused client can read why, before the connection is cut."""


class LimitedProtocol(HttpToolsProtocol):
    """One connection. Subclasses of `limited` know the limits."""

    settings: ClassVar[GatewaySettings]
    shared: ClassVar[Connections]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._fed = self._head = self._body = self._body_before = 0
        self._complete = False
        self._refused = False
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        if self.shared.enter(self, self.client[0] if self.client else ""):
            self._arm(self.settings.header_seconds, self._head_is_late)
        else:
            self._refuse(503, "too_many", "too many connections; try again in a while")
            self.transport.close()  # without lingering: there is no room for it

    def connection_lost(self, exc: Exception | None) -> None:
        self.shared.leave(self)
        self._disarm()
        self._drop_unread()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def evict(self) -> None:
        """Close this connection to make room for another one."""
        self.transport.abort()

    # What arrives ------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._fed += len(data)
        if self._deadline is None and not self._is_busy():
            self._arm(self.settings.header_seconds, self._head_is_late)
        super().data_received(data)
        if self._fed - self._body > self.settings.header_bytes + _FRAMING * self._body:
            self._refuse_head()

    def on_message_begin(self) -> None:
        if self._refused:
            return
        self._complete = False
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._head += len(url)
        if self._head <= self.settings.header_bytes:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head += len(name) + len(value) + 4
        if self._head <= self.settings.header_bytes:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._head > self.settings.header_bytes:
            self._refuse_head()
        if self._refused:
            return
        self._body_before = 0
        self._arm(self.settings.body_seconds, self._look_at_body)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._refused:
            return
        self._body += len(body)
        super().on_body(body)
        if self._body > _UNREAD and self.cycle.response_complete:
            self._refuse(413, "too_large", "the request was answered; its body goes on")

    def on_message_complete(self) -> None:
        if self._refused:
            return
        self._disarm()
        self._fed = self._head = self._body = 0
        self._complete = True
        super().on_message_complete()
        if self._is_busy():
            self.shared.work(self)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._is_busy():
            self.shared.wait(self)

    def _is_busy(self) -> bool:
        """Whether a complete request waits for the end of its response."""
        if self.pipeline:
            return True
        return self._complete and self.cycle is not None and not self.cycle.response_complete

    # Deadlines ---------------------------------------------------------------------------------

    def _arm(self, seconds: float, act: Any) -> None:
        self._disarm()
        self._deadline = self.loop.call_later(seconds, act)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _head_is_late(self) -> None:
        self._deadline = None
        if self._is_busy():
            return  # a request is being answered; the next one has its time afterwards
        if self._fed == 0:
            self.transport.close()  # a browser opens connections that it may need
        else:
            seconds = self.settings.header_seconds
            self._refuse(408, "too_slow", f"the head of a request may take {seconds:g} s")

    def _look_at_body(self) -> None:
        """Refuse a body that has not grown since the last check, unless we ourselves stopped
        reading."""
        seconds = self.settings.body_seconds
        grown, self._body_before = self._body - self._body_before, self._body
        if grown < _BODY_RATE * seconds and not self.flow.read_paused:
            self._deadline = None
            self._refuse(
                408,
                "too_slow",
                f"a body must bring {_BODY_RATE * seconds:g} bytes in {seconds:g} s",
            )
        else:
            self._arm(seconds, self._look_at_body)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(self.settings.write_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        self._drop_unread()
        super().resume_writing()

    def _drop_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    # Refusals ----------------------------------------------------------------------------------

    def _refuse_head(self) -> None:
        limit = self.settings.header_bytes
        self._refuse(431, "headers_too_large", f"the head of a request may have {limit:,} bytes")

    def _refuse(self, status: int, code: str, message: str) -> None:
        """Send the reason, if no response has begun, and close the connection."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self._disarm()
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.abort()
                return
        body = json.dumps({"error": {"code": code, "message": message}}).encode()
        headers = [
            *self.server_state.default_headers,
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        if status == 503:
            headers.append((b"retry-after", b"5"))
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        self.transport.write(STATUS_LINE[status] + lines + b"\r\n" + body)
        # Closed at once, with bytes of the client unread, the kernel would take the answer back.
        self.flow.resume_reading()
        self.transport.write_eof()
        self._deadline = self.loop.call_later(_LINGER, self.transport.abort)


def limited(settings: GatewaySettings, descriptors: int) -> type[LimitedProtocol]:
    """The protocol for uvicorn's `http`, with the limits of `settings`.

    `descriptors` is how many files the process may open: connections leave it some for others.
    """
    shared = Connections(settings.connections_per_client, settings.connections, descriptors)
    return type("Limited", (LimitedProtocol,), {"settings": settings, "shared": shared})
