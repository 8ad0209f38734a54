"""A websocket to a remote backend that is only listened to."""

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from pipelines.errors import UnavailableError

_KEPT = 1000
"""Newest messages that are kept until somebody asks. Progress needs the newest only."""
_LARGEST = 16 * 2**20
"""Bytes of a message. Previews of pictures come on the same connection, and are thrown away."""
_FORGOTTEN, _TURN = 300.0, 30.0
"""Seconds after which a listener that nobody asks is closed: its run was interrupted. It looks for
that at least once in a turn."""


class WebsocketListener:
    """A Listener through the websockets library.

    A thread reads all the time: a server that cannot get rid of its messages would stop sending
    them to its other clients, too.
    """

    def __init__(self, connection: ClientConnection, where: str) -> None:
        self._connection, self._where = connection, where
        self._texts: deque[str] = deque(maxlen=_KEPT)
        self._asked = time.monotonic()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while time.monotonic() - self._asked < _FORGOTTEN:
            try:
                message = self._connection.recv(timeout=_TURN)
            except TimeoutError:
                continue
            except (WebSocketException, OSError):
                return  # `texts` says so
            if isinstance(message, str):
                self._texts.append(message)
        self._connection.close()

    def texts(self) -> Sequence[str]:
        """What came since the last call. Raises UnavailableError once the connection is broken."""
        self._asked = time.monotonic()
        broken = not self._thread.is_alive()
        found = [self._texts.popleft() for _ in range(len(self._texts))]
        if broken and not found:
            raise UnavailableError(f"{self._where}: the websocket is closed")
        return found

    def close(self) -> None:
        """End the connection and its thread. Raises nothing."""
        self._connection.close()
        self._thread.join()


def listen(
    address: str, headers: Mapping[str, str], where: str, *, timeout: float
) -> WebsocketListener:
    """A websocket to `address`, which begins with `ws://` or `wss://`. It follows no redirect.

    `where` names the backend in errors. Raises UnavailableError.
    """
    try:
        connection = connect(
            address,
            additional_headers=headers,
            open_timeout=timeout,
            close_timeout=1.0,
            max_size=_LARGEST,
            proxy=None,
        )
    except (WebSocketException, OSError, TimeoutError) as error:
        raise UnavailableError(
            f"{where}: no websocket can be had ({type(error).__name__}); its progress is not seen"
        ) from error
    return WebsocketListener(connection, where)
