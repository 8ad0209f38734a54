"""Keeps processes running: what ends is started again, later each time it ends soon."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from infra.adapters.embedded import EmbeddedServer

_SHORTEST, _LONGEST = 1.0, 30.0
"""Seconds before a service that ended is started again."""
_STEADY = 60.0
"""Seconds after which a service counts as running well."""


class Stop:
    """Set by a signal's handler. A threading.Event would now and then wait for itself there: the
    handler runs in the thread that may hold the event's lock."""

    def __init__(self) -> None:
        self.asked = False

    def ask(self, *_: object) -> None:
        """The handler."""
        self.asked = True

    def wait(self, seconds: float) -> bool:
        """Sleep; returns whether a stop was asked for."""
        time.sleep(seconds)
        return self.asked


class Startable(Protocol):
    """A server or worker of the studio."""

    server: EmbeddedServer

    def wait(self) -> None: ...

    def stop(self) -> None: ...


@dataclass
class Service:
    """One line of the studio's table."""

    name: str
    start: Callable[[], Startable]
    where: str
    running: Startable | None = None
    _began: float = 0.0
    _delay: float = _SHORTEST
    _next: float = field(default=0.0)

    def begin(self) -> Startable:
        """Start it, without waiting until it is ready."""
        self._began = time.monotonic()
        self.running = self.start()
        return self.running

    def look(self, say: Callable[[str], None]) -> bool:
        """Start it again if it has ended and its time has come. Returns whether it did."""
        now = time.monotonic()
        if self.running is not None:
            code = self.running.server.ended()
            if code is None:
                return False
            self.running = None
            self._delay = (
                _SHORTEST if now - self._began > _STEADY else min(2 * self._delay, _LONGEST)
            )
            self._next = now + self._delay
            say(f"{self.name} ended with code {code}; starting again in {self._delay:g} s")
        elif now >= self._next:
            self.begin()
            return True
        return False

    def end(self) -> None:
        """Stop it, if it runs."""
        if self.running is not None:
            self.running.stop()
            self.running = None
