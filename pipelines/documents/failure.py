"""The error of a run on the GPU host, for the flow that waits for it.

Prefect tells that flow the message of a failed run and not the class of its error. Whether another
backend may make the video depends on the class, so the run stores it beside its results.
"""

from collections.abc import Mapping
from typing import Literal, Self

from pipelines.errors import (
    BriefError,
    BudgetError,
    LostJobError,
    QuotaError,
    ReelwrightError,
    RefusedError,
    UnavailableError,
)
from pipelines.schema.frozen import Frozen
from pipelines.schema.money import Money

Kind = Literal["refused", "unavailable", "quota", "lost", "budget", "brief"]
_CLASSES: Mapping[Kind, type[ReelwrightError]] = {
    "quota": QuotaError,
    "lost": LostJobError,
    "unavailable": UnavailableError,
    "refused": RefusedError,
    "budget": BudgetError,
    "brief": BriefError,
}
"""Subclasses before their base."""


class Failure(Frozen):
    """An error whose class decides what happens next."""

    kind: Kind
    message: str
    total: Money | None = None
    """Of a BudgetError: what the run would have spent."""

    @classmethod
    def of(cls, error: BaseException) -> Self | None:
        """`error` as it is stored; None for an error of any other kind."""
        for kind, known in _CLASSES.items():
            if isinstance(error, known):
                total = error.total if isinstance(error, BudgetError) else None
                return cls(kind=kind, message=str(error), total=total)
        return None

    @property
    def error(self) -> ReelwrightError:
        """An error of the same class with the same message."""
        if self.kind == "budget":
            return BudgetError(self.message, total=self.total)
        return _CLASSES[self.kind](self.message)
