"""How long a writer may take for one storyboard.

Each answer has a limit of its own, and a storyboard has dozens of answers. Up to 0.6.0 a model that
hung cost 36 minutes: the outline may take 18, and it was asked for again after a restart.
"""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar, cast

from pipelines.errors import EnhancerError
from pipelines.prompting.instruct import Instruction
from pipelines.prompting.llama import ShotRequest
from pipelines.prompting.strategies import Enhancer

DIRECT_SHARE = 0.75
"""Of the time, for outline, sheet and shots, where `complete` may have to write them afterwards. It
asks for a sentence a shot, which is a fourth of a shot's answer."""
SHOTS = 10
"""Shots for which the time of the settings is meant. A longer film has more, in proportion."""
Clock = Callable[[], float]
"""Seconds since any moment."""
Asked = TypeVar("Asked", Instruction, ShotRequest)


class WritingTime:
    """`seconds` for all answers of a storyboard. They begin with the first question."""

    def __init__(self, seconds: float, now: Clock = time.monotonic) -> None:
        self._seconds, self._now = seconds, now
        self._end: float | None = None

    def left(self, share: float = 1.0) -> float:
        """Seconds that are left of this share of the time; none or fewer if it is over."""
        if self._end is None:
            self._end = self._now() + self._seconds
        if math.isinf(self._seconds):
            return math.inf
        return self._end - self._now() - (1 - share) * self._seconds

    def over(self, share: float = 1.0) -> str:
        """The sentence that says that this share is over."""
        part = "" if share == 1 else f"{share * self._seconds:g} of "
        return (
            f"its time for this storyboard is over ({part}{self._seconds:g} s); "
            "REELWRIGHT_LLM_STORYBOARD_TIMEOUT gives it more"
        )


class TimedWriter:
    """A writer whose answers end with the time of its storyboard."""

    def __init__(self, writer: Enhancer, left: WritingTime) -> None:
        self._writer, self._time = writer, left
        self._shares = {
            "structured": DIRECT_SHARE if hasattr(writer, "words") else 1.0,
            "words": 1.0,
        }

    def __getattr__(self, name: str) -> Any:
        """What the writer has, under the same name: other code looks at what it can do."""
        found = getattr(self._writer, name)
        return partial(self._ask, found, self._shares[name]) if name in self._shares else found

    def _ask(self, ask: Callable[[Asked], str], share: float, question: Asked) -> str:
        """The answer. Raises EnhancerError as the writer does, and if the time is over."""
        left = self._time.left(share)
        if left <= 0:
            raise EnhancerError(self._time.over(share))
        try:
            return ask(replace(question, seconds=min(left, question.seconds)))
        except EnhancerError as error:
            if self._time.left(share) > 0:
                raise
            raise EnhancerError(self._time.over(share)) from error


def timed(writer: Enhancer, shots: int, now: Clock = time.monotonic) -> Enhancer:
    """`writer` with its time for a storyboard of so many `shots`: its `storyboard_timeout`, if it
    has one."""
    seconds: float = getattr(writer, "storyboard_timeout", math.inf)
    allowed = WritingTime(seconds * max(1.0, shots / SHOTS), now)
    return cast(Enhancer, TimedWriter(writer, allowed))
