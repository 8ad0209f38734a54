"""Routes a brief: once for each run of produce-content, and again only to fall back.

A run that waits for a person runs again from its first line afterwards. It must go on with the same
decision, whatever has become available meanwhile, so the route lies in the bucket beside the run.
"""

import logging
from collections.abc import Mapping

from prefect import task
from prefect.runtime import flow_run
from pydantic import ValidationError

from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings
from infra.adapters.weights.catalog import MODELS
from pipelines.documents.brief import Brief
from pipelines.documents.parsing import sentences
from pipelines.documents.route import Route, Setback
from pipelines.errors import BriefError, BudgetError, CorruptObjectError, ReelwrightError
from pipelines.routing.router import find_route
from pipelines.schema.keys import ObjectKey
from pipelines.schema.money import Money
from pipelines.schema.presets import AUTO
from tasks.artifacts import show_route
from tasks.dispatch import is_deployed
from tasks.hosts import gpu_host
from tasks.options import STAGE
from tasks.surroundings import HostSurroundings, measured_of, policy_of
from tasks.translate import why_not_translated

_log = logging.getLogger("reelwright.route")


@task(name="route", **STAGE)
def route_brief(brief: Brief) -> Route:
    """The route of `brief`; for a run that goes on, the one that it began with.

    Raises BriefError if nobody can translate the brief, SettingsError if the policy cannot be used,
    UnavailableError if no preset can be used for
    the brief now, BudgetError above a cap of the policy, and StoreError if the store fails.
    """
    kept = _kept_route()
    if kept:
        return kept
    settings = Settings.load()
    _require_translator(brief, settings)
    policy = policy_of(settings)
    chooses = brief.preset == AUTO or policy.choices_for(brief)[0].fallback_for_named
    store = ObjectStore(settings.store)
    measured = measured_of(store) if chooses else {}
    reported = gpu_host(store) if chooses and is_deployed() else None
    surroundings = HostSurroundings(settings, reported=reported)
    route = find_route(brief, policy, surroundings, measured)
    return _decided(route)


def _require_translator(brief: Brief, settings: Settings) -> None:
    """Raises BriefError if it is known that nobody can translate the brief: its editor must not
    wait for the GPU host to be told. A GPU host that is not known decides by itself."""
    reason = why_not_translated(brief, settings)
    if reason and is_deployed():
        reported = gpu_host(ObjectStore(settings.store))
        others = reported.models if reported else frozenset(MODELS)
        reason = why_not_translated(brief, settings, others)
    if reason:
        raise BriefError(reason)


def routed(brief: Brief, route: Route) -> Brief:
    """`brief` with the chosen preset. Raises BriefError if it does not fit any more."""
    if brief.preset == route.chosen.preset:
        return brief
    try:
        return brief.with_preset(route.chosen.preset)
    except ValidationError as error:  # the backends of the operator's file changed meanwhile
        raise BriefError(sentences(error)) from error


def fall_back(route: Route, error: ReelwrightError) -> Route:
    """The route without its first candidate, which failed with `error`.

    After a BudgetError the policy decides: the next candidate, or the same one once a person has
    approved it. Raises `error` if there is no next step.
    """
    if isinstance(error, BudgetError) and route.above_cap == "approval":
        return _asking(route, error)
    if not route.left:
        raise error
    setback = Setback(preset=route.chosen.preset, reason=str(error))
    _log.warning(
        "%s cannot be used: %s; the video is planned again with %s",
        setback.preset,
        setback.reason,
        route.left[0].preset,
    )
    setbacks = (*route.setbacks, setback)
    return _decided(route.model_copy(update={"setbacks": setbacks, "turn": route.turn + 1}))


def _asking(route: Route, error: BudgetError) -> Route:
    """The route with the question whether its candidate may exceed a cap of the ledger.

    Raises `error` if nobody can be asked, or somebody agreed to that already.
    """
    name = route.chosen.preset
    if name in route.refused or not is_deployed():
        raise error
    asking = route.chosen.model_copy(update={"ask": str(error)})
    changes = {
        "candidates": tuple(asking if item == route.chosen else item for item in route.candidates),
        "approved": tuple(item for item in route.approved if item != name),
        "refused": (*route.refused, name),
        "sums": _with_sum(route, error.total),
        "turn": route.turn + 1,
    }
    return _decided(route.model_copy(update=changes))


def approved(route: Route) -> Route:
    """`route` after a person has approved the price of its candidate."""
    chosen, sums = route.chosen, route.sums
    if chosen.preset not in sums and chosen.forecast:
        sums = _with_sum(route, chosen.forecast.price)
    names = (*route.approved, chosen.preset)
    return _decided(route.model_copy(update={"approved": names, "sums": sums}))


def _with_sum(route: Route, amount: Money | None) -> Mapping[str, Money]:
    """The sums of `route` with the one that a person sees for the chosen preset, if it is known."""
    others = {name: known for name, known in route.sums.items() if name != route.chosen.preset}
    return others | ({route.chosen.preset: amount} if amount else {})


def _decided(route: Route) -> Route:
    if is_deployed():
        data = route.model_dump_json().encode()
        store = ObjectStore(Settings.load().store)
        store.put_bytes(ObjectKey.route(flow_run.id), data, "application/json")
    show_route(route)
    return route


def _kept_route() -> Route | None:
    """What this run decided before. One that is damaged is decided anew."""
    if not is_deployed():
        return None
    try:
        data = ObjectStore(Settings.load().store).get_bytes(ObjectKey.route(flow_run.id))
        return Route.model_validate_json(data) if data else None
    except (CorruptObjectError, ValidationError) as error:
        _log.warning("the route of this run cannot be read and is decided anew: %s", error)
        return None
