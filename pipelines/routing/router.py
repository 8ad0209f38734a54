"""The router: which preset makes a brief, which ones would be next, and why.

It is called once for a brief. The same brief, policy and surroundings always give the same route:
candidates with the same score are ordered by name.
"""

from collections.abc import Mapping, Sequence

from pipelines.backends.registry import definition_of, presets
from pipelines.documents.brief import Brief
from pipelines.documents.route import Alternative, Candidate, Cause, Forecast, Route
from pipelines.errors import BudgetError, ReelwrightError, UnavailableError
from pipelines.routing.candidates import (
    Option,
    Surroundings,
    above_price,
    allowed,
    available,
    demanded,
    fitting,
    forecasted,
    names_of,
    too_slow,
)
from pipelines.routing.classify import demands_of
from pipelines.routing.measured import Measured
from pipelines.routing.policy import Choices, Policy
from pipelines.routing.scoring import Score, score_of
from pipelines.schema.presets import AUTO

_SHOWN = 5
"""Presets that an error names with their reasons."""
_NEAREST: tuple[Cause, ...] = (
    "cap",
    "demand",
    "unknown",
    "unavailable",
    "forbidden",
    "unfit",
    "named",
)
"""How near a preset was to being a candidate, the nearest first."""


def find_route(
    brief: Brief,
    policy: Policy,
    surroundings: Surroundings,
    measured: Mapping[str, Measured] | None = None,
) -> Route:
    """The route of `brief`.

    Raises UnavailableError if no preset can be used for it now, and BudgetError if those that could
    are above a cap of the policy, which then says `next`, or asks somebody.
    """
    choices, rules = policy.choices_for(brief)
    chosen: list[Candidate] = []
    gone: list[Alternative] = []
    reasons: list[str] = []
    if brief.preset == AUTO or choices.fallback_for_named:
        chosen, gone, reasons = _automatic(brief, policy, choices, surroundings, measured or {})
    if brief.preset != AUTO:
        chosen, gone = _with_named(brief, policy, choices, surroundings, (chosen, gone))
    if not chosen:
        raise _nothing_left(gone)
    return Route(
        asked=brief.preset,
        policy=policy.name,
        reasons=(*rules, *reasons),
        candidates=tuple(chosen),
        alternatives=tuple(gone),
        above_cap=choices.above_cap,
    )


def _automatic(
    brief: Brief,
    policy: Policy,
    choices: Choices,
    surroundings: Surroundings,
    measured: Mapping[str, Measured],
) -> tuple[list[Candidate], list[Alternative], list[str]]:
    """The candidates in order, the other presets, and what holds for all."""
    left, gone = fitting(brief)
    left, more = allowed(left, choices)
    gone += more
    left, more = available(left, surroundings)
    gone += more
    left, more, reasons = demanded(left, demands_of(brief, policy), policy)
    gone += more
    left, more = forecasted(left, surroundings)
    gone += more
    ranked: list[tuple[Option, Score, str]] = []
    for option in left:
        assert option.forecast is not None
        price = above_price(option.forecast, policy, choices, named=False)
        slow = too_slow(option.forecast, choices)
        if slow or (price and choices.above_cap == "next"):
            gone.append(option.without("cap", slow or price))
        else:
            ranked.append((option, score_of(option, policy, choices, measured), price))
    ranked.sort(key=lambda item: (_group(item[0], choices), -item[1].total, item[0].preset.name))
    return _candidates(ranked, choices), gone, reasons


def _group(option: Option, choices: Choices) -> int:
    """Options of a lower group come first, whatever their scores."""
    if option.brief.backend.stand_in:
        return 2
    remote = option.brief.backend.capabilities.location == "remote"
    return 1 if remote and choices.local == "prefer" else 0


_LATER = {
    1: "it is remote, and the policy prefers this machine",
    2: "it only stands in where nothing else can be used",
}


def _candidates(ranked: Sequence[tuple[Option, Score, str]], choices: Choices) -> list[Candidate]:
    found: list[Candidate] = []
    for place, (option, score, ask) in enumerate(ranked):
        later = ""
        if place:
            before, best, _ = ranked[place - 1]
            group = _group(option, choices)
            later = _LATER[group] if group > _group(before, choices) else _behind(score, best)
        found.append(
            _candidate(option.brief, option.forecast, score.total, score.reasons, ask).model_copy(
                update={"later": later}
            )
        )
    return found


def _behind(score: Score, best: Score) -> str:
    if round(score.total, 2) < round(best.total, 2):
        return f"its score is {score.total:.2f}, after {best.total:.2f}"
    return "its score is the same to two places, and the exact one or its name comes later"


def _with_named(
    brief: Brief,
    policy: Policy,
    choices: Choices,
    surroundings: Surroundings,
    others: tuple[list[Candidate], list[Alternative]],
) -> tuple[list[Candidate], list[Alternative]]:
    """The preset that a person named, before all others.

    Whether it can be used is not asked here: it is found out where it is made, which may be another
    host. Its price is held against the cap for every video.
    """
    forecast: Forecast | None
    try:
        forecast = surroundings.forecast(brief)
    except ReelwrightError:
        forecast = None
    name, reason = brief.preset, f"the brief names {brief.preset}"
    chosen = [item for item in others[0] if item.preset != name]
    gone = [item for item in others[1] if item.preset != name]
    ask = above_price(forecast, policy, choices, named=True)
    if ask and choices.above_cap == "next":
        gone.insert(0, Option(brief, presets()[name], forecast).without("cap", ask))
    else:
        chosen.insert(0, _candidate(brief, forecast, 1.0, (reason,), ask))
    known = {item.preset for item in chosen} | {item.preset for item in gone}
    gone += [
        Alternative(preset=item.name, title=item.title, cause="named", reason=reason)
        for item in presets().values()
        if item.name not in known
    ]
    return chosen, gone


def _candidate(
    brief: Brief, forecast: Forecast | None, score: float, reasons: tuple[str, ...], ask: str
) -> Candidate:
    preset = presets()[brief.preset]
    definition = definition_of(preset)
    return Candidate(
        preset=preset.name,
        title=preset.title,
        backend=definition.name,
        location=definition.capabilities.location,
        forecast=forecast,
        score=round(score, 4),
        reasons=reasons,
        ask=ask,
    )


def _nothing_left(gone: Sequence[Alternative]) -> ReelwrightError:
    """Why there is no candidate, for an editor: what is nearest to being one comes first."""
    nearest = sorted(gone, key=lambda item: _NEAREST.index(item.cause))
    listed = "; ".join(list(names_of(nearest))[:_SHOWN])
    more = len(nearest) - _SHOWN
    also = f"; and {more} more" if more > 0 else ""
    if nearest[0].cause == "cap":
        return BudgetError(
            f"every preset that can be used for this brief is above a cap: {listed}{also}. Ask for "
            "fewer seconds, name another preset, or let the operator change the routing policy. "
            "Nothing was spent"
        )
    return UnavailableError(f"no preset can be used for this brief now: {listed}{also}")
