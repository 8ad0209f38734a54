"""How often a worker asks the server for runs: each question costs the server about 26 ms of a
core, and most of them are answered with nothing."""

import time
from collections.abc import Callable

_FULL = 20.0
"""Seconds between two questions of a worker that could take no run. It asks at all because
Prefect's page calls a queue that nobody asked about for 60 s not ready."""
_CROWDED = 5.0
"""The same for one that could take runs of a schedule only."""
_QUIET = 2.0
"""Seconds between two questions when no run was found for _QUIET_AFTER seconds."""
_QUIET_AFTER = 30.0


class Polling:
    """Which of a worker's chances to ask are used.

    `reserved` of the worker's places are for runs of a schedule, see `concurrency.py`. `clock`
    gives seconds that only grow.
    """

    def __init__(self, reserved: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self._reserved, self._clock = reserved, clock
        self._asked = self._found = clock()

    def is_due(self, free: int) -> bool:
        """Whether to ask now, with `free` places for runs."""
        now = self._clock()
        if free <= self._reserved:
            return now - self._asked >= (_CROWDED if free else _FULL)
        return now - self._found < _QUIET_AFTER or now - self._asked >= _QUIET

    def note(self, *, found: bool) -> None:
        """It has asked, and `found` a run or none."""
        self._asked = self._clock()
        if found:
            self._found = self._asked

    def expect(self) -> None:
        """A run has ended, so that another one, which waits for it or follows it, is likely."""
        self._found = self._clock()
