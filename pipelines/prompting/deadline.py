"""The moment at which an answer must be there."""

import math
import time


class Deadline:
    """The moment at which an answer must be there, whatever was tried for it."""

    def __init__(self, seconds: float = math.inf) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds until then; 0 afterwards."""
        return max(0.0, self._end - time.monotonic())

    def within(self, most: float) -> float:
        """`most` seconds, or those that are left, if they are fewer."""
        return min(most, self.left)
