"""How the stages say where they are, without knowing who listens."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """One report: `done` of `total` in `stage`, with a word about what is going on."""

    stage: str
    done: float
    total: float
    detail: str = ""


Report = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """A listener that does not care."""
