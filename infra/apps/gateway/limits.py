"""Rate limits: so many requests a minute for each client, webhook source or address."""

import time
from collections import OrderedDict

from infra.apps.gateway.problems import ProblemError

_MAX_NAMES = 1_000
"""Buckets that are kept; the one that was used longest ago goes first."""


class Limits:
    """Token buckets: each name may make `per_minute` requests a minute, refilled evenly."""

    def __init__(self, per_minute: int) -> None:
        self._size = per_minute
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def count(self, name: str, per_minute: int | None = None) -> None:
        """Raises ProblemError 429 with the seconds to wait."""
        size = float(per_minute or self._size)
        now = time.monotonic()
        left, then = self._buckets.pop(name, (size, now))
        left = min(size, left + (now - then) * size / 60)
        self._buckets[name] = (left - 1 if left >= 1 else left, now)
        if left < 1:
            raise _too_many(size, left)
        while len(self._buckets) > _MAX_NAMES:
            self._buckets.popitem(last=False)

    def give_back(self, name: str, per_minute: int) -> None:
        """Take back one that `count` has counted."""
        left, then = self._buckets.get(name, (float(per_minute), time.monotonic()))
        self._buckets[name] = (min(float(per_minute), left + 1), then)


def _too_many(size: float, left: float) -> ProblemError:
    wait = max(1, round((1 - left) * 60 / size))
    return ProblemError(
        429,
        "too_many",
        f"more than {size:g} requests a minute; try again in {wait} s",
        headers={"Retry-After": str(wait)},
    )
