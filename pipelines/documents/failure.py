"""The error of a run on the GPU host, for the flow that waits for it.

Prefect tells that flow the message of a failed run and not the class of its error. Whether another
backend may make the video depends on the class, so the run stores it beside its results.
"""

from collections.abc import Mapping
from typing import Literal, Self

from pipelines.errors import (
    BudgetError,
    LostJobError,
    QuotaError,
    ReelwrightError,
    RefusedError,
    UnavailableError,
)
from pipelines.schema.frozen import Frozen

Kind = Literal["refused", "unavailable", "quota", "lost", "budget"]
_CLASSES: Mapping[Kind, type[ReelwrightError]] = {
    "quota": QuotaError,
    "lost": LostJobError,
    "unavailable": UnavailableError,
    "refused": RefusedError,
    "budget": BudgetError,
}
"""Subclasses before their base."""


class Failure(Frozen):
    """An error whose class decides what happens next."""

    kind: Kind
    message: str

    @classmethod
    def of(cls, error: BaseException) -> Self | None:
        """`error` as it is stored; None for an error of any other kind."""
        for kind, known in _CLASSES.items():
            if isinstance(error, known):
                return cls(kind=kind, message=str(error))
        return None

    @property
    def error(self) -> ReelwrightError:
        """An error of the same class with the same message."""
        return _CLASSES[self.kind](self.message)
