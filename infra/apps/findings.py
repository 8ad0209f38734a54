"""One line of `reelwright doctor`, and how a check becomes one."""

from collections.abc import Callable
from dataclasses import dataclass

from pipelines.errors import ReelwrightError


@dataclass(frozen=True)
class Finding:
    """One line of the report. `needed` is False for what a run can do without."""

    name: str
    good: bool
    text: str
    needed: bool = True


def check(name: str, work: Callable[[], str], *, needed: bool = True) -> Finding:
    """What `work` says, or the sentence of its error."""
    try:
        return Finding(name, True, work(), needed)
    except (ReelwrightError, OSError, ImportError) as error:
        return Finding(name, False, str(error), needed)
