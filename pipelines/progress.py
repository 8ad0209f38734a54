"""Progress reports of the stages, which do not know their listeners."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """One report: `done` of `total` units of `stage`, and a text for people."""

    stage: str
    done: float
    total: float
    detail: str = ""


Report = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """A listener that ignores all reports."""
