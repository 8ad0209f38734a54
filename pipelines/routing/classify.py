"""What the words of a brief demand, by the rules of the policy.

No language model takes part. Candidates with the same score are ordered by name, so that the same
brief always has the same route; a model could decide nothing there but the tie, and it is loaded on
the GPU host only, after the route is known.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.documents.brief import Brief
from pipelines.routing.policy import Demand, Policy
from pipelines.schema.capabilities import Capabilities
from pipelines.schema.presets import Preset


@dataclass(frozen=True)
class Asked:
    """A demand of the policy that a brief makes."""

    demand: Demand
    word: str
    """The word of the brief that made it."""

    @property
    def words(self) -> str:
        """It in words."""
        return f"“{self.word}” asks for {self.demand.name}"


def demands_of(brief: Brief, policy: Policy) -> tuple[Asked, ...]:
    """The demands that the words of `brief` make, in the order of the policy."""
    text = "\n".join([brief.prompt, brief.style, *(shot.prompt for shot in brief.storyboard)])
    return tuple(
        Asked(demand, word)
        for demand in policy.demands
        if (word := next((word for word in demand.words if _has(text, word)), ""))
    )


def _has(text: str, word: str) -> bool:
    """Whether `word` stands in `text` as a word. Languages that write no spaces have no borders
    of words, so their words are found anywhere."""
    pattern = re.escape(word.strip())
    if word.isascii():
        pattern = rf"(?<!\w){pattern}(?!\w)"
    return re.search(pattern, text, re.IGNORECASE) is not None


def unmet(demand: Demand, brief: Brief, preset: Preset, can: Capabilities, policy: Policy) -> str:
    """What the resolved `preset` lacks for `demand`, in words; empty if it has all of it."""
    return ", ".join(_missing(demand, brief, preset, can, policy))


def _missing(
    demand: Demand, brief: Brief, preset: Preset, can: Capabilities, policy: Policy
) -> Iterator[str]:
    needs = demand.needs
    if needs.sound and not can.audio:
        yield "it makes no sound"
    side = min(preset.size) * brief.upscale
    if side < needs.short_side:
        yield f"its shorter side has {side} pixels, not {needs.short_side}"
    for kind in needs.inputs:
        if kind not in can.inputs:
            yield f"it takes no {kind.replace('_', ' ')}"
    if needs.ability and not {preset.name, preset.backend} & set(policy.abilities[needs.ability]):
        yield f"the policy does not list it under {needs.ability!r}"
