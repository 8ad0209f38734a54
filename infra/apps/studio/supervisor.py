"""Restarts services that end, with a delay that doubles while they end soon after their start."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from infra.adapters.embedded import EmbeddedServer
from pipelines.errors import ReelwrightError

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
        """The signal handler: remember that a stop was asked for."""
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
    """A service: how to start it, and where it is reached."""

    name: str
    start: Callable[[], Startable]
    where: str
    running: Startable | None = None
    _began: float = 0.0
    _delay: float = _SHORTEST
    _next: float = field(default=0.0)
    _trouble: str = ""
    """Why it could not be started at the last attempt."""

    def begin(self) -> Startable:
        """Start it, without waiting until it is ready."""
        self._began = time.monotonic()
        self.running = self.start()
        return self.running

    def look(self, say: Callable[[str], None]) -> bool:
        """Start it again if it has ended and its time has come. Returns whether it did.

        One that cannot be started, as on a full disk, is tried again later: the other parts go on.
        """
        now = time.monotonic()
        if self.running is not None:
            code = self.running.server.ended()
            if code is None:
                return False
            self.running = None
            self._put_off(now)
            say(f"{self.name} ended with code {code}; starting again in {self._delay:g} s")
        elif now >= self._next:
            return self._try(say, now)
        return False

    def _try(self, say: Callable[[str], None], now: float) -> bool:
        try:
            self.begin()
        except (OSError, ReelwrightError) as error:
            self._put_off(now)
            if self._trouble != str(error):  # said once, not at every attempt
                say(
                    f"{self.name} cannot be started: {error}; trying again, after {_LONGEST:g} s "
                    "at the latest"
                )
            self._trouble = str(error)
            return False
        self._trouble = ""
        return True

    def _put_off(self, now: float) -> None:
        soon = now - self._began <= _STEADY
        self._delay = min(2 * self._delay, _LONGEST) if soon else _SHORTEST
        self._next = now + self._delay

    def end(self) -> None:
        """Stop it, if it runs."""
        if self.running is not None:
            self.running.stop()
            self.running = None
