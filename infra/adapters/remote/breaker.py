"""Leaves a backend alone for a while after it failed several times in a row.

One breaker a backend and process. A worker's process executes one run at a time, so a run that
waits for a dead server does not slow the others of its host.
"""

import threading
import time
from collections.abc import Callable

_FAILURES = 5
"""Failures in a row that open it."""
_FIRST_REST, _LONGEST_REST = 30.0, 600.0
"""Seconds for which it stays open; doubled each time that the trial after it fails."""


class Breaker:
    """Counts failures. While it is open, nothing is sent; then one request is a trial."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._failures, self._rest, self._closed_at = 0, _FIRST_REST, 0.0

    def seconds_left(self) -> float:
        """How long it stays open; 0 if a request may be sent."""
        with self._lock:
            return max(0.0, self._closed_at - self._clock())

    def succeeded(self) -> None:
        """The server answered."""
        with self._lock:
            self._failures, self._rest, self._closed_at = 0, _FIRST_REST, 0.0

    def failed(self) -> None:
        """The server could not be reached, or said that it cannot work."""
        with self._lock:
            self._failures += 1
            if self._failures >= _FAILURES:
                self._closed_at = self._clock() + self._rest
                self._rest = min(2 * self._rest, _LONGEST_REST)


_breakers: dict[str, Breaker] = {}


def breaker_of(backend: str) -> Breaker:
    """The breaker of a backend in this process."""
    return _breakers.setdefault(backend, Breaker())
