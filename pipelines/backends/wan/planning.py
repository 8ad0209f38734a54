"""The memory plan of a clip on this host now, for a loaded denoiser or one that is to be loaded."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pipelines.backends.base import BackendHost
from pipelines.backends.wan.denoiser import WanDenoiser
from pipelines.backends.wan.footprint import Footprint
from pipelines.backends.wan.memory_plan import (
    MemoryPlan,
    Placement,
    PlanPhase,
    Work,
    plan_memory,
)
from pipelines.backends.wan.options import Decode

Denoiser = TypeVar("Denoiser", bound=WanDenoiser)


@dataclass(frozen=True)
class ClipPlans:
    """Plans for one clip."""

    host: BackendHost
    weights: Footprint
    """What the models take."""
    footprint: Footprint
    """The same, with what the clip itself keeps on the device."""
    work: Work
    decode: Decode

    def fastest_bytes(self) -> int:
        """What the fastest way takes, so that models of other kinds go before it is slow."""
        return self._plan(sys.maxsize).peak_bytes

    def load(self, make: Callable[[Placement], Denoiser]) -> Denoiser:
        """A denoiser that `make` loads where the plan wants its models.

        How much memory there is now, after the host has made room, decides where that is.
        """
        plan = self._plan(self.host.free_bytes())
        denoiser = make(plan.placement)
        if denoiser.placement != plan.placement:
            self.remember(denoiser, plan, "place")
        return denoiser

    def loaded(self, denoiser: WanDenoiser) -> MemoryPlan:
        """For a loaded one: what it holds is its own to use, and where memory ran out is known."""
        budget = self._budget(denoiser)
        return plan_memory(
            self.footprint, self.work, budget, self.host.device, self.decode, denoiser.shortages
        )

    def remember(self, denoiser: WanDenoiser, plan: MemoryPlan, phase: PlanPhase) -> None:
        """Memory ran out in `phase` of `plan`: later plans of the same denoiser heed it."""
        plan.add_to(denoiser.shortages, phase, self._budget(denoiser))

    def _budget(self, denoiser: WanDenoiser) -> int:
        return self.host.free_bytes() + denoiser.held_bytes(self.weights)

    def _plan(self, budget: int) -> MemoryPlan:
        return plan_memory(self.footprint, self.work, budget, self.host.device, self.decode)
