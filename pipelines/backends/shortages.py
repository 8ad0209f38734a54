"""What is remembered when memory ran out, so that the same is not tried again in vain."""

from collections.abc import Hashable

_MORE = 1.05
"""Times the memory that did not suffice, from which on a way is worth another attempt."""


class Shortages:
    """Ways to work in which memory ran out although the plan had said that it would do.

    Each is kept with the bytes that the plan had said and those that could be had when it failed.
    It rules out the same way for clips that need as much or more, until clearly more memory can
    be had: another program may have left the device.
    """

    def __init__(self) -> None:
        self._seen: dict[Hashable, list[tuple[int, int]]] = {}

    def add(self, way: Hashable, need: int, had: int) -> None:
        """Memory ran out in `way` for a clip of `need` planned bytes while `had` could be had."""
        others = [
            item
            for item in self._seen.get(way, [])
            if item[0] < need or item[1] > had  # the new one says more than the rest
        ]
        self._seen[way] = [*others, (need, had)]

    def rule_out(self, way: Hashable, need: int, have: int) -> bool:
        """Whether a clip of `need` planned bytes would fail again with the `have` bytes of now."""
        return any(
            need >= failed and have <= _MORE * had for failed, had in self._seen.get(way, [])
        )
