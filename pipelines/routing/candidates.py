"""Which presets can make a brief, and why the others cannot."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pydantic import ValidationError

from pipelines.backends.registry import definition_of, presets
from pipelines.documents.brief import Brief
from pipelines.documents.parsing import sentences
from pipelines.documents.route import Alternative, Cause, Forecast
from pipelines.errors import BriefError, ReelwrightError
from pipelines.planning.plan import timeline
from pipelines.routing.classify import Asked, unmet
from pipelines.routing.policy import Choices, Policy
from pipelines.schema.availability import Availability
from pipelines.schema.presets import Preset


class Surroundings(Protocol):
    """What the router asks of the machine and of the services. Briefs name their preset here."""

    def availability(self, brief: Brief) -> Availability:
        """Whether the backend of `brief` can be used now, with what its inputs and options need.

        Raises nothing; may take a second or two for a remote one.
        """

    def forecast(self, brief: Brief) -> Forecast:
        """What `brief` costs. Raises ReelwrightError if nobody can say."""


@dataclass(frozen=True)
class Option:
    """A preset for the brief, as far as it was looked at."""

    brief: Brief
    """With that preset."""
    preset: Preset
    """As the registry has it."""
    forecast: Forecast | None = None

    def without(self, cause: Cause, reason: str) -> Alternative:
        """It is not used."""
        return Alternative(
            preset=self.preset.name,
            title=self.preset.title,
            cause=cause,
            reason=reason,
            forecast=self.forecast,
        )


Found = tuple[list[Option], list[Alternative]]
"""What is left, and what is not."""


def fitting(brief: Brief) -> Found:
    """The presets that can make `brief` by its kind, inputs, size, length and options."""
    left: list[Option] = []
    gone: list[Alternative] = []
    for preset in presets().values():
        try:
            chosen = brief.with_preset(preset.name)
            _check_kind(brief, preset)
            timeline(chosen)
        except (ValueError, BriefError) as error:
            words = sentences(error) if isinstance(error, ValidationError) else str(error)
            gone.append(Option(brief, preset).without("unfit", words))
            continue
        left.append(Option(chosen, preset))
    return left, gone


def _check_kind(brief: Brief, preset: Preset) -> None:
    """Raises ValueError for a video from a preset for pictures, or the other way round."""
    if brief.kind == "video" and preset.is_still:
        raise ValueError("it makes single pictures, and a video is asked for")
    if brief.kind == "image" and not preset.is_still and not definition_of(preset).stand_in:
        raise ValueError("it is made for videos, and a picture is asked for")


def allowed(options: Sequence[Option], choices: Choices) -> Found:
    """Those that the policy allows."""
    return _split(options, "forbidden", lambda option: _forbidden(option, choices))


def _forbidden(option: Option, choices: Choices) -> str:
    names = {option.preset.name, option.preset.backend}
    if choices.local == "only" and option.brief.backend.capabilities.location == "remote":
        return "it is remote, and the policy says local: only"
    if choices.only and names.isdisjoint(choices.only):
        return f"the policy allows only {', '.join(choices.only)}"
    if not names.isdisjoint(choices.never):
        return "the policy never allows it"
    return ""


def available(options: Sequence[Option], surroundings: Surroundings) -> Found:
    """Those whose backend can be used now."""

    def why_not(option: Option) -> str:
        found = surroundings.availability(option.brief)
        return "" if found.available else found.reason or "it cannot be used now"

    return _split(options, "unavailable", why_not)


def demanded(
    options: Sequence[Option], asked: Sequence[Asked], policy: Policy
) -> tuple[list[Option], list[Alternative], list[str]]:
    """Those that meet the demands, and a sentence about each demand.

    A demand that is not strict and that none of them meets is dropped.
    """
    left, gone, reasons = list(options), list[Alternative](), list[str]()
    for item in asked:

        def lacks(option: Option, item: Asked = item) -> str:
            can, resolved = option.brief.backend.capabilities, option.brief.resolved_preset()
            lack = unmet(item.demand, option.brief, resolved, can, policy)
            return f"{item.words}, but {lack}" if lack else ""

        able, unable = _split(left, "demand", lacks)
        if able or item.demand.strict:
            reasons.append(item.words)
            left, gone = able, gone + unable
        else:
            reasons.append(f"{item.words}, but no preset that can be used now has it: not heeded")
    return left, gone, reasons


def forecasted(options: Sequence[Option], surroundings: Surroundings) -> Found:
    """Those whose costs are known, with them."""
    left: list[Option] = []
    gone: list[Alternative] = []
    for option in options:
        try:
            forecast = surroundings.forecast(option.brief)
        except ReelwrightError as error:
            gone.append(option.without("unknown", str(error)))
            continue
        left.append(Option(option.brief, option.preset, forecast))
    return left, gone


def above_price(forecast: Forecast | None, policy: Policy, choices: Choices, *, named: bool) -> str:
    """Which price cap `forecast` is above, in words; empty if none.

    `named` says whether a person named the preset.
    """
    price = forecast.price if forecast else None
    if price is None or not price.amount:
        return ""
    caps = {"price_cap": choices.price_cap}
    if not named:
        caps["automatic_price_cap"] = choices.automatic_price_cap
    for name, cap in caps.items():
        if cap is None:
            continue
        if price.currency != policy.currency:
            return (
                f"it costs {price}, and the policy's {name} is in {policy.currency}: write the "
                f"policy in {price.currency}"
            )
        if price.amount > cap:
            who = "" if named else " for a preset that no person chose"
            return f"it costs {price}, above the policy's {name} of {cap} {policy.currency}{who}"
    return ""


def too_slow(forecast: Forecast, choices: Choices) -> str:
    """Whether it takes longer than an automatic choice may, in words; empty if not."""
    cap = choices.automatic_seconds_cap
    if cap is None or forecast.seconds <= cap:
        return ""
    return (
        f"it takes {forecast.seconds:,.0f} s,"
        f" above the policy's automatic_seconds_cap of {cap:,.0f} s"
    )


def _split(options: Sequence[Option], cause: Cause, why_not: "_WhyNot") -> Found:
    left: list[Option] = []
    gone: list[Alternative] = []
    for option in options:
        reason = why_not(option)
        if reason:
            gone.append(option.without(cause, reason))
        else:
            left.append(option)
    return left, gone


class _WhyNot(Protocol):
    def __call__(self, option: Option, /) -> str: ...


def names_of(alternatives: Sequence[Alternative]) -> Iterator[str]:
    """Each with its reason."""
    return (f"{item.preset}: {item.reason}" for item in alternatives)
