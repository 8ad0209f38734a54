"""Surroundings of a router as data: what is available, and what each preset costs."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipelines.backends.registry import definitions, presets
from pipelines.documents.brief import Brief
from pipelines.documents.route import Forecast
from pipelines.errors import WeightsError
from pipelines.routing.policy import Policy
from pipelines.routing.policy_file import parse_policy, read_policy
from pipelines.schema.availability import Availability
from pipelines.schema.money import Money


@dataclass(frozen=True)
class Told:
    """`Surroundings` that say what they were told, and nothing else."""

    away: Mapping[str, str] = field(default_factory=dict)
    """Preset → why it cannot be used. All others can."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Preset → seconds; 100 for all others."""
    prices: Mapping[str, Money] = field(default_factory=dict)
    """Preset → price; nothing for all others."""
    unknown: frozenset[str] = frozenset()
    """Presets whose costs nobody knows."""

    def availability(self, brief: Brief) -> Availability:
        reason = self.away.get(brief.preset)
        return Availability(available=reason is None, reason=reason or "")

    def forecast(self, brief: Brief) -> Forecast:
        if brief.preset in self.unknown:
            raise WeightsError(f"the weights of {brief.preset} cannot be read")
        return Forecast(
            seconds=self.seconds.get(brief.preset, 100.0),
            memory_bytes=5_000_000_000,
            price=self.prices.get(brief.preset),
            basis="told by the test",
        )


def only(*names: str, **values: object) -> Told:
    """Only these presets can be used."""
    away = {name: "not installed" for name in presets() if name not in names}
    return Told(away=away, **values)  # type: ignore[arg-type]


def built_in() -> Policy:
    """The policy without a file."""
    return read_policy(None, {*presets(), *definitions()})


def policy(text: str) -> Policy:
    """A policy from YAML."""
    return parse_policy(text, "policy.yaml", {*presets(), *definitions()})


def usd(amount: str) -> Money:
    return Money.of(amount)
